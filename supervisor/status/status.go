// Package status says what is up on a box, and why the rest is not.
//
//	status.go   Node, the tree; Why, the chain of causes
//	print.go    the tree as a table for people
//	control.go  Request, Response and Handler: what is said on the control socket
//	generations.go  what is said there about generations of router.toml
//	server.go   Serve, the loop's end of the socket
//	client.go   Client, the end of tenchd's commands and of the console menu
//
// It draws and carries; it knows nothing of router.toml and decides nothing.
package status

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tench/internal/nearest"
)

// Node is one thing on the box and how it does. Its JSON form is what
// `tenchd status -json` prints; fields are only ever added to it.
type Node struct {
	Name   string   `json:"name"`             // e.g. "lan", "dhcp wan"
	State  string   `json:"state"`            // one or two words, e.g. "up", "down", "asking"
	OK     bool     `json:"ok"`               // it does what router.toml wants of it
	Cause  string   `json:"cause,omitempty"`  // why it is not OK, e.g. "no carrier on eth1"
	Needs  []string `json:"needs,omitempty"`  // names of nodes that it cannot be OK without
	Detail []string `json:"detail,omitempty"` // further facts, e.g. "192.168.1.1/24"
	// Facts are those of Detail that programs want by name, e.g. "slot": "a".
	Facts    map[string]string `json:"facts,omitempty"`
	Children []Node            `json:"children,omitempty"` // its parts, in the order to show them
}

// Find returns the node called name, the root included. An interface may be called
// like something else, e.g. "clock": of several it is the first that something is
// wrong with.
func (n Node) Find(name string) (found Node, ok bool) {
	if n.Name == name {
		found, ok = n, true
	}
	for _, c := range n.Children {
		if more, has := c.Find(name); has && (!ok || !anyWrong(found) && anyWrong(more)) {
			found, ok = more, true
		}
	}
	return found, ok
}

// Names lists every node's name in the order of the tree.
func (n Node) Names() []string {
	names := []string{n.Name}
	for _, c := range n.Children {
		names = append(names, c.Names()...)
	}
	return names
}

// Why returns the chain of causes that ends at the node called name, one line
// each, e.g. "lan down: no carrier on eth1". What the node needs comes after
// it, then its parts; things that are OK are left out, except the node itself.
func Why(root Node, name string) ([]string, error) {
	n, ok := root.Find(name)
	if !ok {
		return nil, unknown(root, name)
	}
	if !anyWrong(n) {
		return []string{n.line() + ": nothing is wrong with it"}, nil
	}
	w := walk{root: root, seen: map[string]bool{}}
	w.visit(n)
	if len(w.lines) == 0 {
		// Only reachable when names are not unique; the node itself still tells.
		w.lines = []string{n.line()}
	}
	return w.lines, nil
}

// walk collects the lines of what is not OK, each node once, so that nodes
// that need each other do not send it round for ever.
type walk struct {
	root  Node
	seen  map[string]bool
	lines []string
}

func (w *walk) visit(n Node) {
	if w.seen[n.line()] {
		return
	}
	w.seen[n.line()] = true
	if !n.OK {
		w.lines = append(w.lines, n.line())
	}
	for _, name := range n.Needs {
		if need, ok := w.root.Find(name); ok {
			w.visit(need)
		}
	}
	for _, c := range n.Children {
		w.visit(c)
	}
}

func anyWrong(n Node) bool {
	return !n.OK || slices.ContainsFunc(n.Children, anyWrong)
}

func (n Node) line() string {
	line := Plain(n.Name + " " + n.State)
	if n.Cause != "" {
		line += ": " + Plain(n.Cause)
	}
	return line
}

func unknown(root Node, name string) error {
	names := root.Names()
	hint := "names: " + strings.Join(names, ", ")
	if near := nearest.Of(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return errors.New(Plain(fmt.Sprintf("why %q: there is nothing of this name", name)) + "\nhint: " + Plain(hint))
}

// Plain keeps what a server on the network or a file put into a text from
// steering the terminal: all but printable ASCII becomes "?".
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
