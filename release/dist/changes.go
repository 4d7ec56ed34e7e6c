package dist

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// changed is one line of a table of versions.
type changed struct {
	name          string
	before, after string // "" where there is none
	licence       string
}

// versions are those of all boards, by component. Boards of one release may
// have different ones, and so may two programs of a board.
func versions(parts []part, modules bool) map[string]changed {
	all := map[string]changed{}
	for _, p := range parts {
		for _, c := range p.components {
			if c.Module != modules {
				continue
			}
			v := all[c.Name]
			v.name, v.licence = c.Name, c.Licence
			if known := strings.Split(v.after, ", "); v.after == "" {
				v.after = c.Version
			} else if !slices.Contains(known, c.Version) {
				v.after = strings.Join(slices.Sorted(slices.Values(append(known, c.Version))), ", ")
			}
			all[c.Name] = v
		}
	}
	return all
}

// versionChanges are the components whose version is another than before.
func versionChanges(before, after []part, modules bool) []changed {
	old, all := versions(before, modules), versions(after, modules)
	for name, v := range old {
		n := all[name]
		n.name, n.before = name, v.after
		all[name] = n
	}
	list := slices.SortedFunc(maps.Values(all), func(a, b changed) int { return cmp.Compare(a.name, b.name) })
	return slices.DeleteFunc(list, func(c changed) bool { return c.before == c.after })
}

// patchChanges are the patches that came, went or are others now.
func patchChanges(before, after part) []string {
	return lineChanges(before.patches, after.patches)
}

// optionChanges are the lines of a .config that came and went.
func optionChanges(before, after part) []string {
	return lineChanges(set(before.options), set(after.options))
}

// fileChanges are the files of the root that came and went.
func fileChanges(before, after part) []string {
	return lineChanges(before.files, after.files)
}

func set(options map[string]string) map[string]bool {
	all := map[string]bool{}
	for name, value := range options {
		all[name+"="+value] = true
	}
	return all
}

// lineChanges are the lines that went, with "-" before them, and those that
// came, with "+", in the order of the lines.
func lineChanges(before, after map[string]bool) []string {
	var list []string
	for line := range before {
		if !after[line] {
			list = append(list, "-"+line)
		}
	}
	for line := range after {
		if !before[line] {
			list = append(list, "+"+line)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		name := func(s string) string { s, _, _ = strings.Cut(s[1:], "="); return s }
		// "+" is before "-" in ASCII; what went is told first.
		return cmp.Or(cmp.Compare(name(a), name(b)), cmp.Compare(b[0], a[0]))
	})
	return list
}

// group is boards that have the same changes.
type group struct {
	boards []string
	lines  []string
}

// groups puts the boards that both releases have together by their changes.
func groups(before, after []part, changes func(before, after part) []string) []group {
	var list []group
	for _, p := range after {
		i := slices.IndexFunc(before, func(old part) bool { return old.name == p.name })
		if i < 0 {
			continue
		}
		lines := changes(before[i], p)
		if len(lines) == 0 {
			continue
		}
		j := slices.IndexFunc(list, func(g group) bool { return slices.Equal(g.lines, lines) })
		if j < 0 {
			list, j = append(list, group{lines: lines}), len(list)
		}
		list[j].boards = append(list[j].boards, p.name)
	}
	return list
}

// missing are the names of parts that others do not have.
func missing(parts, others []part) []string {
	var names []string
	for _, p := range parts {
		if !slices.ContainsFunc(others, func(o part) bool { return o.name == p.name }) {
			names = append(names, p.name)
		}
	}
	return names
}
