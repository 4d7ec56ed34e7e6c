package imagediff

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
)

// tree is files, folders and the like, by slash-separated path.
type tree map[string]entry

// room says why there is none for one more entry at path, in a tree that
// somebody made to fill the memory.
func (t tree) room(path string) error {
	switch {
	case len(t) >= maxEntries:
		return fmt.Errorf("more than %d entries", maxEntries)
	case len(path) > maxPath:
		return fmt.Errorf("a path of more than %d bytes", maxPath)
	}
	return nil
}

// entry is one of them.
type entry struct {
	about string // all that it has beside its content, in words, e.g. "mode 0644"
	size  int64  // bytes of content
	read  func() ([]byte, error)
}

const (
	maxEntries = 1 << 16   // of a tree
	maxPath    = 4096      // bytes of a path, Linux' PATH_MAX
	maxFile    = 512 << 20 // bytes of a file: as large as the largest slot
	maxText    = 512 << 10 // bytes of a file that is shown as text
)

// pair says where two trees that are compared come from.
type pair struct {
	part   string
	prefix string // before the paths, e.g. "initrd: "
}

// inside are the files that hold more files, by path: how to look into them.
var inside = map[string]func([]byte) (tree, error){
	"initrd":  initrdTree,
	"vmlinuz": kernelTree,
}

// compareTrees lists what differs between two trees, by path.
func compareTrees(where pair, a, b tree) []Difference {
	paths := slices.Sorted(maps.Keys(a))
	for path := range b {
		if _, both := a[path]; !both {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	var list []Difference
	for _, path := range paths {
		d := Difference{Part: where.part, File: where.prefix + path, Offset: -1}
		one, inA := a[path]
		two, inB := b[path]
		switch {
		case !inB:
			d.What = fmt.Sprintf("only in the first image (%s, %d bytes)", one.about, one.size)
			list = append(list, d)
		case !inA:
			d.What = fmt.Sprintf("only in the second image (%s, %d bytes)", two.about, two.size)
			list = append(list, d)
		default:
			list = append(list, compareEntries(d, one, two)...)
		}
	}
	return list
}

// compareEntries compares what lies at d.File in both trees.
func compareEntries(d Difference, a, b entry) []Difference {
	var list []Difference
	if a.about != b.about {
		about := d
		about.What = a.about + " -> " + b.about
		list = append(list, about)
	}
	if a.read == nil || b.read == nil {
		return list
	}
	one, err := a.read()
	if err != nil {
		d.What = fmt.Sprintf("in the first image: %v", err)
		return append(list, d)
	}
	two, err := b.read()
	if err != nil {
		d.What = fmt.Sprintf("in the second image: %v", err)
		return append(list, d)
	}
	at := mismatch(one, two)
	if at < 0 {
		return list
	}
	d.Offset = int64(at)
	d.What = fmt.Sprintf("first different at byte %d of %d", at, len(one))
	if len(one) != len(two) {
		d.What = fmt.Sprintf("%d -> %d bytes, first different at byte %d", len(one), len(two), at)
	}
	if isText(one) && isText(two) {
		d.Text = string(diff.Diff("first/"+d.File, one, "second/"+d.File, two))
	}
	list = append(list, d)
	if look := inside[d.File]; look != nil {
		return append(list, compareInside(d, look, one, two)...)
	}
	return list
}

// compareInside looks into two files of the name d.File that differ.
func compareInside(d Difference, look func([]byte) (tree, error), one, two []byte) []Difference {
	d.Offset, d.Text = -1, ""
	a, err := look(one)
	if err != nil {
		d.What = fmt.Sprintf("cannot look into the first one: %v", err)
		return []Difference{d}
	}
	b, err := look(two)
	if err != nil {
		d.What = fmt.Sprintf("cannot look into the second one: %v", err)
		return []Difference{d}
	}
	list := compareTrees(pair{d.Part, d.File + ": "}, a, b)
	if len(list) == 0 {
		d.What = "what is readable inside is equal"
		return []Difference{d}
	}
	return list
}

func isText(data []byte) bool {
	return len(data) <= maxText && utf8.Valid(data) && bytes.IndexByte(data, 0) < 0
}

// content is an entry's read of data that is in memory.
func content(data []byte) func() ([]byte, error) {
	return func() ([]byte, error) { return data, nil }
}
