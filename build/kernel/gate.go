package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tench/boards"
)

// config is a finished .config: the value of each symbol that is not off.
type config map[string]string

// value returns "n" for what is not set, as in Kconfig expressions.
func (c config) value(symbol string) string {
	if v, ok := c[symbol]; ok {
		return v
	}
	return "n"
}

func readConfig(path string) (config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := config{}
	for _, line := range strings.Split(string(data), "\n") {
		if m := assignRE.FindStringSubmatch(line); m != nil {
			c[m[1]] = m[2]
		}
	}
	return c, nil
}

// Unmet is one symbol that did not come out as it was asked for.
type Unmet struct {
	Symbol
	Got string // "n" when it is not set
	Why string // e.g. "it depends on PPP, which is n"
}

func (u Unmet) String() string {
	s := fmt.Sprintf("kernel config: %s=%s is wanted by %s but is %s", u.Name, u.Value, u.place(), u.Got)
	if u.Why != "" {
		s += ": " + u.Why
	}
	return s
}

// GateError lists every symbol that is not as it was asked for.
type GateError []Unmet

func (e GateError) Error() string {
	lines := make([]string, len(e))
	for i, u := range e {
		lines[i] = u.String()
	}
	return strings.Join(lines, "\n") + "\nhint: change the fragment, or name there what the symbol depends on"
}

// Gate compares the finished .config in file with the wanted symbols and with
// what board.toml requires and forbids. The error is a GateError that says for
// each difference who wanted it and why it could not be had.
func Gate(b boards.Board, src Source, file string, wanted []Symbol) error {
	c, err := readConfig(file)
	if err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	unmet := unmetIn(c, append(append([]Symbol(nil), wanted...), boardSymbols(b)...))
	if len(unmet) == 0 {
		return nil
	}
	// Only now are the 1,500 Kconfig files worth reading.
	k, err := readKconfig(src.Tree, map[string]string{"SRCARCH": sourceArch(b), "ARCH": b.Arch.Linux})
	if err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	for i := range unmet {
		unmet[i].Why = k.why(unmet[i].Symbol, c)
	}
	return unmet
}

// CheckRequired compares a built kernel's configuration in file with what
// board.toml requires and forbids, and with what the programs of the image
// require (more). Build does so before it compiles; a kernel from the cache may
// have been built for another board with the same fragments, or before a program
// was added.
func CheckRequired(b boards.Board, more []Symbol, file string) error {
	c, err := readConfig(file)
	if err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	if unmet := unmetIn(c, append(boardSymbols(b), more...)); len(unmet) > 0 {
		return unmet
	}
	return nil
}

func unmetIn(c config, wanted []Symbol) GateError {
	var unmet GateError
	for _, s := range wanted {
		if got := c.value(s.Name); got != s.Value {
			unmet = append(unmet, Unmet{Symbol: s, Got: got})
		}
	}
	return unmet
}

// sourceArch is the folder below arch/ in the kernel tree: the image's path
// starts with it.
func sourceArch(b boards.Board) string {
	parts := strings.Split(filepath.ToSlash(b.Arch.Image), "/")
	if len(parts) < 2 {
		panic("kernel: board " + b.Name + " has no image path")
	}
	return parts[1]
}

// boardSymbols are kernel.require and kernel.forbid of board.toml as symbols.
func boardSymbols(b boards.Board) []Symbol {
	var symbols []Symbol
	for _, name := range b.Kernel.Require {
		symbols = append(symbols, Symbol{Name: name, Value: "y", File: "kernel.require of boards/" + b.Name + "/" + boards.FileName})
	}
	for _, name := range b.Kernel.Forbid {
		symbols = append(symbols, Symbol{Name: name, Value: "n", File: "kernel.forbid of boards/" + b.Name + "/" + boards.FileName})
	}
	return symbols
}
