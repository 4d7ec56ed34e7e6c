package status

import (
	"fmt"
	"io"
	"strings"
)

// Columns of the table. 79, not 80: many terminals wrap after writing the 80th.
const (
	width      = 79
	nameWidth  = 24
	stateWidth = 10
)

// Print writes the tree as a table in plain ASCII, at most 79 columns wide, so
// that it reads well on a dumb terminal at 9600 baud. A "!" marks what is not
// OK; its cause stands first.
func Print(w io.Writer, root Node) error {
	var b strings.Builder
	printNode(&b, root, 0)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("status: print tree: %w", err)
	}
	return nil
}

func printNode(b *strings.Builder, n Node, depth int) {
	mark := " "
	if !n.OK {
		mark = "!"
	}
	name := mark + " " + strings.Repeat("  ", depth) + Plain(n.Name)
	head := fmt.Sprintf("%-*s %-*s ", nameWidth, name, stateWidth, Plain(n.State))
	var texts []string
	if n.Cause != "" {
		texts = append(texts, Plain(n.Cause))
	}
	for _, d := range n.Detail {
		texts = append(texts, Plain(d))
	}
	const indent = nameWidth + stateWidth + 2
	line := head
	for i, word := range strings.Fields(strings.Join(texts, ", ")) {
		if len(line)+len(word) > width && (i > 0 || len(word) > width-indent) {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			// A long one, e.g. a fingerprint, begins further left.
			line = strings.Repeat(" ", max(0, min(indent, width-len(word))))
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	for _, c := range n.Children {
		printNode(b, c, depth+1)
	}
}
