package tomlfile

import (
	"strings"
	"testing"
)

type port struct {
	Name string `toml:"name"`
	MTU  int    `toml:"mtu"`
}

type sample struct {
	Title string          `toml:"title"`
	Port  map[string]port `toml:"port"`
	Route []struct {
		To  string `toml:"to"`
		Via string `toml:"via"`
	} `toml:"route"`
	List  []string `toml:"list"`
	Inner struct {
		Deep struct {
			Value int `toml:"value"`
		} `toml:"deep"`
	} `toml:"inner"`
}

const good = `title = "x"
list = ["a",
  "b"]
inner.deep.value = 3

[port.wan]
name = "eth0"
mtu = 1500

[port]
lan = { name = "eth1", mtu = 9000 }

[[route]]
to = "a"
[[route]]
to = "b"
via = "c"
`

func TestLine(t *testing.T) {
	var v sample
	// [port] after [port.wan] defines a super-table late, which TOML allows.
	f, err := Decode("t.toml", []byte(good), &v)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"title": 1, "list": 2, "list.0": 2, "list.1": 3, "inner.deep.value": 4,
		"port.wan": 6, "port.wan.mtu": 8, "port.lan": 11, "port.lan.mtu": 11,
		"route.0.to": 14, "route.1": 15, "route.1.via": 17, "port.wan.absent": 6, "nothing": 0,
	} {
		if got := f.Line(strings.Split(path, ".")...); got != want {
			t.Errorf("Line(%s) = %d, want %d", path, got, want)
		}
	}
	if !f.Has("port", "wan", "mtu") || f.Has("port", "wan", "absent") {
		t.Error("Has is wrong about port.wan")
	}
}

func TestDecodeErrors(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"unknown key, near one":     {"titel = 'x'\n", "t.toml:1: unknown key \"titel\"\n  hint: did you mean \"title\"?"},
		"unknown key in a table":    {"[port.wan]\n\nmut = 3\n", "t.toml:3: unknown key \"port.wan.mut\"\n  hint: did you mean \"mtu\"?"},
		"unknown key, nothing near": {"zzzzzzzzz = 1\n", "t.toml:1: unknown key \"zzzzzzzzz\"\n  hint: known here: inner, list, port, route, title"},
		"unknown in inline table":   {"port.wan = { nam = 'x' }\n", "t.toml:1: unknown key \"port.wan.nam\"\n  hint: did you mean \"name\"?"},
		"two unknown keys":          {"foo = 1\n[bar]\nx = 1\n", "t.toml:1: unknown key \"foo\"\n  hint: known here: inner, list, port, route, title\nt.toml:2: unknown key \"bar\"\n  hint: known here: inner, list, port, route, title"},
		"wrong type":                {"\n[port.wan]\nmtu = 'x'\n", "t.toml:3: port.wan.mtu: is a string, not a whole number"},
		"wrong type and unknown":    {"[port.wan]\nmtu = 'x'\nmut = 3\n", "t.toml:2: port.wan.mtu: is a string, not a whole number\nt.toml:3: unknown key \"port.wan.mut\"\n  hint: did you mean \"mtu\"?"},
		"value for a table":         {"port.wan = 3\n", "t.toml:1: port.wan: is an integer, not a table"},
		"value in a table of them":  {"[port]\nwan = 'x'\n", "t.toml:2: port.wan: is a string, not a table"},
		"one table for a list":      {"[route]\nto = 'x'\n", "t.toml:2: unknown key \"route.to\"\n  hint: the head of a table in a list has two brackets: [[route]]"},
		"syntax":                    {"title = 'x'\n= 3\n", "t.toml:2: "},
		"duplicate":                 {"title = 'x'\ntitle = 'y'\n", "t.toml:2: "},
	} {
		t.Run(name, func(t *testing.T) {
			var v sample
			_, err := Decode("t.toml", []byte(tc.in), &v)
			if err == nil {
				t.Fatalf("Decode(%q) = nil, want an error", tc.in)
			}
			if !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("Decode(%q) =\n%v\nwant\n%s", tc.in, err, tc.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("a = [[1, {b = 2}], \"\"\"x\n\"\"\"]\n[[a.b]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v sample
		if file, err := Decode("f", data, &v); err == nil && v.Title != "" && file.Line("title") == 0 {
			t.Errorf("title = %q has no line", v.Title)
		}
	})
}
