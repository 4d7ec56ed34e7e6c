package kernel

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
)

var board = boards.Board{
	Name: "small",
	Arch: boards.Arch{Name: "amd64", Linux: "x86_64", Image: "arch/x86/boot/bzImage", ELF: "EM_X86_64", Bits: 64},
}

// bzImage is the head of a kernel image with the boot header's marks.
func bzImage(xloadflags uint16) []byte {
	data := make([]byte, 0x2000)
	binary.LittleEndian.PutUint16(data[bootFlagAt:], 0xaa55)
	copy(data[headerAt:], "HdrS")
	data[loadFlagsAt] = loadedHigh
	binary.LittleEndian.PutUint16(data[xLoadFlagsAt:], xloadflags)
	return data
}

// withPE adds the head of an EFI stub.
func withPE(data []byte, machine uint16) []byte {
	copy(data, "MZ")
	binary.LittleEndian.PutUint32(data[0x3c:], 0x40)
	copy(data[0x40:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(data[0x44:], machine)
	return data
}

func TestCheckImage(t *testing.T) {
	tests := []struct {
		name    string
		data    []byte
		wantErr string
	}{
		{"64-bit bzImage", bzImage(kernel64), ""},
		{"64-bit bzImage with EFI stub", withPE(bzImage(kernel64), 0x8664), ""},
		{"32-bit bzImage", bzImage(0), "is for EM_386, board small needs EM_X86_64"},
		{"EFI image for arm64", withPE(make([]byte, 0x2000), 0xaa64), "is for EM_AARCH64, board small needs EM_X86_64"},
		{"stub and header disagree", withPE(bzImage(kernel64), 0x14c), "boot header is for EM_X86_64, EFI stub for EM_386"},
		{"stub for a strange machine", withPE(bzImage(kernel64), 0x1234), "unknown machine 0x1234"},
		{"text", []byte("hello"), "is neither a bzImage nor an EFI program"},
		{"empty", nil, "is neither a bzImage nor an EFI program"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "vmlinuz")
			write(t, path, string(tt.data))
			checkError(t, CheckImage(board, path), tt.wantErr)
			if err := CheckImage(board, path); err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name %s", err, path)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkError wants an error that contains text, or none for "".
func checkError(t *testing.T, err error, text string) {
	t.Helper()
	if text == "" && err != nil {
		t.Errorf("unexpected error: %v", err)
	}
	if text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
		t.Errorf("error %v, want one with %q", err, text)
	}
}

// fakeLinux copies testdata/linux, the Makefile that stands in for a kernel, and
// the small Kconfig tree.
func fakeLinux(t *testing.T, image []byte) Source {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "linux")
	for _, from := range []string{"testdata/linux", "testdata/kconfig"} {
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "image"), string(image))
	return Source{Tree: dir, Version: "6.12.0"}
}

func fragment(t *testing.T, text string) []Fragment {
	t.Helper()
	path := filepath.Join(t.TempDir(), "net.config")
	write(t, path, text)
	return []Fragment{{Name: "net.config", Path: path}}
}

func testOptions(t *testing.T) Options {
	return Options{
		Out: filepath.Join(t.TempDir(), "out"), Scratch: filepath.Join(t.TempDir(), "scratch"),
		Log: t.Output(), Epoch: time.Date(2026, 11, 1, 2, 3, 4, 0, time.FixedZone("", 3600)), Jobs: 1,
	}
}

func TestBuild(t *testing.T) {
	t.Setenv("KCFLAGS", "-march=native")
	t.Setenv("LLVM", "1")
	o := testOptions(t)
	var seen []int64
	o.Progress = func(done, total int64, unit string) {
		if done > total || unit != "objects" {
			t.Errorf("progress %d of %d %s", done, total, unit)
		}
		seen = append(seen, done)
	}
	k, err := Build(t.Context(), board, fakeLinux(t, bzImage(kernel64)), fragment(t, "CONFIG_NET=y\n"), o)
	if err != nil {
		t.Fatal(err)
	}
	want := Kernel{
		Image: filepath.Join(o.Out, "vmlinuz"), Config: filepath.Join(o.Out, "config"),
		SystemMap: filepath.Join(o.Out, "System.map"), Version: "6.12.0-test",
		Headers: filepath.Join(o.Out, "headers.tar"),
	}
	if diff := cmp.Diff(want, k); diff != "" {
		t.Errorf("Build (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]int64{1, 2, 3, 3}, seen); diff != "" {
		t.Errorf("progress (-want +got)\n%s", diff)
	}
	vars, err := os.ReadFile(k.SystemMap)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("x86_64 gcc none none none tench@tench 1 Sun Nov  1 01:03:04 UTC 2026\n", string(vars)); diff != "" {
		t.Errorf("make's variables (-want +got)\n%s", diff)
	}
}

func TestBuildAgainTakesUpTheSourcesPlace(t *testing.T) {
	o := testOptions(t)
	for range 2 {
		src := fakeLinux(t, bzImage(kernel64))
		if _, err := Build(t.Context(), board, src, fragment(t, ""), o); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(src.Tree); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBuildFails(t *testing.T) {
	forbidding := board
	forbidding.Kernel.Forbid, forbidding.Kernel.Require = []string{"NET"}, []string{"PPP"}
	tests := []struct {
		name   string
		board  boards.Board
		image  []byte
		config string
		mark   string // a file that makes the Makefile misbehave
		want   string
	}{
		{"image for another CPU", board, bzImage(0), "", "", "kernel: image "},
		{"make fails", board, bzImage(kernel64), "", "broken", "kernel: compile: make bzImage: exit status 2"},
		{"bad fragment", board, bzImage(kernel64), "CONFIG_NET=m\n", "", "kernel: net.config:1: NET=m: the kernel has no modules"},
		{"symbol that make drops", board, bzImage(kernel64), "\nCONFIG_UNKNOWN=y\n", "",
			"kernel: kernel config: UNKNOWN=y is wanted by net.config:2 but is n: there is no such symbol"},
		{"symbol that the board forbids", forbidding, bzImage(kernel64), "CONFIG_NET=y\nCONFIG_PPP=y\n", "",
			"NET=n is wanted by kernel.forbid of boards/small/board.toml but is y"},
		{"symbol that the board requires", forbidding, bzImage(kernel64), "", "",
			"PPP=y is wanted by kernel.require of boards/small/board.toml but is n: it depends on NET, which is n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := fakeLinux(t, tt.image)
			if tt.mark != "" {
				write(t, filepath.Join(src.Tree, tt.mark), "")
			}
			o := testOptions(t)
			_, err := Build(t.Context(), tt.board, src, fragment(t, tt.config), o)
			checkError(t, err, tt.want)
			if _, err := os.Stat(filepath.Join(o.Out, "vmlinuz")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a failed build left an image: %v", err)
			}
		})
	}
}

// A symbol that a program calls for is missed before the compiler runs.
func TestRequiredByAProgram(t *testing.T) {
	o := testOptions(t)
	o.Require = []Symbol{{Name: "PPP", Value: "y", File: "build.requires-kernel of the recipe pppd"}}
	o.Progress = func(int64, int64, string) { t.Error("it compiles") }
	_, err := Build(t.Context(), board, fakeLinux(t, bzImage(kernel64)), fragment(t, ""), o)
	checkError(t, err, "PPP=y is wanted by build.requires-kernel of the recipe pppd but is n: it depends on NET, which is n")
}

// TestCancelStopsEveryProcess cancels while a child of make sleeps.
func TestCancelStopsEveryProcess(t *testing.T) {
	src := fakeLinux(t, bzImage(kernel64))
	write(t, filepath.Join(src.Tree, "wait"), "")
	o := testOptions(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The log line before the sleep tells that make is at it.
	o.Log = writerFunc(func(p []byte) {
		if bytes.Contains(p, []byte("net/core.o")) {
			go cancelWhenWaiting(ctx, cancel, filepath.Join(o.Scratch, "linux/o/waiting"))
		}
	})
	_, err := Build(ctx, board, src, fragment(t, ""), o)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Build = %v, want context.Canceled", err)
	}
	data, err := os.ReadFile(filepath.Join(o.Scratch, "linux/o/waiting"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d of the build is still there: %v", pid, err)
	}
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// cancelWhenWaiting cancels once the file has a process number in it.
func cancelWhenWaiting(ctx context.Context, cancel context.CancelFunc, file string) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if data, _ := os.ReadFile(file); bytes.HasSuffix(data, []byte("\n")) {
			cancel()
			return
		}
		<-tick.C
	}
}

func TestProgressNeverPassesTheTotal(t *testing.T) {
	var log bytes.Buffer
	last := int64(0)
	p := &progress{log: &log, total: 10, report: func(done, total int64, unit string) {
		if done >= total || done < last {
			t.Errorf("progress went from %d to %d of %d", last, done, total)
		}
		last = done
	}}
	line := "  CC      net/core/dev.o\n"
	for _, part := range strings.SplitAfter(strings.Repeat(line, 50), "n") {
		if _, err := p.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if p.done != 50 || log.String() != strings.Repeat(line, 50) {
		t.Errorf("counted %d of 50 lines, log has %d bytes", p.done, log.Len())
	}
}

func TestToolID(t *testing.T) {
	id, err := ToolID(t.Context(), board)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"gcc", "GNU ld", "Zstandard"} {
		if !strings.Contains(id, want) {
			t.Errorf("ToolID = %q, want something with %q", id, want)
		}
	}
}
