package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"tench/boards"
	"tench/internal/nearest"
)

// Fragment is a file with a part of a kernel configuration.
type Fragment struct {
	Name string // as shown in errors, e.g. "net.config"
	Path string
}

// Symbol is a configuration symbol with the value that a fragment wants.
type Symbol struct {
	Name  string // without CONFIG_, e.g. "PPPOE"
	Value string // "y", "n", a number, or a string in its quotes
	File  string // the fragment's name
	Line  int    // counted from 1
}

// place is where the symbol is wanted; board.toml has no line here.
func (s Symbol) place() string {
	if s.Line == 0 {
		return s.File
	}
	return fmt.Sprintf("%s:%d", s.File, s.Line)
}

// Fragments lists the board's fragments in the order in which they are merged:
// those that board.toml names, out of dir, then the board's own kernel.config
// where it has one.
func Fragments(b boards.Board, dir string) ([]Fragment, error) {
	var frags []Fragment
	for _, name := range b.Kernel.Fragments {
		f := Fragment{Name: name + ".config", Path: filepath.Join(dir, name+".config")}
		if _, err := os.Stat(f.Path); err != nil {
			return nil, fmt.Errorf("board %s: kernel fragment %q: there is no %s\nhint: %s", b.Name, name, f.Path, fragmentHint(dir, name))
		}
		frags = append(frags, f)
	}
	own := filepath.Join(b.Dir, "kernel.config")
	_, err := os.Stat(own)
	if errors.Is(err, fs.ErrNotExist) {
		return frags, nil
	}
	if err != nil {
		return nil, fmt.Errorf("board %s: %w", b.Name, err)
	}
	return append(frags, Fragment{Name: "boards/" + b.Name + "/kernel.config", Path: own}), nil
}

func fragmentHint(dir, name string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.config"))
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".config"))
	}
	hint := "fragments: " + strings.Join(names, ", ")
	if near := nearest.Of(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return hint
}

// Merge reads the fragments; of several assignments of a symbol the last
// fragment's wins. Mistakes of all fragments are reported together.
func Merge(frags []Fragment) ([]Symbol, error) {
	at := map[string]int{}
	var merged []Symbol
	var errs []error
	for _, f := range frags {
		data, err := os.ReadFile(f.Path)
		if err != nil {
			errs = append(errs, fmt.Errorf("fragment %s: %w", f.Name, err))
			continue
		}
		symbols, err := ParseFragment(f.Name, data)
		if err != nil {
			errs = append(errs, err)
		}
		for _, s := range symbols {
			if i, ok := at[s.Name]; ok {
				merged[i] = s
				continue
			}
			at[s.Name] = len(merged)
			merged = append(merged, s)
		}
	}
	return merged, errors.Join(errs...)
}

var (
	assignRE = regexp.MustCompile(`^CONFIG_([A-Za-z0-9_]+)=(.*)$`)
	unsetRE  = regexp.MustCompile(`^# CONFIG_([A-Za-z0-9_]+) is not set$`)
	// An unset-line with a typo would be a comment, and its symbol not off.
	almostUnsetRE = regexp.MustCompile(`(?i)^#\s*(CONFIG_)?[A-Z0-9_]+ is not set\b`)
	valueRE       = regexp.MustCompile(`^(y|n|-?[0-9]+|0x[0-9A-Fa-f]+|"([^"\\]|\\.)*")$`)
)

// ParseFragment reads the fragment called name. Lines are "CONFIG_X=value",
// "# CONFIG_X is not set", other comments, or empty. A symbol may be in a file
// once.
func ParseFragment(name string, data []byte) ([]Symbol, error) {
	var symbols []Symbol
	var errs []error
	lines := map[string]int{}
	for i, raw := range strings.Split(string(data), "\n") {
		s, err := parseLine(strings.TrimRight(raw, " \t\r"))
		s.File, s.Line = name, i+1
		if err == nil && s.Name != "" && lines[s.Name] > 0 {
			err = fmt.Errorf("%s is already set in line %d", s.Name, lines[s.Name])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.place(), err))
			continue
		}
		if s.Name == "" {
			continue
		}
		lines[s.Name] = s.Line
		symbols = append(symbols, s)
	}
	return symbols, errors.Join(errs...)
}

// parseLine reads one line; a comment gives a Symbol without a name.
func parseLine(line string) (Symbol, error) {
	if m := unsetRE.FindStringSubmatch(line); m != nil {
		return Symbol{Name: m[1], Value: "n"}, nil
	}
	if almostUnsetRE.MatchString(line) {
		return Symbol{}, fmt.Errorf("%q is a comment\nhint: to switch a symbol off write exactly \"# CONFIG_NAME is not set\"", line)
	}
	if line == "" || strings.HasPrefix(line, "#") {
		return Symbol{}, nil
	}
	m := assignRE.FindStringSubmatch(line)
	if m == nil {
		return Symbol{}, fmt.Errorf("%q is not CONFIG_NAME=value", line)
	}
	if m[2] == "m" {
		return Symbol{}, fmt.Errorf("%s=m: the kernel has no modules\nhint: write y", m[1])
	}
	if !valueRE.MatchString(m[2]) {
		return Symbol{}, fmt.Errorf("%s=%s: a value is y, n, a number or a \"string\"", m[1], m[2])
	}
	return Symbol{Name: m[1], Value: m[2]}, nil
}

// renderSymbols writes symbols in the format of a .config.
func renderSymbols(symbols []Symbol) []byte {
	var b bytes.Buffer
	for _, s := range symbols {
		if s.Value == "n" {
			fmt.Fprintf(&b, "# CONFIG_%s is not set\n", s.Name)
			continue
		}
		fmt.Fprintf(&b, "CONFIG_%s=%s\n", s.Name, s.Value)
	}
	return b.Bytes()
}
