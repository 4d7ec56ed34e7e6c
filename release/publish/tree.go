package publish

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Tree is a place that releases are published into.
type Tree struct{ store store }

// Close ends the connection, if there is one.
func (t *Tree) Close() error { return t.store.Close() }

const (
	releasesDir = "releases"
	currentLink = "current"
	newLink     = ".current.new"
	lockLink    = ".lock"
)

// The names of a release's parts in the tree.
func whole(name string) string   { return releasesDir + "/" + name }
func partial(name string) string { return releasesDir + "/." + name + ".partial" }
func gone(name string) string    { return releasesDir + "/." + name + ".gone" }
func before(name string) string  { return releasesDir + "/." + name + ".before" }

// Entry is a release in a tree.
type Entry struct {
	Name     string
	Time     time.Time // when it came, by the clock there
	Size     int64     // bytes
	Current  bool
	Previous bool // a rollback goes back to it
	Partial  bool // half sent
}

// List is what the tree holds, the newest first.
func (t *Tree) List() (list []Entry, err error) {
	defer t.naming(&err)
	now, err := t.look()
	if err != nil {
		return nil, err
	}
	for _, e := range now.all {
		folder := whole(e.Name)
		if e.Partial {
			folder = partial(e.Name)
		}
		files, err := t.store.List(folder)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			e.Size += f.Size()
		}
		e.Current = !e.Partial && e.Name == now.current
		e.Previous = !e.Partial && e.Name == now.previous
		list = append(list, e)
	}
	return list, nil
}

// state is what is in a tree.
type state struct {
	all      []Entry // the newest first; Size, Current and Previous are not filled in
	current  string  // "" before the first switch
	previous string  // what a rollback goes back to; "" if there is nothing
}

func (s state) has(name string) bool {
	return slices.ContainsFunc(s.all, func(e Entry) bool { return e.Name == name && !e.Partial })
}

// switched is the state after name became current.
func (s state) switched(name string) state {
	s.previous, s.current = s.current, name
	if !s.has(name) {
		s.all = slices.Insert(slices.Clone(s.all), 0, Entry{Name: name})
	}
	return s
}

// surplus is the releases that may go when keep stay: never the current one,
// nor the one that a rollback goes back to.
func (s state) surplus(keep int) []string {
	var others []string
	for _, e := range s.all {
		if e.Partial {
			continue
		}
		if e.Name == s.current || e.Name == s.previous {
			keep--
			continue
		}
		others = append(others, e.Name)
	}
	return others[min(max(keep, 0), len(others)):]
}

// look reads the state. A tree that is not there yet is empty.
func (t *Tree) look() (state, error) {
	var s state
	list, err := t.store.List(releasesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	for _, info := range list {
		name, half := strings.CutSuffix(info.Name(), ".partial")
		if half {
			name, half = strings.CutPrefix(name, ".")
		}
		if !half {
			name = info.Name()
		}
		if info.IsDir() && nameRE.MatchString(name) {
			s.all = append(s.all, Entry{Name: name, Time: info.ModTime(), Partial: half})
		}
	}
	slices.SortFunc(s.all, func(a, b Entry) int {
		return cmp.Or(b.Time.Compare(a.Time), strings.Compare(b.Name, a.Name))
	})
	s.current, err = t.current()
	if err != nil || s.current == "" {
		return s, err
	}
	previous, err := t.store.Readlink(before(s.current))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if s.has(previous) { // it may have been removed by hand
		s.previous = previous
	}
	return s, nil
}

// current is the name of the release that is current, "" if none is.
func (t *Tree) current() (string, error) {
	info, err := t.store.Lstat(currentLink)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return "", fmt.Errorf("%s is not a symbolic link\nhint: this tree was laid by other means: publish to a folder of its own, or move %[1]s away", currentLink)
	}
	target, err := t.store.Readlink(currentLink)
	if err != nil {
		return "", err
	}
	name := path.Base(target)
	if target != whole(name) || !nameRE.MatchString(name) {
		return "", fmt.Errorf("%s leads to %q, not to %s\nhint: this tree was laid by other means: publish to a folder of its own, or move %[1]s away", currentLink, target, whole("NAME"))
	}
	return name, nil
}

// found lays an empty tree, or finds one. The folder that holds it has to be
// there: a mistyped path shall not become a tree.
func (t *Tree) found() error {
	for _, name := range []string{".", releasesDir} {
		info, err := t.store.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := t.store.Mkdir(name); err != nil {
				return fmt.Errorf("%w\nhint: the folder above it must be there, and this user must be allowed to write to it", err)
			}
			if err := t.store.Chmod(name, 0o755); err != nil { // whatever the umask: servers read it
				return err
			}
		case err != nil:
			return err
		case name != "." && !info.IsDir():
			return fmt.Errorf("%s is not a folder", name)
		}
	}
	return nil
}

// replace makes name current in place of old, which a rollback goes back to.
func (t *Tree) replace(old, name string) error {
	if err := t.removeIfThere(before(name)); err != nil {
		return err
	}
	if old != "" {
		if err := t.store.Symlink(old, before(name)); err != nil {
			return err
		}
	}
	return t.turn(name)
}

// turn is the switch.
func (t *Tree) turn(name string) error {
	if err := t.removeIfThere(newLink); err != nil {
		return err
	}
	if err := t.store.Symlink(whole(name), newLink); err != nil {
		return err
	}
	return t.store.Rename(newLink, currentLink)
}

// removeIfThere removes a link or file that may be there.
func (t *Tree) removeIfThere(name string) error {
	if err := t.store.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// prune removes the releases that are more than o.Keep.
func (t *Tree) prune(l *lock, o Options) error {
	now, err := t.look()
	if err != nil {
		return err
	}
	for _, name := range now.surplus(o.Keep) {
		if err := l.held(); err != nil {
			return err
		}
		if err := t.store.Rename(whole(name), gone(name)); err != nil {
			return err
		}
		if err := t.sweep(); err != nil {
			return fmt.Errorf("%s is current, but remove %s: %w", now.current, name, err)
		}
		o.Report.Note("remove", name)
	}
	return nil
}

// sweep removes what was renamed to be removed, now or in a run that was killed.
func (t *Tree) sweep() error {
	list, err := t.store.List(releasesDir)
	if err != nil {
		return err
	}
	for _, info := range list {
		name, is := strings.CutSuffix(info.Name(), ".gone")
		name, dot := strings.CutPrefix(name, ".")
		if !is || !dot || !nameRE.MatchString(name) {
			continue
		}
		if err := t.removeFolder(gone(name)); err != nil {
			return err
		}
		if err := t.removeIfThere(before(name)); err != nil {
			return err
		}
	}
	return nil
}

// removeFolder removes a folder of files. It was read-only, which keeps the
// owner of its files from removing them.
func (t *Tree) removeFolder(folder string) error {
	if err := t.store.Chmod(folder, 0o755); err != nil {
		return err
	}
	list, err := t.store.List(folder)
	if err != nil {
		return err
	}
	for _, info := range list {
		if err := t.store.Remove(folder + "/" + info.Name()); err != nil {
			return err
		}
	}
	return t.store.Remove(folder)
}
