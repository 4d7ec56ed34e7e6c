package boxes

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"tench/internal/tomlfile"
	"tench/pxe/event"
)

// raw is boxes.toml as written; boxes.toml beside this file has every key.
type raw struct {
	Box map[string]rawBox `toml:"box"`
}

type rawBox struct {
	MAC      []string `toml:"mac"`
	Serial   string   `toml:"serial"`
	System   string   `toml:"system"`
	Board    string   `toml:"board"`
	Config   string   `toml:"config"`
	Identity string   `toml:"identity"`
	Disk     string   `toml:"disk"`
	Hardware string   `toml:"hardware"`
	Tree     string   `toml:"tree"`
	Speed    int      `toml:"speed"`
	Answers  string   `toml:"answers"`
}

// Load reads the list at path. known are the boards there are. That a path in
// it leads nowhere is an error as well. The error of a bad list is a
// tomlfile.Problems.
func Load(path string, known []string) (Inventory, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Inventory{}, fmt.Errorf("boxes: %w\nhint: bin/tench pxe --help shows one", err)
	}
	return parse(path, data, options{known: known, stat: os.Stat})
}

// options say what the list is held against.
type options struct {
	known []string
	stat  func(string) (os.FileInfo, error) // nil to believe every path
}

// parse decodes a list; file is its name in errors.
func parse(file string, data []byte, o options) (Inventory, error) {
	var r raw
	f, err := tomlfile.Decode(file, data, &r)
	if err != nil {
		return Inventory{}, err
	}
	c := checker{f: f, o: o, macs: map[event.MAC]string{}, serials: map[string]string{}}
	var inv Inventory
	for _, name := range slices.SortedFunc(maps.Keys(r.Box), c.inFileOrder) {
		inv.Boxes = append(inv.Boxes, c.box(name, r.Box[name]))
	}
	slices.SortFunc(inv.Boxes, func(a, b Box) int {
		if a.Name < b.Name {
			return -1
		}
		return 1 // no two keys of a TOML table are the same
	})
	if err := c.problems.OrNil(); err != nil {
		return Inventory{}, err
	}
	return inv, nil
}

// inFileOrder compares two boxes by their lines, so that of two with one MAC the
// later one is told.
func (c *checker) inFileOrder(a, b string) int {
	return c.f.Line("box", a) - c.f.Line("box", b)
}

// below is a path of the list, from where it lies.
func (c *checker) below(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(c.f.Name), path)
}
