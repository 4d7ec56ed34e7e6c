package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"tench/release"
)

// Rollback makes the release current that was so before the current one, after
// it has verified that it is still whole. It returns its name.
func (t *Tree) Rollback(ctx context.Context, o Options) (name string, err error) {
	defer t.naming(&err)
	switch current, err := t.current(); { // before a lock is laid where no tree is
	case err != nil:
		return "", err
	case current == "":
		return "", errors.New("no release is current there\nhint: tench publish DIR DEST makes one so")
	}
	var l *lock // none for a dry run
	if !o.DryRun {
		if l, err = t.lock(o); err != nil {
			return "", err
		}
		defer l.release(&err)
	}
	now, err := t.look()
	if err != nil {
		return "", err
	}
	if now.previous == "" {
		return "", fmt.Errorf("roll back %s: no release that was current before it is there\nhint: to make another one current, publish its directory: what is there already is not sent again", now.current)
	}
	if err := t.intact(ctx, now.previous, o); err != nil {
		return "", fmt.Errorf("roll back to %s: %w\nhint: it is not whole, so %s stays current", now.previous, err, now.current)
	}
	if o.DryRun {
		o.Report.Note("dry run", now.previous+" would become current"+was(now.current))
		return now.previous, nil
	}
	if err := l.held(); err != nil {
		return "", err
	}
	if err := t.turn(now.previous); err != nil {
		return "", err
	}
	o.Report.Note("switch", "current is "+now.previous+was(now.current))
	return now.previous, nil
}

// intact holds a release in the tree against its own SHA256.
func (t *Tree) intact(ctx context.Context, name string, o Options) error {
	sums, err := readSums(t.store, whole(name), o.Signature)
	if err != nil {
		return err
	}
	list, err := t.store.List(whole(name))
	if err != nil {
		return err
	}
	var files []file
	var total int64
	for _, info := range list {
		sum, ours := sums[info.Name()]
		if !ours || info.Mode()&fs.ModeType != 0 {
			return fmt.Errorf("%q is not of the release", info.Name())
		}
		files = append(files, file{info.Name(), info.Size(), sum})
		total += info.Size()
		delete(sums, info.Name())
	}
	for name := range sums {
		return fmt.Errorf("%s is missing", name)
	}
	o.Report.Start("verify", fmt.Sprintf("%s, %s", name, t.store.How()))
	count := counter(o.Report, total)
	for _, f := range files {
		same, err := t.same(ctx, span{whole(name) + "/" + f.name, 0, f.size}, f.sum, count)
		if err != nil {
			return err
		}
		if !same {
			return fmt.Errorf("%s is not what %s says", f.name, release.SumsFile)
		}
	}
	return nil
}
