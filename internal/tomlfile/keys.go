package tomlfile

import (
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"tench/internal/nearest"
)

// unknown lists the keys of the file that type t has no field for.
func (f *File) unknown(t reflect.Type) Problems {
	var ps Problems
	fields := fieldsByType{}
	bad := map[string]bool{}
	for _, id := range f.keys {
		path := strings.Split(id, sep)
		if bad[strings.Join(path[:len(path)-1], sep)] {
			bad[id] = true // its parent is already reported
			continue
		}
		known, ok := fields.lookup(t, path)
		if ok {
			continue
		}
		bad[id] = true
		last := path[len(path)-1]
		p := Problem{File: f.Name, Line: f.lines[id], Text: fmt.Sprintf("unknown key %q", strings.Join(path, "."))}
		if near := nearest.Of(last, known); near != "" {
			p.Hint = fmt.Sprintf("did you mean %q?", near)
		} else if len(known) > 0 {
			p.Hint = "known here: " + strings.Join(known, ", ")
		} else {
			p.Hint = fmt.Sprintf("the head of a table in a list has two brackets: [[%s]]", strings.Join(path[:len(path)-1], "."))
		}
		ps = append(ps, p)
	}
	return ps
}

// fieldsByType are the keys of the structs that were met: a file asks for those of
// one type again and again.
type fieldsByType map[reflect.Type]map[string]reflect.Type

// lookup follows path through t. When the last part is unknown it returns the
// keys that would have been right, none where a list needs an index. Values
// that decode themselves (anything not a struct, map or slice) end the walk:
// their own check is the type error.
func (f fieldsByType) lookup(t reflect.Type, path []string) (known []string, ok bool) {
	for _, part := range path {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch t.Kind() {
		case reflect.Struct:
			fields := f.of(t)
			next, found := fields[part]
			if !found {
				return sortedKeys(fields), false
			}
			t = next
		case reflect.Map:
			t = t.Elem()
		case reflect.Slice, reflect.Array:
			if _, err := strconv.Atoi(part); err != nil {
				return nil, false
			}
			t = t.Elem()
		default:
			return nil, true
		}
	}
	return nil, true
}

func (f fieldsByType) of(t reflect.Type) map[string]reflect.Type {
	if fields, known := f[t]; known {
		return fields
	}
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("toml"), ",")
		if name != "" && name != "-" {
			fields[name] = sf.Type
		}
	}
	f[t] = fields
	return fields
}

func sortedKeys(m map[string]reflect.Type) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
