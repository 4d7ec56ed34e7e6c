package kernel

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tench/boards"
)

// Tool is something on the build machine that a kernel build needs.
type Tool struct {
	Name    string // a program, or the absolute path of a file
	Package string // the Debian package that has it
	Why     string
}

// Tools lists what building the board's kernel needs. ccache is not among them:
// it is used where it is.
func Tools(b boards.Board) []Tool {
	tools := []Tool{
		{"gcc", "gcc", "compiles the kernel, or its build tools"},
		{"ld", "binutils", "links the kernel, or its build tools"},
		{"make", "make", "drives the kernel's build"},
		{"/usr/include/stdio.h", "libc6-dev", "the kernel's own build tools"},
		{"flex", "flex", "the kernel's configuration"},
		{"bison", "bison", "the kernel's configuration"},
		{"bc", "bc", "the kernel's time constants"},
		{"perl", "perl-base", "the kernel's assembly ciphers"},
		{"/usr/include/gelf.h", "libelf-dev", "the kernel's objtool"},
		{"zstd", "zstd", "packs the kernel"},
		{"xz", "xz-utils", "packs kernels of 32-bit ARM"},
	}
	if cross := b.Arch.Cross; cross != "" {
		tools = append(tools, Tool{cross + "gcc", "gcc-" + b.Arch.Triplet, "compiles the kernel for " + b.Arch.Name})
	}
	return tools
}

func (t Tool) found() bool {
	if filepath.IsAbs(t.Name) {
		_, err := os.Stat(t.Name)
		return err == nil
	}
	_, err := exec.LookPath(t.Name)
	return err == nil
}

// checkTools names everything that is missing at once, before make stops at the
// first.
func checkTools(b boards.Board) error {
	var names, packages []string
	for _, t := range Tools(b) {
		if !t.found() {
			names = append(names, t.Name)
			packages = append(packages, t.Package)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("this machine lacks %s\nhint: apt-get install %s", strings.Join(names, ", "), strings.Join(packages, " "))
}

// KeyTools are the programs that a kernel's bytes depend on: the compiler, the
// assembler and linker, and the compressors.
func KeyTools(b boards.Board) []string {
	return []string{b.Arch.Cross + "gcc", b.Arch.Cross + "ld", "zstd", "xz"}
}

// ToolID names the key tools with their versions: with another one the same
// source gives other bytes.
func ToolID(ctx context.Context, b boards.Board) (string, error) {
	var lines []string
	for _, tool := range KeyTools(b) {
		out, err := exec.CommandContext(ctx, tool, "--version").Output()
		if err != nil {
			return "", fmt.Errorf("kernel: ask %s for its version: %w\nhint: tench doctor %s --for build", tool, err, b.Name)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		lines = append(lines, line)
	}
	return strings.Join(lines, "; "), nil
}
