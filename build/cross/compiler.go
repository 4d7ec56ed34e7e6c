package cross

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"tench/boards"
	"tench/build/farm"
)

// Tool is a program that compiling for a board needs.
type Tool struct {
	Name    string // a program
	Package string // the Debian package that has it
	Why     string
}

// Tools lists what compiling C for the board needs.
func Tools(b boards.Board) []Tool {
	compiler := "gcc-" + b.Arch.Triplet
	if b.Arch.Triplet == "x86_64-linux-gnu" {
		compiler = "gcc" // this machine's own
	}
	return []Tool{
		{b.Arch.Triplet + "-gcc", compiler, "compiles the daemons for " + b.Arch.Name},
		{"make", "make", "drives the daemons' builds"},
		{"perl", "perl", "OpenSSL's build"},
		{"flex", "flex", "BIRD's configuration language"},
		{"bison", "bison", "BIRD's configuration language"},
	}
}

// KeyTools are the programs that a C program's bytes depend on: the compiler, the
// linker, and those that write what is then compiled (BIRD's parser).
func KeyTools(b boards.Board) []string {
	return []string{b.Arch.Triplet + "-gcc", b.Arch.Triplet + "-ld", "flex", "bison"}
}

// ToolID names the key tools with their versions.
func ToolID(ctx context.Context, b boards.Board) (string, error) {
	var lines []string
	for _, name := range KeyTools(b) {
		out, err := exec.CommandContext(ctx, name, "--version").Output()
		if err != nil {
			return "", fmt.Errorf("cross: ask %s for its version: %w\nhint: tench doctor %s --for build", name, err, b.Name)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		lines = append(lines, line)
	}
	return strings.Join(lines, "; "), nil
}

// compiler is the C compiler of one build.
type compiler struct {
	board boards.Board
	bin   string // folder with the wrapper, first in the steps' PATH
	env   []string
}

// wrapperName is what configure scripts and Makefiles call. It has no folder,
// so that no program remembers where it was built.
const wrapperName = "tench-cc"

// newCompiler writes the wrapper: gcc with the board's flags, the C library and
// the headers and libraries of what the recipe needs. (A CC of several words
// would not do: some Makefiles take it for the name of one program.)
func newCompiler(b boards.Board, src Source, o Options) (*compiler, error) {
	c := &compiler{board: b, bin: filepath.Join(o.Scratch, "bin")}
	if err := os.MkdirAll(c.bin, 0o755); err != nil {
		return nil, err
	}
	prefix, ccacheEnv := ccache(o)
	args := append(append(prefix, b.Arch.Triplet+"-gcc"), b.CPU.CFlags...)
	args = append(args, "-fno-pie", "-no-pie", "-ffile-prefix-map="+src.Tree+"=.")
	for _, name := range slices.Sorted(maps.Keys(src.Needs)) {
		dir := src.Needs[name]
		args = append(args, "-ffile-prefix-map="+dir+"=/"+name)
		switch name {
		case musl:
			specs, err := writeSpecs(dir, o.Scratch)
			if err != nil {
				return nil, err
			}
			args = append(args, "-specs="+specs)
		case Linux:
			args = append(args, "-idirafter", filepath.Join(dir, "include"))
		default:
			args = append(args, "-I"+filepath.Join(dir, "usr/include"), "-L"+filepath.Join(dir, "usr/lib"))
		}
	}
	for i, a := range args {
		args[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	script := "#!/bin/sh\nexec " + strings.Join(args, " ") + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(c.bin, wrapperName), []byte(script), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(c.bin, pkgConfigName), []byte(pkgConfig), 0o755); err != nil {
		return nil, err
	}
	c.env = append(c.environment(o), ccacheEnv...)
	return c, nil
}

// ccache is what to put before the compiler, and its settings: nothing where
// there is no ccache. distcc is left out, since it compiles whatever has -specs=
// on this machine, and that is all that is linked with musl.
func ccache(o Options) (prefix, env []string) {
	if _, err := exec.LookPath("ccache"); err != nil || o.CCache == "" {
		return nil, nil
	}
	return []string{"ccache"}, farm.Farm{Storage: o.Farm.Storage}.Env(o.CCache)
}

// pkgConfig is a pkg-config that knows no library: those of this machine are
// none of the board's, and those of the board the compiler finds itself. It is
// there because some configure scripts give up without one.
const (
	pkgConfigName = "tench-pkg-config"
	pkgConfig     = "#!/bin/sh\ncase \"$1\" in --atleast-pkgconfig-version) exit 0;; esac\nexit 1\n"
)

// muslPrefix is the --prefix in musl's recipe: its specs file names the folder
// that the library is installed in, which here is one of the build cache.
const muslPrefix = "/musl"

// writeSpecs makes gcc's specs for the musl in dir, whose recipe has left them
// with muslPrefix for a place.
func writeSpecs(dir, scratch string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, muslPrefix, "lib/musl-gcc.specs"))
	if err != nil {
		return "", fmt.Errorf("musl: %w", err)
	}
	path := filepath.Join(scratch, "musl-gcc.specs")
	specs := strings.ReplaceAll(string(text), muslPrefix+"/", filepath.Join(dir, muslPrefix)+"/")
	return path, os.WriteFile(path, []byte(specs), 0o644)
}

// environment is all that the steps see of this machine.
func (c *compiler) environment(o Options) []string {
	t := c.board.Arch.Triplet
	return []string{
		"PATH=" + c.bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + o.Scratch, "TMPDIR=" + os.TempDir(), "LC_ALL=C", "TZ=UTC",
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", o.Epoch.Unix()),
		"CC=" + wrapperName, "CC_FOR_BUILD=gcc", "HOSTCC=gcc",
		"AR=" + t + "-ar", "RANLIB=" + t + "-ranlib", "NM=" + t + "-nm", "LD=" + t + "-ld", "STRIP=" + t + "-strip", "OBJDUMP=" + t + "-objdump",
		"CFLAGS=-Os -ffunction-sections -fdata-sections",
		"LDFLAGS=-static -no-pie -Wl,--gc-sections -Wl,--build-id=none",
		"PKG_CONFIG=" + pkgConfigName,
	}
}
