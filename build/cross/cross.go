// Package cross compiles programs and libraries in C for a board, as static
// programs with musl.
//
//	cross.go    Source, Options and Build
//	compiler.go the cross compiler: its wrapper, flags and environment
//	steps.go    running the steps of a recipe
//	collect.go  the products: programs checked and stripped, libraries as installed
//
// A recipe's [build] says what to run (see package release). Nothing of this
// machine gets in but the compiler and the programs that the steps name:
// headers and libraries are those of the recipes it needs.
package cross

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"tench/boards"
	"tench/build/farm"
	"tench/release"
)

// Source is what is compiled, and with what.
type Source struct {
	Recipe release.Recipe
	Tree   string            // unpacked and patched; it is built in
	Needs  map[string]string // folder with the product of each recipe that it needs
}

// Linux is the name among a recipe's needs that stands for the kernel's
// headers; its folder holds include/.
const Linux = "linux"

// musl is the recipe of the C library, which gives the compiler its start-up
// files and the linker its defaults.
const musl = "musl"

// Options say where and how it is compiled.
type Options struct {
	Out     string    // folder for the product
	Scratch string    // folder for everything else; may be removed afterwards
	Log     io.Writer // output of the steps
	Epoch   time.Time // SOURCE_DATE_EPOCH of the steps
	Jobs    int       // compilers at once
	CCache  string    // folder of the compiler cache; "" for none
	Farm    farm.Farm // who shares that cache; its hosts get nothing, see ccache
}

// Build compiles src for the board. The product is each of the recipe's
// programs at its place in the box, or, for a recipe without programs, what it
// installed. Equal sources give equal bytes in any folder.
func Build(ctx context.Context, b boards.Board, src Source, o Options) error {
	if err := build(ctx, b, src, o); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%s: %w", src.Recipe.Name, err)
	}
	return nil
}

func build(ctx context.Context, b boards.Board, src Source, o Options) error {
	c, err := newCompiler(b, src, o)
	if err != nil {
		return err
	}
	stage := filepath.Join(o.Scratch, "stage")
	if err := c.runSteps(ctx, src, stage, o); err != nil {
		return err
	}
	if len(src.Recipe.Build.Programs) == 0 {
		return collectLibrary(stage, o.Out)
	}
	for _, p := range src.Recipe.Build.Programs {
		if err := c.collectProgram(ctx, filepath.Join(stage, filepath.FromSlash(p.From)), filepath.Join(o.Out, filepath.FromSlash(p.To))); err != nil {
			return fmt.Errorf("program %s: %w", p.To, err)
		}
	}
	return nil
}
