package supervisor

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tench/boards"
	"tench/config"
	"tench/supervisor/desired"
	"tench/supervisor/status"
)

// compute is desired.Compute with the board's own settings, and with what goes
// back to what it was before router.toml named it. What the operator wrote wins
// over a quirk of the board.
func (l *loop) compute() desired.Desired {
	want := desired.Compute(l.cfg, l.ports, l.facts)
	for _, w := range want.Links {
		delete(l.left, w.Name)
	}
	want.Left = slices.Sorted(maps.Keys(l.left))
	l.ownMTUs(want.Links)
	for _, q := range l.board.Quirks {
		for _, key := range slices.Sorted(maps.Keys(q.Sysctl)) {
			taken := slices.ContainsFunc(want.Sysctls, func(s config.Sysctl) bool { return s.Key == key })
			if !taken {
				want.Sysctls = append(want.Sysctls, config.Sysctl{Key: key, Value: q.Sysctl[key]})
			}
		}
	}
	return want
}

// quirkNodes tell of each quirk of the board whether it is in force, by reading
// back what proves it. root is "/".
func quirkNodes(b boards.Board, root string) []status.Node {
	var list []status.Node
	for _, q := range b.Quirks {
		n := status.Node{Name: "quirk " + q.Name, State: "in force", OK: true}
		for _, c := range q.Check {
			have, cause := readBack(c, root)
			if cause != "" {
				n.OK, n.State, n.Cause = false, "not in force", cause
				break
			}
			n.Detail = append(n.Detail, filepath.Base(c.File)+" "+have)
		}
		list = append(list, n)
	}
	return list
}

// readBack reads a check's file; cause is why it does not prove anything.
func readBack(c boards.Check, root string) (have, cause string) {
	data, err := os.ReadFile(filepath.Join(root, c.File))
	if err != nil {
		return "", err.Error()
	}
	have = strings.TrimSpace(string(data))
	if !slices.Contains(c.Want, have) {
		return have, fmt.Sprintf("%s holds %q, not %s", c.File, have, strings.Join(c.Want, " or "))
	}
	return have, ""
}
