package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"tench/release"
)

// part is a file of the release and how much of it is there already.
type part struct {
	file
	have int64 // bytes at its beginning that are right
	done bool  // all of it is there and verified
}

// missing is how many bytes are still to be sent.
func missing(parts []part) int64 {
	var n int64
	for _, p := range parts {
		n += p.size - p.have
	}
	return n
}

// confirm checks that the release that has the name there is this one.
func (t *Tree) confirm(ctx context.Context, src *Source, o Options) error {
	parts, err := t.compare(ctx, src, whole(src.Name), o.Report)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(parts, func(p part) bool { return !p.done }) {
		return t.otherContent(src.Name, parts)
	}
	return t.sameFiles(src.files, whole(src.Name))
}

// deliver brings the release into its partial folder, whole and verified.
func (t *Tree) deliver(ctx context.Context, src *Source, o Options) error {
	folder := partial(src.Name)
	if err := t.partialFolder(src, folder); err != nil {
		return err
	}
	parts, err := t.compare(ctx, src, folder, o.Report)
	if err != nil {
		return err
	}
	if err := t.announce(src, parts, o.Report); err != nil {
		return err
	}
	if err := t.send(ctx, src, parts, o.Report); err != nil {
		return err
	}
	if err := t.verify(ctx, src, parts, o.Report); err != nil {
		return err
	}
	return t.sameFiles(src.files, folder)
}

// finish makes the partial folder read-only and gives it the release's name.
func (t *Tree) finish(src *Source) error {
	folder := partial(src.Name)
	for _, f := range src.files {
		if err := t.store.Chmod(folder+"/"+f.name, 0o444); err != nil {
			return err
		}
	}
	if err := t.store.Chmod(folder, 0o555); err != nil {
		return err
	}
	return t.store.Rename(folder, whole(src.Name))
}

func (t *Tree) otherContent(name string, parts []part) error {
	var other []file
	for _, p := range parts {
		if !p.done {
			other = append(other, p.file)
		}
	}
	return fmt.Errorf("%s is there with other content than here: %s\nhint: a published release never changes: give the new one a name of its own; if it was damaged there, move it away first", whole(name), names(other))
}

// partialFolder makes the folder for a half-sent release, or clears one of what
// is not the release's.
func (t *Tree) partialFolder(src *Source, folder string) error {
	list, err := t.store.List(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return t.store.Mkdir(folder)
	}
	if err != nil {
		return err
	}
	if err := t.store.Chmod(folder, 0o755); err != nil { // it may have been finished but for its name
		return err
	}
	for _, info := range list {
		if _, ours := byName(src.files, info.Name()); ours && info.Mode().IsRegular() {
			continue
		}
		if err := t.store.Remove(folder + "/" + info.Name()); err != nil {
			return err
		}
	}
	return nil
}

// compare says how much of each file is in the folder. It writes nothing.
func (t *Tree) compare(ctx context.Context, src *Source, folder string, report Reporter) ([]part, error) {
	list, err := t.store.List(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	sizes := map[string]int64{}
	var total int64
	for _, info := range list {
		if info.Mode().IsRegular() {
			sizes[info.Name()] = info.Size()
			total += info.Size()
		}
	}
	if total > 0 {
		report.Start("compare", fmt.Sprintf("%s there, %s", humanize.IBytes(uint64(total)), t.store.How()))
	}
	count := counter(report, total)
	var parts []part
	for _, f := range src.files {
		p := part{file: f}
		var err error
		size, there := sizes[f.name]
		switch {
		case there && size == f.size:
			p.done, err = t.same(ctx, span{folder + "/" + f.name, 0, size}, f.sum, count)
			if p.done {
				p.have = size
			}
		case there && size < f.size && size >= block:
			p.have, err = t.beginning(ctx, src, f, span{folder + "/" + f.name, 0, size}, count)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// same reports whether part of a file there has the sum.
func (t *Tree) same(ctx context.Context, there span, sum string, moved func(int64)) (bool, error) {
	got, err := t.store.Sum(ctx, there, moved)
	return got == sum, err
}

// beginning is how many bytes of a file that is cut short are the release's. If
// hashes come over the line, only the last block is looked at: the whole file is
// verified at the end anyhow, and sent anew if that finds another beginning.
func (t *Tree) beginning(ctx context.Context, src *Source, f file, there span, moved func(int64)) (int64, error) {
	there.to -= there.to % block
	if !t.store.SumsThere() {
		there.from = there.to - block
	}
	sum, err := src.dir.Sum(ctx, span{f.name, there.from, there.to}, func(int64) {})
	if err != nil {
		return 0, err
	}
	same, err := t.same(ctx, there, sum, moved)
	if !same {
		return 0, err
	}
	return there.to, err
}

// announce says how much is to be sent, and refuses what has no room there.
func (t *Tree) announce(src *Source, parts []part, report Reporter) error {
	n := missing(parts)
	text := fmt.Sprintf("%s of %s in %d files", humanize.IBytes(uint64(n)), humanize.IBytes(uint64(src.Size())), len(parts))
	if t.store.Far() && n > 0 {
		text += fmt.Sprintf("; over a line of 64 kbit/s that takes %s", (time.Duration(n) * time.Second / 8000).Round(time.Second))
	}
	report.Note("to send", text)
	if free, known := t.store.Free(); known && free < n {
		return noRoom(free, n)
	}
	return nil
}

func noRoom(free, need int64) error {
	return fmt.Errorf("no room: %s free, %s needed\nhint: make room there, then give the same command again: what was sent is kept, and the release that is current stays", humanize.IBytes(uint64(free)), humanize.IBytes(uint64(need)))
}

// send sends what is missing. After an error what came stays for the next run.
func (t *Tree) send(ctx context.Context, src *Source, parts []part, report Reporter) error {
	left := missing(parts)
	if left > 0 {
		report.Start("send", humanize.IBytes(uint64(left)))
	}
	count := counter(report, left)
	for _, p := range parts {
		if p.done {
			continue
		}
		if err := t.sendPart(ctx, src, p, count); err != nil {
			return err
		}
	}
	return nil
}

// sendPart sends the missing end of one file.
func (t *Tree) sendPart(ctx context.Context, src *Source, p part, moved func(int64)) error {
	in, err := os.Open(src.dir.path(p.name))
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(p.have, io.SeekStart); err != nil {
		return err
	}
	name := partial(src.Name) + "/" + p.name
	// In a run that was killed while it finished, the file may have become read-only.
	if err := t.store.Chmod(name, 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = t.store.Write(name, p.have, meter{ctx, io.LimitReader(in, p.size-p.have), moved})
	if err == nil {
		return nil
	}
	// SFTP has no code for a full disk: look.
	if free, known := t.store.Free(); errors.Is(err, unix.ENOSPC) || known && free < block {
		return fmt.Errorf("%w: %w", err, noRoom(free, p.size-p.have))
	}
	return err
}

// verify holds what was sent against its hash, where it lies. A file that was
// sent in pieces gets a second try, whole.
func (t *Tree) verify(ctx context.Context, src *Source, parts []part, report Reporter) error {
	var total int64
	for _, p := range parts {
		if !p.done {
			total += p.size
		}
	}
	if total > 0 {
		report.Start("verify", fmt.Sprintf("%s, %s", humanize.IBytes(uint64(total)), t.store.How()))
	}
	count := counter(report, total)
	for _, p := range parts {
		if p.done {
			continue
		}
		there := span{partial(src.Name) + "/" + p.name, 0, p.size}
		same, err := t.same(ctx, there, p.sum, count)
		if err == nil && !same && p.have > 0 {
			report.Warn(fmt.Sprintf("%s: what an earlier run sent is not right: sending it whole", p.name))
			p.have = 0
			if err := t.sendPart(ctx, src, p, func(int64) {}); err != nil {
				return err
			}
			same, err = t.same(ctx, there, p.sum, func(int64) {})
		}
		if err != nil {
			return err
		}
		if !same {
			return fmt.Errorf("verify %s: what lies there is not what %s says\nhint: did the file change here while it was sent? if not, look after that disk; the same command sends it again", there.name, release.SumsFile)
		}
	}
	report.Note("verified", fmt.Sprintf("%d files, %s", len(parts), t.store.How()))
	return nil
}

// sameFiles checks that a folder holds just these files, with these sizes.
func (t *Tree) sameFiles(want []file, folder string) error {
	list, err := t.store.List(folder)
	if err != nil {
		return err
	}
	for _, info := range list {
		f, ours := byName(want, info.Name())
		if !ours || !info.Mode().IsRegular() || info.Size() != f.size {
			return fmt.Errorf("%s/%q is not of the release, or has another size", folder, info.Name())
		}
	}
	if len(list) != len(want) {
		return fmt.Errorf("%s has %d files, the release has %d", folder, len(list), len(want))
	}
	return nil
}
