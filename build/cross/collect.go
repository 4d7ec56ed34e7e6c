package cross

import (
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tench/boards"
	"tench/build/isa"
)

// collectProgram checks the program at from and writes it, stripped, to to.
func (c *compiler) collectProgram(ctx context.Context, from, to string) error {
	if err := check(c.board, from); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	strip := exec.CommandContext(ctx, c.board.Arch.Triplet+"-strip", "--strip-all", "--remove-section=.comment", "-o", to, from)
	if out, err := strip.CombinedOutput(); err != nil {
		return fmt.Errorf("strip: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return os.Chmod(to, 0o755)
}

// check refuses a program that would not run on the board. It looks before the
// symbols are gone, so that it can name functions.
func check(b boards.Board, path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Machine.String() != b.Arch.ELF {
		return fmt.Errorf("is for %v, board %s needs %s", f.Machine, b.Name, b.Arch.ELF)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			return fmt.Errorf("is not static (%v)\nhint: libtool drops -static; see the recipe of strongswan", p.Type)
		}
	}
	return isa.Scan(f, b.CPU.Lacks)
}

// leftOut are parts of an installed library that nothing is compiled with.
var leftOut = []string{"share/", "lib/pkgconfig/", "lib/cmake/"}

// collectLibrary copies the headers and archives of an installed library.
func collectLibrary(stage, out string) error {
	n := 0
	err := filepath.WalkDir(stage, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(stage, path)
		if err != nil || !wanted(name) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(out, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		n++
		return os.WriteFile(to, data, 0o644)
	})
	if err == nil && n == 0 {
		return fmt.Errorf("its steps installed nothing\nhint: the last step installs into $OUT")
	}
	return err
}

func wanted(name string) bool {
	if strings.HasSuffix(name, ".la") { // they name folders of this machine
		return false
	}
	for _, part := range leftOut {
		if strings.Contains(name, part) {
			return false
		}
	}
	return true
}
