package flist

import (
	"fmt"
	"slices"
	"strings"

	"tench/internal/tomlfile"
)

// List is a list in a file. Its comments stay where they are when it is
// rewritten.
type List struct {
	Name  string // of the file, as shown in messages
	lines []line
}

// line is a line of the file; comments and empty lines have no entry.
type line struct {
	text  string
	entry Entry
}

// Parse reads a list. All mistakes are told together, each with its line.
func Parse(name string, data []byte) (List, error) {
	l := List{Name: name}
	var ps tomlfile.Problems
	seen := map[string]int{}
	if len(data) == 0 {
		return l, nil
	}
	for i, text := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "#") {
			l.lines = append(l.lines, line{text: text})
			continue
		}
		e, err := parseEntry(text)
		if err == nil && seen[e.Path] > 0 {
			err = fmt.Errorf("%s: it is already in line %d", e.Path, seen[e.Path])
		}
		if err != nil {
			ps = append(ps, tomlfile.Problem{File: name, Line: i + 1, Text: err.Error()})
			continue
		}
		seen[e.Path] = i + 1
		l.lines = append(l.lines, line{text, e})
	}
	return l, ps.OrNil()
}

// Entries are the list's entries in the order of the file.
func (l List) Entries() []Entry {
	var list []Entry
	for _, n := range l.lines {
		if n.entry.Path != "" {
			list = append(list, n.entry)
		}
	}
	return list
}

// Text is the file.
func (l List) Text() string {
	var b strings.Builder
	for _, n := range l.lines {
		b.WriteString(n.text + "\n")
	}
	return b.String()
}

// Has reports whether the path is in the list.
func (l List) Has(path string) bool { return l.index(path) >= 0 }

func (l List) index(path string) int {
	return slices.IndexFunc(l.lines, func(n line) bool { return n.entry.Path == path })
}

// Set puts an entry into the list: in the place of the one with its path, or
// behind the last one that sorts before it.
func (l *List) Set(e Entry) {
	new := line{e.String(), e}
	if at := l.index(e.Path); at >= 0 {
		l.lines[at] = new
		return
	}
	at := slices.IndexFunc(l.lines, func(n line) bool { return n.entry.Path != "" })
	if at < 0 {
		at = len(l.lines) // there are only comments
	}
	for i, n := range l.lines {
		if n.entry.Path != "" && n.entry.Path < e.Path {
			at = i + 1
		}
	}
	l.lines = slices.Insert(l.lines, at, new)
}

// Remove takes a path out of the list.
func (l *List) Remove(path string) {
	if at := l.index(path); at >= 0 {
		l.lines = slices.Delete(l.lines, at, at+1)
	}
}
