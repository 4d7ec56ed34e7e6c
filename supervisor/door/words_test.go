package door

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	for in, want := range map[string][]string{
		"":                           nil,
		"  \t ":                      nil,
		"status":                     {"status"},
		" why  dhcp wan ":            {"why", "dhcp", "wan"},
		`why "dhcp wan"`:             {"why", "dhcp wan"},
		`why 'a "b" \ $(c)'`:         {"why", `a "b" \ $(c)`},
		`why "a \"b\" \\ \n 'c' $x"`: {"why", `a "b" \ \n 'c' $x`},
		`why a\ b\;c`:                {"why", "a b;c"},
		`why ''`:                     {"why", ""},
		`why "a"'b'c`:                {"why", "abc"},
		"apply - -confirm 5m":        {"apply", "-", "-confirm", "5m"},
		"why größe":                  {"why", "größe"},
	} {
		got, err := split(in)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("split(%q): %v (-want +got)\n%s", in, err, diff)
		}
	}
}

func TestSplitErrors(t *testing.T) {
	for in, want := range map[string]string{
		`why 'a`:                   "a quotation mark (') is not closed",
		`why "a`:                   `a quotation mark (") is not closed`,
		`why "a\"`:                 "is not closed",
		`why a\`:                   "nothing follows the last backslash",
		"status | cat":             `"|" means something to a shell only`,
		"status; reboot":           `";" means something`,
		"why $(reboot)":            `"$" means something`,
		"why *":                    `"*" means something`,
		"status >/tmp/x":           `">" means something`,
		"why a\nreboot":            "a control character (0x0a)",
		"why 'a\x1bb'":             "a control character (0x1b)",
		"why \\\x00":               "a control character (0x00)",
		strings.Repeat("a ", 4096): "at most 4096",
	} {
		got, err := split(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("split(%.40q) = %q, %v; want …%s…", in, got, err, want)
		}
	}
}

func TestParseCommand(t *testing.T) {
	for in, want := range map[string][]string{
		"":             {"menu"},
		"status -json": {"status", "-json"},
		"shell":        {"shell"},
	} {
		got, err := parseCommand(in)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("parseCommand(%q): %v (-want +got)\n%s", in, err, diff)
		}
	}
	for in, want := range map[string]string{
		"statsu":     `did you mean "status"?`,
		"loop":       "is not a command of this box\nhint: did you mean \"log\"?",
		"door":       "is not a command of this box",
		"console":    "is not a command of this box",
		"/bin/sh":    "is not a command of this box",
		"sftp":       "is not a command of this box",
		"'status":    "command: a quotation mark",
		"-h":         "is not a command of this box",
		"\"\" apply": "is not a command of this box",
	} {
		got, err := parseCommand(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseCommand(%q) = %q, %v; want …%s…", in, got, err, want)
		}
	}
}

// Words that are quoted as the comment of split says come out as they went in.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"status", `why "dhcp wan"`, `a\ b 'c"d'`, "x'", "\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		words, err := split(in)
		if err != nil {
			return
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w)+`"`)
		}
		line := strings.Join(quoted, " ")
		if len(line) > maxCommand {
			return
		}
		again, err := split(line)
		if err != nil {
			t.Fatalf("split(%q) = %q, but quoted %q: %v", in, words, line, err)
		}
		if diff := cmp.Diff(words, again); diff != "" {
			t.Errorf("split(%q), quoted %q (-want +got)\n%s", in, line, diff)
		}
	})
}

func TestWish(t *testing.T) {
	for line, want := range map[string]Wish{
		"":                    {},
		"22":                  {Port: 22},
		"2222 eth1/3 br.10/7": {Port: 2222, Devices: []Device{{"eth1", 3}, {"br.10", 7}}},
	} {
		got, err := ParseWish(line)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ParseWish(%q): %v (-want +got)\n%s", line, err, diff)
		}
		if got.String() != line {
			t.Errorf("ParseWish(%q) is written %q", line, got)
		}
	}
	for _, line := range []string{"0", "65536", "x", "22 eth1", "22 /3", "22 eth1/0", "22 eth1/x"} {
		if w, err := ParseWish(line); err == nil {
			t.Errorf("ParseWish(%q) = %v, want an error", line, w)
		}
	}
}
