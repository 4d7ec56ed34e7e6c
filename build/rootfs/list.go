package rootfs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"

	"tench/overlays"
)

// entries lists the whole tree, sorted, parents before children.
func entries(f Files) ([]overlays.Entry, error) {
	own, err := ownEntries(f)
	if err != nil {
		return nil, err
	}
	l := list{}
	for _, e := range append(own, f.Overlays...) {
		if err := l.add(e); err != nil {
			return nil, err
		}
	}
	for _, e := range append(own, f.Overlays...) {
		if err := l.addParents(e); err != nil {
			return nil, err
		}
	}
	return l.sorted(), nil
}

// list is the tree by path.
type list map[string]overlays.Entry

// add puts e into the tree. A path has one origin: an overlay that happened to
// replace a program of ours would do so without anybody noticing.
func (l list) add(e overlays.Entry) error {
	if !fs.ValidPath(e.Path) || e.Path == "." {
		return fmt.Errorf("%s: %q is not a path below the root", e.From, e.Path)
	}
	if old, ok := l[e.Path]; ok {
		return fmt.Errorf("/%s comes from two places: %s and %s", e.Path, old.From, e.From)
	}
	l[e.Path] = e
	return nil
}

func (l list) addParents(e overlays.Entry) error {
	for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
		old, ok := l[dir]
		if ok && !old.Mode.IsDir() {
			return fmt.Errorf("/%s (%s) is below /%s, which is no folder (%s)", e.Path, e.From, dir, old.From)
		}
		if !ok {
			l[dir] = overlays.Entry{Path: dir, Mode: fs.ModeDir | 0o755, From: e.From}
		}
	}
	return nil
}

// sorted orders by path; a parent is a prefix of its children and comes first.
func (l list) sorted() []overlays.Entry {
	var all []overlays.Entry
	for _, e := range l {
		all = append(all, e)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Path < all[j].Path })
	return all
}

// ownEntries are the entries that the build itself makes.
func ownEntries(f Files) ([]overlays.Entry, error) {
	own := []overlays.Entry{
		link("init", "bin/tenchd"),
		link("bin/bb", "tenchd"),
		link("bin/sh", "gosh"),
		// The kernel opens the console before PID 1 mounts /dev.
		{Path: "dev/console", Mode: fs.ModeDevice | fs.ModeCharDevice | 0o600, From: "the build"},
		{Path: "dev/null", Mode: fs.ModeDevice | fs.ModeCharDevice | 0o666, From: "the build"},
	}
	for _, programs := range []map[string]string{{"bin/tenchd": f.Tenchd}, f.Programs} {
		for name, file := range programs {
			e, err := programEntry(name, file)
			if err != nil {
				return nil, err
			}
			own = append(own, e)
		}
	}
	packed, err := os.ReadFile(f.Packed)
	if err != nil {
		return nil, err
	}
	own = append(own, overlays.Entry{Path: packedName, Mode: 0o644, Data: packed, From: f.Packed})
	for _, name := range f.Commands {
		own = append(own, link("bin/"+name, "bb"))
	}
	for name, data := range f.Etc {
		own = append(own, overlays.Entry{Path: "etc/tench/" + name, Mode: 0o644, Data: data, From: "the build"})
	}
	return own, nil
}

// packedName is the packed busybox.
const packedName = "bin/bb.zst"

func programEntry(name, file string) (overlays.Entry, error) {
	data, err := os.ReadFile(file)
	return overlays.Entry{Path: name, Mode: 0o755, Data: data, From: file}, err
}

func link(p, target string) overlays.Entry {
	return overlays.Entry{Path: p, Mode: fs.ModeSymlink | 0o777, Link: target, From: "the build"}
}
