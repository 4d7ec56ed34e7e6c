package userland

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/build/cache"
)

// root is the project's root, seen from this package.
const root = "../.."

func testBoard(t *testing.T) boards.Board {
	t.Helper()
	b, err := boards.Load(filepath.Join(root, "boards"), "qemu-amd64")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkStatic fails unless path is an ELF program for the board that needs no
// other file.
func checkStatic(t *testing.T, b boards.Board, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.Machine.String(); got != b.Arch.ELF {
		t.Errorf("%s is for %s, want %s", path, got, b.Arch.ELF)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s has a %v segment, so it is not static", path, p.Type)
		}
	}
}

func sameFile(t *testing.T, a, b string) {
	t.Helper()
	dataA, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	dataB, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(dataA, dataB) {
		t.Errorf("%s and %s differ", a, b)
	}
	for _, path := range []string{filepath.Dir(a), filepath.Dir(b)} {
		if bytes.Contains(dataA, []byte(path)) {
			t.Errorf("%s holds the path %s", a, path)
		}
	}
}

func TestTenchdIsTheSameFromAnotherFolder(t *testing.T) {
	b := testBoard(t)
	here, err := Tenchd(t.Context(), b, root, Options{Out: t.TempDir(), Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	checkStatic(t, b, here)

	elsewhere := filepath.Join(t.TempDir(), "a", "clone")
	copyModule(t, elsewhere)
	there, err := Tenchd(t.Context(), b, elsewhere, Options{Out: t.TempDir(), Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	sameFile(t, here, there)
}

// copyModule copies what a clone holds of the module, without products and history.
func copyModule(t *testing.T, to string) {
	t.Helper()
	top, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range top {
		from := filepath.Join(root, e.Name())
		switch name := e.Name(); {
		case name == "out" || name == "bin" || strings.HasPrefix(name, "."):
			continue
		case e.IsDir():
			err = os.CopyFS(filepath.Join(to, name), os.DirFS(from))
		default:
			var data []byte
			if data, err = os.ReadFile(from); err == nil {
				err = errors.Join(os.MkdirAll(to, 0o755), os.WriteFile(filepath.Join(to, name), data, 0o644))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A build anew must not take compiled packages from the user's own cache.
func TestTenchdTakesTheCacheItIsGiven(t *testing.T) {
	var log bytes.Buffer
	_, err := Tenchd(t.Context(), testBoard(t), root, Options{Out: t.TempDir(), GoCache: "/proc/nothing", Log: &log})
	if err == nil || !strings.Contains(log.String(), "/proc/nothing") {
		t.Errorf("Tenchd with a cache that cannot be = %v, log %q", err, log.String())
	}
}

func TestCommandsAreTheSameFromAnotherFolder(t *testing.T) {
	b := testBoard(t)
	build := func() Busybox {
		bbox, err := Commands(t.Context(), b, root, Options{Out: t.TempDir(), Scratch: t.TempDir(), Log: t.Output()})
		if err != nil {
			t.Fatal(err)
		}
		return bbox
	}
	first, second := build(), build()
	checkStatic(t, b, first.Path)
	sameFile(t, first.Path, second.Path)

	out, err := exec.Command(first.Path, "echo", "hello").Output()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("bb echo hello = %q, %v", out, err)
	}
	for _, name := range []string{"gosh", "ip", "tcpdump", "wget"} {
		if !slices.Contains(first.Commands, name) {
			t.Errorf("there is no %s among the commands", name)
		}
	}
	for _, path := range []string{"github.com/u-root/u-root", "github.com/vishvananda/netlink"} {
		if !slices.ContainsFunc(first.Modules, func(m debug.Module) bool {
			return m.Path == path && strings.HasPrefix(m.Version, "v") && strings.HasPrefix(m.Sum, "h1:")
		}) {
			t.Errorf("there is no %s among the modules %v", path, first.Modules)
		}
	}
}

func TestCommandPackages(t *testing.T) {
	tests := []struct {
		name, mod string
		want      []string
		wantErr   string
	}{
		{"two commands, sorted", "module m\n\ntool (\n\texample.org/cmds/ls\n\texample.org/cmds/cat\n)\n",
			[]string{"example.org/cmds/cat", "example.org/cmds/ls"}, ""},
		{"none", "module m\n", nil, "no tool line names a command"},
		{"not a go.mod", "modul m\n", nil, "go.mod:1: unknown directive: modul"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(tt.mod), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := commandPackages(dir)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
		})
	}
}

// module writes a small module of ours with an embedded file.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":             "module tench\n",
		"go.sum":             "",
		"cmd/tenchd/main.go": "package main\n\nimport \"tench/config\"\n\nfunc main() { config.F() }\n",
		"config/config.go":   "package config\n\nimport _ \"embed\"\n\n//go:embed a.toml\nvar a string\n\nfunc F() {}\n",
		"config/a.toml":      "a = 1\n",
		"config/a_test.go":   "package config\n",
		"config/a_darwin.go": "package config\n",
		"other/other.go":     "package other\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTenchdInputsChangeWithWhatIsCompiled(t *testing.T) {
	b := testBoard(t)
	tests := []struct {
		file, text string
		want       []string // inputs that change
	}{
		{"config/config.go", "package config\n\nfunc F() {}\n", []string{"package config"}},
		{"config/a.toml", "a = 2\n", []string{"package config"}},
		{"cmd/tenchd/main.go", "package main\n\nfunc main() {}\n", []string{"package cmd/tenchd", "package config"}},
		{"go.sum", "x\n", []string{"go.sum"}},
		{"config/a_test.go", "package config // changed\n", nil},
		{"config/a_darwin.go", "package config // changed\n", nil},
		{"other/other.go", "package other // changed\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			dir := module(t)
			before, err := TenchdInputs(t.Context(), b, dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			after, err := TenchdInputs(t.Context(), b, dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, changed(before, after)); diff != "" {
				t.Errorf("changed inputs (-want +got)\n%s", diff)
			}
		})
	}
}

// changed names the inputs of before that have another hash in after or are gone.
func changed(before, after []cache.Input) []string {
	now := map[string]string{}
	for _, in := range after {
		now[in.Name] = in.Hash
	}
	var names []string
	for _, in := range before {
		if now[in.Name] != in.Hash {
			names = append(names, in.Name)
		}
	}
	return names
}

func TestInputsChangeWithTheTarget(t *testing.T) {
	b := testBoard(t)
	soft := b
	soft.Arch.Name, soft.CPU.GoEnv = "386", []string{"GO386=softfloat"}
	before, err := CommandsInputs(t.Context(), b, root)
	if err != nil {
		t.Fatal(err)
	}
	after, err := CommandsInputs(t.Context(), soft, root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Go target"}, changed(before, after)); diff != "" {
		t.Errorf("changed inputs (-want +got)\n%s", diff)
	}
}

func TestWhatGoEnvHasSetIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("GOEXPERIMENT=jsonv2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOENV", file)
	_, err := TenchdInputs(t.Context(), testBoard(t), root)
	if err == nil || !strings.Contains(err.Error(), "go env -w has set GOEXPERIMENT=jsonv2") || !strings.HasSuffix(err.Error(), "hint: go env -u GOEXPERIMENT") {
		t.Errorf("TenchdInputs = %v, want why not", err)
	}
	if err := os.WriteFile(file, []byte("GOFLAGS=-tags=mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "env", "GOFLAGS")
	cmd.Env = append(os.Environ(), target(testBoard(t))...)
	if out, err := cmd.Output(); err != nil || strings.Contains(string(out), "mine") {
		t.Errorf("go is called with GOFLAGS=%s, %v", out, err)
	}
}
