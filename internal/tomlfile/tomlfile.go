// Package tomlfile reads TOML files strictly and says where a mistake is.
//
// board.toml, recipe.toml and router.toml are all read through it, so that an
// unknown key, a wrong type and a value out of range look the same in each:
// file, line, what was given, what is allowed.
//
//	tomlfile.go  Decode and the line index
//	problem.go   Problem and Problems, the errors a person reads
//	keys.go      the keys a Go type knows, and the nearest one to a typo
//
// The format is TOML 1.0 (https://toml.io/en/v1.0.0). Parsing is go-toml's; its
// syntax tree gives the lines that its decoder does not.
package tomlfile

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// File is a decoded file: it knows the line of every key.
type File struct {
	Name  string         // as shown in errors, e.g. "router.toml"
	keys  []string       // every key in the file, in file order
	lines map[string]int // joined key path -> line, counted from 1
}

// sep joins the parts of a key path; it cannot be in a TOML bare key, and a
// quoted key with it would only get a wrong line number.
const sep = "\x00"

// Decode parses data into v, a pointer to a struct with `toml` tags. Unknown
// keys are errors, all of them reported at once. The error is a Problems. When
// unknown keys are all that is wrong, v is filled and the File is returned
// beside the error, so that a caller can report its own findings with them.
func Decode(name string, data []byte, v any) (*File, error) {
	f := &File{Name: name, lines: map[string]int{}}
	if err := f.index(data); err != nil {
		// The decoder meets the same mistake and knows its position.
		if derr := toml.Unmarshal(data, &map[string]any{}); derr != nil {
			err = derr
		}
		return nil, Problems{f.decodeProblem(err)}
	}
	unknown := f.unknown(reflect.TypeOf(v).Elem())
	if err := toml.NewDecoder(bytes.NewReader(data)).Decode(v); err != nil {
		return nil, append(unknown, f.decodeProblem(err)).Sorted()
	}
	return f, unknown.OrNil()
}

// Line returns the line of the key at path, counted from 1; elements of arrays
// are named by their index. A key that is not in the file has the line of the
// nearest parent that is, or 0.
func (f *File) Line(path ...string) int {
	for n := len(path); n > 0; n-- {
		if line, ok := f.lines[strings.Join(path[:n], sep)]; ok {
			return line
		}
	}
	return 0
}

// Has reports whether the key at path is in the file.
func (f *File) Has(path ...string) bool {
	_, ok := f.lines[strings.Join(path, sep)]
	return ok
}

// decodeProblem turns go-toml's error into ours: it knows position and cause.
func (f *File) decodeProblem(err error) Problem {
	p := Problem{File: f.Name, Text: strings.TrimPrefix(err.Error(), "toml: ")}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		p.Line, _ = de.Position()
		p.Text = typeMismatch(p.Text)
		if key := de.Key(); len(key) > 0 {
			p.Text = strings.Join(key, ".") + ": " + p.Text
		}
	}
	return p
}

// typeMismatch says in TOML's words what go-toml says in Go's, e.g. "is an
// integer, not a table"; other texts come back as they are.
func typeMismatch(text string) string {
	rest, ok := strings.CutPrefix(text, "cannot decode TOML ")
	given, goType, found := strings.Cut(rest, " into ")
	if !ok || !found {
		return text
	}
	if _, fieldType, isField := strings.Cut(goType, " of type "); isField {
		goType = fieldType
	}
	article := "a"
	if strings.ContainsAny(given[:1], "aeiou") {
		article = "an"
	}
	return fmt.Sprintf("is %s %s, not %s", article, given, typeName(goType))
}

func typeName(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case goType == "string":
		return "a string"
	case goType == "bool":
		return "true or false"
	case strings.HasPrefix(goType, "int"):
		return "a whole number"
	default:
		return "a table"
	}
}

// index walks the syntax tree and notes the line of each key.
func (f *File) index(data []byte) error {
	var p unstable.Parser
	p.Reset(data)
	ends := lineEndsOf(data)
	var table []string
	tables := map[string]int{} // array table -> elements seen
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table:
			table = f.resolve(keyParts(e), tables)
			f.note(table, ends.ofKey(e))
		case unstable.ArrayTable:
			parts := keyParts(e)
			parent := f.resolve(parts[:len(parts)-1], tables)
			name := append(parent, parts[len(parts)-1:]...)
			id := strings.Join(name, sep)
			table = append(name, strconv.Itoa(tables[id]))
			tables[id]++
			f.note(name, ends.ofKey(e))
			f.note(table, ends.ofKey(e))
		case unstable.KeyValue:
			f.indexKeyValue(ends, table, e)
		}
	}
	return p.Error()
}

// resolve puts the index of the current element behind each part that names an
// array of tables, so that [a.b] below [[a]] becomes a.0.b.
func (f *File) resolve(parts []string, tables map[string]int) []string {
	var out []string
	for _, part := range parts {
		out = append(out, part)
		if n := tables[strings.Join(out, sep)]; n > 0 {
			out = append(out, strconv.Itoa(n-1))
		}
	}
	return out
}

func (f *File) indexKeyValue(ends lineEnds, table []string, kv *unstable.Node) {
	path := append(append([]string(nil), table...), keyParts(kv)...)
	f.note(path, ends.ofKey(kv))
	f.indexValue(ends, path, kv.Value())
}

func (f *File) indexValue(ends lineEnds, path []string, v *unstable.Node) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if n := it.Node(); n.Kind == unstable.KeyValue {
				f.indexKeyValue(ends, path, n)
			}
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			n := it.Node()
			elem := append(append([]string(nil), path...), strconv.Itoa(i))
			f.note(elem, ends.ofElement(n, f.Line(path...)))
			f.indexValue(ends, elem, n)
		}
	}
}

// note records the line of a key and of the parents it implies.
func (f *File) note(path []string, line int) {
	for n := 1; n <= len(path); n++ {
		id := strings.Join(path[:n], sep)
		if _, ok := f.lines[id]; !ok {
			f.lines[id] = line
			f.keys = append(f.keys, id)
		}
	}
}

func keyParts(n *unstable.Node) []string {
	var parts []string
	for it := n.Key(); it.Next(); {
		parts = append(parts, string(it.Node().Data))
	}
	return parts
}

// lineEnds is where the lines of a file end, in bytes. The parser counts lines
// too, but from the beginning of the file for each key.
type lineEnds []int

func lineEndsOf(data []byte) lineEnds {
	var ends lineEnds
	for i, b := range data {
		if b == '\n' {
			ends = append(ends, i)
		}
	}
	return ends
}

// of is the line that a part of the file begins in.
func (ends lineEnds) of(part unstable.Range) int {
	before, _ := slices.BinarySearch(ends, int(part.Offset))
	return before + 1
}

func (ends lineEnds) ofKey(n *unstable.Node) int {
	it := n.Key()
	if !it.Next() {
		return 0
	}
	return ends.of(it.Node().Raw)
}

// ofElement is the line of an element of an array; that of an array in an array
// is its first element's, since the parser does not tell where it begins, and
// that of an empty one the array's, which is given.
func (ends lineEnds) ofElement(n *unstable.Node, line int) int {
	if n.Raw.Length > 0 {
		return ends.of(n.Raw)
	}
	if it := n.Children(); n.Kind == unstable.Array && it.Next() {
		return ends.ofElement(it.Node(), line)
	}
	return line
}
