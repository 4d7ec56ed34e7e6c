package flist

import (
	"cmp"
	"fmt"
	"slices"
)

// Difference is a path that is not as it is declared.
type Difference struct {
	Path      string
	Want, Got string // its lines; "" where it is not declared, or not there
	Where     string // of the declaration, e.g. "build/flist:12"
	Found     Entry  // what Got says
}

// Lines are the difference as diff writes it: what is declared with a minus,
// what is there with a plus.
func (d Difference) Lines() []string {
	var lines []string
	if d.Want != "" {
		lines = append(lines, fmt.Sprintf("- %s  (%s)", d.Want, d.Where))
	}
	if d.Got != "" {
		lines = append(lines, "+ "+d.Got)
	}
	return lines
}

// Compare returns the differences between what the lists declare together and
// what was found, in the order of the paths. Where two lists declare a path the
// later one counts, as of two overlays the later one wins.
func Compare(lists []List, found []Entry) []Difference {
	byPath := map[string]Difference{}
	for _, l := range lists {
		for i, n := range l.lines {
			if n.entry.Path != "" {
				byPath[n.entry.Path] = Difference{Path: n.entry.Path, Want: n.entry.String(), Where: fmt.Sprintf("%s:%d", l.Name, i+1)}
			}
		}
	}
	for _, e := range found {
		d := byPath[e.Path]
		d.Path, d.Got, d.Found = e.Path, e.String(), e
		byPath[e.Path] = d
	}
	var list []Difference
	for _, d := range byPath {
		if d.Want != d.Got {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b Difference) int { return cmp.Compare(a.Path, b.Path) })
	return list
}
