package tomlfile

import (
	"fmt"
	"sort"
	"strings"
)

// Problem is one mistake in a file, in the words an operator reads.
type Problem struct {
	File string // e.g. "router.toml"
	Line int    // from 1; 0 where no line can be named
	Text string // e.g. "interface.wan.mtu: 70000 is not between 576 and 9216"
	Hint string // what to do about it; may be empty
}

func (p Problem) String() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	s := where + ": " + p.Text
	if p.Hint != "" {
		s += "\n  hint: " + p.Hint
	}
	return s
}

// Problems is every mistake found in a file; as an error it prints one a line.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sorted returns the problems in file order.
func (ps Problems) Sorted() Problems {
	sort.SliceStable(ps, func(i, j int) bool { return ps[i].Line < ps[j].Line })
	return ps
}

// OrNil returns ps as an error, or nil when there is none.
func (ps Problems) OrNil() error {
	if len(ps) == 0 {
		return nil
	}
	return ps.Sorted()
}
