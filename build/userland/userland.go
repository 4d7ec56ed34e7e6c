// Package userland builds the programs of the box: tenchd and a busybox of
// u-root commands. Both are static Go binaries for the board's CPU.
//
//	userland.go  Options, the Go toolchain and its environment
//	tenchd.go    Tenchd
//	commands.go  Commands: one binary that is ls, ip, gosh, tcpdump …
//	modules.go   the Go modules that building needs, for machines without a network
//	inputs.go    what the programs are made of, for the keys of the build cache
//	commands/    go.mod: its tool lines are the list of commands, its go.sum pins them
//
// The binaries hold no path, time or build id, so that the same inputs give the
// same bytes in any folder and on any day.
package userland

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"tench/boards"
)

// Options say where a program is built.
type Options struct {
	Out     string    // folder for the product
	Scratch string    // folder for generated sources; may be removed afterwards
	GoCache string    // folder of Go's build cache; "" for the user's own
	Log     io.Writer // output of the Go tools; nil discards it
}

// toolchain is the Go that is in the path.
type toolchain struct {
	Root    string // GOROOT
	Version string // e.g. "go1.26.8"
}

func findToolchain(ctx context.Context) (toolchain, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOVERSION", "GOEXPERIMENT")
	cmd.Env = append(os.Environ(), "GOEXPERIMENT=")
	out, err := cmd.Output()
	if err != nil {
		return toolchain{}, fmt.Errorf("userland: ask go for its version: %w\nhint: install Go and put its bin folder in PATH", err)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) < 3 {
		return toolchain{}, fmt.Errorf("userland: go env answered %q, not GOROOT, GOVERSION and GOEXPERIMENT", out)
	}
	// An empty variable, as target has it, does not undo what go env -w has set.
	if lines[2] != "" {
		return toolchain{}, fmt.Errorf("userland: go env -w has set GOEXPERIMENT=%s, which would get into the box's programs\nhint: go env -u GOEXPERIMENT", lines[2])
	}
	return toolchain{Root: lines[0], Version: lines[1]}, nil
}

// target lists the variables that choose the CPU. Each one that changes code is
// set, so that what the user exported for his own programs does not get into the
// box's; the board's own words come last and win. GOFLAGS has what build says anyway:
// an empty one would let those of go env -w in.
func target(b boards.Board) []string {
	env := []string{
		"GOOS=linux", "GOARCH=" + b.Arch.Name, "CGO_ENABLED=0",
		"GOAMD64=v1", "GO386=sse2", "GOARM=7", "GOARM64=v8.0",
		"GOEXPERIMENT=", "GOFLAGS=-trimpath", "GOWORK=off",
	}
	return append(env, b.CPU.GoEnv...)
}

// cacheEnv says where compiled packages are kept.
func (o Options) cacheEnv() []string {
	if o.GoCache == "" {
		return nil
	}
	return []string{"GOCACHE=" + o.GoCache}
}

// linkFlags leave out symbol table, DWARF and build id.
const linkFlags = "-s -w -buildid="

// program is one main package to compile.
type program struct {
	dir   string   // where go runs
	pkg   string   // the package, seen from dir
	out   string   // the file to write
	flags []string // further flags of go build
	env   []string // over the user's environment
}

// build compiles the program; the output of go goes to log.
func (p program) build(ctx context.Context, log io.Writer) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", linkFlags, "-o", p.out}, p.flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, p.pkg)...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	// On an interrupt go stops its compilers and removes its work folder.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("go build %s: %w", p.pkg, err)
	}
	return nil
}

func (o Options) log() io.Writer {
	if o.Log == nil {
		return io.Discard
	}
	return o.Log
}
