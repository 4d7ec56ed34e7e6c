// Package kernel configures and compiles Linux for a board.
//
//	kernel.go    Source, Options, Kernel and Build, the steps on one screen
//	fragment.go  configuration fragments: reading and merging them
//	gate.go      the result must hold what was asked for
//	kconfig.go   a reader of the kernel's Kconfig files
//	expr.go      their dependency expressions
//	why.go       why a symbol is not what was asked for
//	tree.go      the folder that the kernel is built in
//	make.go      make, its environment and its progress
//	image.go     the image must be for the board's CPU
//	scan.go      and have no instruction that this one lacks
//	headers.go   the kernel's headers for programs
//	tools.go     the programs that a build needs, and their versions
//
// The configuration starts from allnoconfig: whatever no fragment names is off.
// Everything is built in; there are no modules.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"tench/boards"
	"tench/build/farm"
)

// Source is an unpacked and patched Linux tree. It is only read.
type Source struct {
	Tree    string // e.g. "/home/me/.cache/tench/work/kernel/…/source"
	Version string // e.g. "6.12.117"
}

// Options say where and how a kernel is built.
type Options struct {
	Out      string                               // folder for the product
	Scratch  string                               // build folder; kept, it lets an interrupted build go on
	Log      io.Writer                            // output of make; nil discards it
	Progress func(done, total int64, unit string) // objects compiled; may be nil
	Epoch    time.Time                            // the build time that the kernel shows
	CCache   string                               // folder of the compiler cache; "" for none
	Farm     farm.Farm                            // who shares that cache, and compiles
	Require  []Symbol                             // what the programs of the image call for, beside the fragments
	Jobs     int                                  // compilers at once; 0 for one per CPU
}

// Kernel is a built kernel: paths below Options.Out, and what uname -r says.
type Kernel struct {
	Image     string // vmlinuz
	Config    string // config, the full .config
	SystemMap string // System.map, for decoding addresses
	Version   string // e.g. "6.12.117-tench"
	Headers   string // headers.tar, include/ for programs in C
}

// Build configures and compiles src for the board with the fragments merged in
// order. It stops before compiling when a symbol did not come out as asked for.
//
// The result depends on nothing but its arguments' content and the compiler: not
// on folders, the day, the user or the host.
func Build(ctx context.Context, b boards.Board, src Source, frags []Fragment, o Options) (Kernel, error) {
	k, err := build(ctx, b, src, frags, o)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // make's complaint about being stopped says less
	}
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel: %w", err)
	}
	return k, nil
}

func build(ctx context.Context, b boards.Board, src Source, frags []Fragment, o Options) (Kernel, error) {
	if err := checkTools(b); err != nil {
		return Kernel{}, err
	}
	wanted, err := Merge(frags)
	if err != nil {
		return Kernel{}, err
	}
	t, err := layTree(src.Tree, o.Scratch)
	if err != nil {
		return Kernel{}, fmt.Errorf("lay out build folder: %w", err)
	}
	if err := o.Farm.Prepare(o.CCache); err != nil {
		return Kernel{}, err
	}
	m := newMaker(b, t, o)
	if err := configure(ctx, m, wanted); err != nil {
		return Kernel{}, err
	}
	if err := Gate(b, src, filepath.Join(t.objects, ".config"), append(wanted, o.Require...)); err != nil {
		return Kernel{}, err
	}
	if err := m.compile(ctx, filepath.Base(b.Arch.Image)); err != nil {
		return Kernel{}, fmt.Errorf("compile: %w", err)
	}
	// headers_install would copy them with rsync, which is one more tool.
	if err := m.run(ctx, "headers"); err != nil {
		return Kernel{}, fmt.Errorf("headers: %w", err)
	}
	return collect(b, t, o.Out)
}

// configure writes the .config that allnoconfig makes of the wanted symbols.
func configure(ctx context.Context, m *maker, wanted []Symbol) error {
	file := filepath.Join(m.tree.scratch, "wanted.config")
	if err := os.WriteFile(file, renderSymbols(wanted), 0o644); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	if err := m.run(ctx, "KCONFIG_ALLCONFIG="+file, "allnoconfig"); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	return nil
}

// collect checks the image and copies the products to out.
func collect(b boards.Board, t tree, out string) (Kernel, error) {
	image := filepath.Join(t.objects, filepath.FromSlash(b.Arch.Image))
	if err := CheckImage(b, image); err != nil {
		return Kernel{}, err
	}
	release, err := os.ReadFile(filepath.Join(t.objects, "include/config/kernel.release"))
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{
		Image:     filepath.Join(out, "vmlinuz"),
		Config:    filepath.Join(out, "config"),
		SystemMap: filepath.Join(out, "System.map"),
		Headers:   filepath.Join(out, "headers.tar"),
		Version:   strings.TrimSpace(string(release)),
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return Kernel{}, err
	}
	return k, errors.Join(
		copyFile(image, k.Image),
		copyFile(filepath.Join(t.objects, ".config"), k.Config),
		copyFile(filepath.Join(t.objects, "System.map"), k.SystemMap),
		packHeaders(filepath.Join(t.objects, "usr"), k.Headers),
	)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return renameio.WriteFile(to, data, 0o644)
}
