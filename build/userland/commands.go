package userland

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sort"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/gobusybox/src/pkg/bb/findpkg"
	"github.com/u-root/gobusybox/src/pkg/golang"
	"golang.org/x/mod/modfile"

	"tench/boards"
)

// commandsDir is the module that lists and pins the commands. It is a module of
// its own so that what the commands need does not decide versions for tenchd.
const commandsDir = "build/userland/commands"

// Busybox is one binary that acts as the command it is called by.
type Busybox struct {
	Path     string   // the file, e.g. out/bb
	Packed   string   // the same, packed with zstd: out/bb.zst
	Commands []string // names to link to it, sorted, e.g. "cat"
	// Modules are what it was made of. The program itself does not tell: it is
	// compiled of rewritten sources, outside of any module.
	Modules []debug.Module
}

// Commands builds the u-root commands that build/userland/commands/go.mod below
// root names as tools, for the board, into o.Out/bb and o.Out/bb.zst. o.Scratch/bb
// is emptied: it takes the commands' rewritten sources.
//
// gobusybox itself would compile with "go build -a", 40 CPU seconds each time.
// We let it write the sources only and compile them with the Go build cache.
func Commands(ctx context.Context, b boards.Board, root string, o Options) (Busybox, error) {
	bbox, err := buildCommands(ctx, b, root, o)
	if err != nil {
		return Busybox{}, fmt.Errorf("commands: %w", err)
	}
	return bbox, nil
}

func buildCommands(ctx context.Context, b boards.Board, root string, o Options) (Busybox, error) {
	module := filepath.Join(root, commandsDir)
	packages, err := commandPackages(module)
	if err != nil {
		return Busybox{}, err
	}
	tc, err := findToolchain(ctx)
	if err != nil {
		return Busybox{}, err
	}
	gopath, err := filepath.Abs(filepath.Join(o.Scratch, "bb"))
	if err != nil {
		return Busybox{}, err
	}
	if err := os.RemoveAll(gopath); err != nil {
		return Busybox{}, err
	}
	env := golang.Default(golang.WithGOOS("linux"), golang.WithGOARCH(b.Arch.Name), golang.DisableCGO(),
		golang.WithGOROOT(tc.Root), golang.WithGO111MODULE("on"), golang.WithMod(golang.ModReadonly),
		golang.WithWorkingDir(module),
		golang.WithBuildTag(commandTags))
	err = bb.BuildBusybox(log.New(o.log(), "gobusybox: ", 0), &bb.Opts{
		Env:          env,
		LookupEnv:    &findpkg.Env{},
		GenSrcDir:    gopath,
		CommandPaths: packages,
		GenerateOnly: true,
	})
	if err != nil {
		return Busybox{}, fmt.Errorf("rewrite sources: %w", err)
	}
	bbox, err := compileCommands(ctx, b, gopath, packages, o)
	if err != nil {
		return Busybox{}, err
	}
	bbox.Modules, err = modulesOf(ctx, b, module, packages)
	return bbox, err
}

// modulesOf lists the other modules that the packages of the module in dir are
// made of when they are built for the board, sorted.
func modulesOf(ctx context.Context, b boards.Board, dir string, packages []string) ([]debug.Module, error) {
	// The module in dir is ours, has no version, and is known as the build itself.
	const format = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Sum}}{{end}}{{end}}"
	args := append([]string{"list", "-deps", "-mod=readonly", "-tags=" + commandTags, "-f", format}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(target(b), "GO111MODULE=on")...)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	var modules []debug.Module
	for _, line := range slices.Compact(lines) {
		f := strings.Fields(line)
		if len(f) == 0 { // a package of the standard library
			continue
		}
		if len(f) != 3 {
			return nil, fmt.Errorf("list modules: go list answered %q, not a path, a version and a sum", line)
		}
		modules = append(modules, debug.Module{Path: f[0], Version: f[1], Sum: f[2]})
	}
	return modules, nil
}

// commandFlags switch inlining off: the commands get 15 % smaller, 0.7 MB of
// every slot, and none of them is in a hurry.
var commandFlags = []string{"-gcflags=all=-l", "-tags=" + commandTags}

// commandTags choose gosh's line editor. The default one redraws a coloured
// frame with every key, which is no use at 9600 baud or on a dumb terminal.
const commandTags = "goshliner"

// compileCommands compiles what gobusybox wrote below gopath.
func compileCommands(ctx context.Context, b boards.Board, gopath string, packages []string, o Options) (Busybox, error) {
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return Busybox{}, err
	}
	out, err := filepath.Abs(filepath.Join(o.Out, "bb"))
	if err != nil {
		return Busybox{}, err
	}
	p := program{
		dir:   filepath.Join(gopath, "src", "bb.u-root.com", "bb"),
		pkg:   ".",
		out:   out,
		flags: commandFlags,
		env:   slices.Concat(target(b), []string{"GO111MODULE=off", "GOPATH=" + gopath}, o.cacheEnv()),
	}
	if err := p.build(ctx, o.log()); err != nil {
		return Busybox{}, err
	}
	packed, err := pack(ctx, out, o)
	if err != nil {
		return Busybox{}, err
	}
	return Busybox{Path: out, Packed: packed, Commands: commandNames(packages)}, nil
}

// pack packs a file with zstd into FILE.zst. Level 19 on one thread always gives
// the same bytes.
func pack(ctx context.Context, file string, o Options) (string, error) {
	packed := file + ".zst"
	cmd := exec.CommandContext(ctx, "zstd", "-19", "--single-thread", "-q", "-f", file, "-o", packed)
	cmd.Stderr = o.log()
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("zstd %s: %w", file, err)
	}
	return packed, nil
}

// commandPackages returns the import paths on the tool lines of dir/go.mod.
func commandPackages(dir string) ([]string, error) {
	name := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	mod, err := modfile.Parse(name, data, nil)
	if err != nil {
		return nil, err
	}
	var packages []string
	for _, t := range mod.Tool {
		packages = append(packages, t.Path)
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("%s: no tool line names a command", name)
	}
	sort.Strings(packages)
	return packages, nil
}

func commandNames(packages []string) []string {
	var names []string
	for _, p := range packages {
		names = append(names, path.Base(p))
	}
	sort.Strings(names)
	return names
}
