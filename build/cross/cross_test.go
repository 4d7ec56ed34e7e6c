package cross

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/build/farm"
	"tench/internal/lab"
	"tench/release"
)

// board is this machine's own kind, whose compiler every build machine has.
var board = boards.Board{Name: "small", Arch: boards.Arch{
	Name: "amd64", ELF: "EM_X86_64", Triplet: "x86_64-linux-gnu", OpenSSL: "linux-x86_64",
}}

const helloC = `#include <stdio.h>
int main(void) { puts("hello from " __FILE__); return 0; }
`

// source writes a tree with hello.c and a recipe that runs steps in it.
func source(t *testing.T, steps [][]string, programs ...release.Program) Source {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "hello.c"), []byte(helloC), 0o644); err != nil {
		t.Fatal(err)
	}
	return Source{Tree: tree, Recipe: release.Recipe{Name: "hello", Build: release.Build{Steps: steps, Programs: programs}}}
}

func options(t *testing.T, log *bytes.Buffer) Options {
	t.Helper()
	return Options{Out: t.TempDir(), Scratch: t.TempDir(), Log: log, Epoch: time.Unix(1_800_000_000, 0), Jobs: 3}
}

// compile is the step that makes the program in $OUT.
func compile(flags string) []string {
	return []string{"sh", "-c", `mkdir -p "$1/usr/sbin" && $CC $CFLAGS ` + flags + ` $PWD/hello.c -o "$1/usr/sbin/hello"`, "sh", "$OUT"}
}

var hello = release.Program{From: "usr/sbin/hello", To: "bin/hello"}

func TestProgram(t *testing.T) {
	t.Setenv("CFLAGS", "-DLEAK") // what the user exported for his own programs
	var programs [][]byte
	for range 2 { // each in folders of its own
		var log bytes.Buffer
		o := options(t, &log)
		if err := Build(t.Context(), board, source(t, [][]string{compile("$LDFLAGS")}, hello), o); err != nil {
			t.Fatalf("%v\n%s", err, &log)
		}
		path := filepath.Join(o.Out, "bin/hello")
		out, err := exec.Command(path).Output()
		if want := "hello from ./hello.c\n"; err != nil || string(out) != want {
			t.Errorf("the program says %q, %v; want %q, and no folder of this machine", out, err, want)
		}
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if symbols, err := f.Symbols(); !errors.Is(err, elf.ErrNoSymbols) {
			t.Errorf("the program has %d symbols, want it stripped", len(symbols))
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, data)
		if strings.Contains(log.String(), "-DLEAK") {
			t.Errorf("the environment leaks in:\n%s", &log)
		}
	}
	if !bytes.Equal(programs[0], programs[1]) {
		t.Error("two folders give two programs")
	}
}

// TestCompilerCacheChangesNothing compiles without ccache, with an empty one
// and with a full one.
func TestCompilerCacheChangesNothing(t *testing.T) {
	lab.Require(t, "ccache")
	step := []string{"sh", "-c", `$CC $CFLAGS -c hello.c && mkdir -p "$1/usr/sbin" && $CC $LDFLAGS hello.o -o "$1/usr/sbin/hello"`, "sh", "$OUT"}
	dir := filepath.Join(t.TempDir(), "ccache")
	var programs [][]byte
	for _, ccache := range []string{"", dir, dir} {
		var log bytes.Buffer
		o := options(t, &log)
		o.CCache, o.Farm = ccache, farm.Farm{Storage: "file:" + dir + "-shared", Hosts: "127.0.0.1:1"}
		if err := Build(t.Context(), board, source(t, [][]string{step}, hello), o); err != nil {
			t.Fatalf("%v\n%s", err, &log)
		}
		data, err := os.ReadFile(filepath.Join(o.Out, "bin/hello"))
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, data)
	}
	if !bytes.Equal(programs[0], programs[1]) || !bytes.Equal(programs[0], programs[2]) {
		t.Error("the compiler cache changes the program")
	}
	if shared, err := os.ReadDir(dir + "-shared"); err != nil || len(shared) == 0 {
		t.Errorf("nothing went to the shared storage: %v", err)
	}
	stats := exec.Command("ccache", "--print-stats")
	stats.Env = append(os.Environ(), "CCACHE_DIR="+dir)
	if out, err := stats.Output(); err != nil || !strings.Contains(string(out), "cache_miss\t1\n") {
		t.Errorf("ccache compiled other than one file, %v:\n%s", err, out)
	}
}

func TestRefused(t *testing.T) {
	arm := board
	arm.Arch.ELF, arm.Name = "EM_ARM", "armboard"
	poor := board
	poor.CPU.Lacks = []string{"sse"}
	for name, tc := range map[string]struct {
		board boards.Board
		step  []string
		want  string
	}{
		"dynamic":        {board, compile("-dynamic"), "hello: program bin/hello: is not static (PT_"},
		"another CPU":    {arm, compile("$LDFLAGS"), "hello: program bin/hello: is for EM_X86_64, board armboard needs EM_ARM"},
		"SSE":            {poor, compile("$LDFLAGS"), "functions have instructions that the board's CPU lacks"},
		"failing step":   {board, []string{"false", "a", "b", "c"}, "hello: false a b: exit status 1"},
		"no such tool":   {board, []string{"no-such-tool"}, "hello: no-such-tool: exec:"},
		"nothing made":   {board, []string{"true"}, "hello: program bin/hello: open "},
		"compiler error": {board, compile("-DBROKEN -include /nonexistent.h"), "exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Build(t.Context(), tc.board, source(t, [][]string{tc.step}, hello), options(t, new(bytes.Buffer)))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Build = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestLibrary(t *testing.T) {
	step := []string{"sh", "-c", `cd "$1" && mkdir -p usr/lib/pkgconfig usr/include usr/share/man && touch usr/lib/a.a usr/lib/a.la usr/lib/pkgconfig/a.pc usr/include/a.h usr/share/man/a.3`, "sh", "$OUT"}
	o := options(t, new(bytes.Buffer))
	if err := Build(t.Context(), board, source(t, [][]string{step}), o); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(o.Out, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, strings.TrimPrefix(path, o.Out+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"usr/include/a.h", "usr/lib/a.a"}, got); diff != "" {
		t.Errorf("library (-want +got)\n%s", diff)
	}
	err = Build(t.Context(), board, source(t, [][]string{{"true"}}), options(t, new(bytes.Buffer)))
	if err == nil || !strings.Contains(err.Error(), "its steps installed nothing") {
		t.Errorf("Build of an empty library = %v", err)
	}
}

func TestWords(t *testing.T) {
	var log bytes.Buffer
	src := source(t, [][]string{{"echo", "$TRIPLET $JOBS $OPENSSL"}, {"sh", "-c", `echo "$SOURCE_DATE_EPOCH $TZ $HOSTCC"; touch "$1/x"`, "sh", "$OUT"}})
	if err := Build(t.Context(), board, src, options(t, &log)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nx86_64-linux-gnu 3 linux-x86_64\n", "\n1800000000 UTC gcc\n"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
	poor := board
	poor.CPU.Lacks = []string{"sse"}
	if got := (&compiler{board: poor}).openSSL(); got != "linux-generic32" {
		t.Errorf("openSSL() for a CPU without SSE = %q, want one without assembly", got)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	src := source(t, [][]string{{"sh", "-c", "touch started; sleep 60"}}, hello)
	done := make(chan error, 1)
	go func() { done <- Build(ctx, board, src, options(t, new(bytes.Buffer))) }()
	for range 1000 {
		if _, err := os.Stat(filepath.Join(src.Tree, "started")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Build = %v, want context.Canceled", err)
	}
}

func TestToolID(t *testing.T) {
	id, err := ToolID(t.Context(), board)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"gcc", "GNU ld", "flex", "bison"} {
		if !strings.Contains(id, want) {
			t.Errorf("ToolID = %q, want something with %q", id, want)
		}
	}
}
