package labs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"tench/boards"
	"tench/build/disk"
	"tench/build/userland"
	"tench/internal/lab"
	"tench/release"
	"tench/release/slotimage"
	"tench/release/transfer"
)

// BenchmarkUpdate tells how many bytes go over a slow line to a box that runs
// the image of `make image`: for one in which a word of one program is another,
// for one with a tenchd of which a line was changed and which was built again,
// and for one with another kernel (random bytes, 3 KiB more: nothing of it can be
// found on the box). Where the cache has more kernels of this configuration, as
// after a patch, an update from the nearest of them is measured too. The time is
// the desk's, to plan it.
func BenchmarkUpdate(b *testing.B) {
	lab.Require(b, "zstd")
	board, err := boards.Load(filepath.Join(lab.Root(b), "boards"), "qemu-amd64")
	if err != nil {
		b.Fatal(err)
	}
	out := filepath.Join(lab.Root(b), "out", board.Name)
	kernel, initrd := readProduct(b, out, release.KernelName(board.Name)), readProduct(b, out, release.InitrdName(board.Name))
	newer := make([]byte, len(kernel)+3<<10)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range newer {
		newer[i] = byte(r.Uint32())
	}
	copy(newer, kernel[:4096]) // what makes it a kernel
	running := slotOf(b, board, kernel, initrd)
	for name, build := range map[string]func(b *testing.B) []byte{
		"the-same":     func(*testing.B) []byte { return running },
		"other-word":   func(b *testing.B) []byte { return slotOf(b, board, kernel, otherFile(b, initrd, "LOCALHOST")) },
		"other-tenchd": func(b *testing.B) []byte { return slotOf(b, board, kernel, otherTenchd(b, board, initrd)) },
		"other-kernel": func(b *testing.B) []byte { return slotOf(b, board, newer, initrd) },
		"built-kernel": func(b *testing.B) []byte {
			built := kernelLike(b, kernel, readProduct(b, out, release.ConfigName(board.Name)))
			if built == nil {
				b.Skip("the cache has no other kernel of this configuration")
			}
			return slotOf(b, board, built, initrd)
		},
	} {
		b.Run(name, func(b *testing.B) {
			image := build(b)
			have := transfer.Have{Running: sumsOf(b, running), Target: sumsOf(b, make([]byte, len(image)))}
			var cost int64
			for b.Loop() {
				cost = transfer.Cost(transfer.Plan(image, have))
			}
			b.ReportMetric(float64(cost), "B-sent")
			b.ReportMetric(float64(len(image)), "B-image")
			b.ReportMetric(float64(cost)/8000, "s-at-64kbit/s")
		})
	}
}

// alike is how many lines of the configurations of two kernels may differ for one
// to be a release of the other.
const alike = 10

// kernelLike is the kernel in the cache of which most lines of the configuration
// are those of the given kernel; nil where there is none but that one.
func kernelLike(b *testing.B, kernel, config []byte) (found []byte) {
	b.Helper()
	paths, err := filepath.Glob(filepath.Join(cacheDir(b), "steps/kernel/*/out/vmlinuz"))
	if err != nil {
		b.Fatal(err)
	}
	has, least := lines(config), alike+1
	for _, path := range paths {
		dir, differ := filepath.Dir(path), 0
		other := lines(readProduct(b, dir, "config"))
		for line := range other {
			if !has[line] {
				differ++
			}
		}
		for line := range has {
			if !other[line] {
				differ++
			}
		}
		if data := readProduct(b, dir, "vmlinuz"); differ < least && !bytes.Equal(data, kernel) {
			found, least = data, differ
			b.Logf("built-kernel: %s, of whose configuration %d lines are others", path, differ)
		}
	}
	return found
}

func lines(text []byte) map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		set[line] = true
	}
	return set
}

func readProduct(b testing.TB, dir, name string) []byte {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		b.Fatalf("%v\nhint: make image", err)
	}
	return data
}

// slotOf is the slot image of a kernel and an initramfs, of a release to come.
func slotOf(b testing.TB, board boards.Board, kernel, initrd []byte) []byte {
	b.Helper()
	dir := b.TempDir()
	paths := map[string][]byte{"kernel": kernel, "initrd": initrd}
	for name, data := range paths {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	slot := filepath.Join(dir, "slot")
	id := disk.Identity{Seed: "labs", Epoch: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Release: "2026.12"}
	if err := disk.Slot(board, filepath.Join(dir, "kernel"), filepath.Join(dir, "initrd"), id, slot); err != nil {
		b.Fatal(err)
	}
	data := readProduct(b, dir, "slot")
	used := len(bytes.TrimRight(data, "\x00"))
	return data[:(used+slotimage.BlockSize-1)/slotimage.BlockSize*slotimage.BlockSize]
}

// otherTenchd is the initramfs of a checkout in which PID 1 says something else
// about a slot that is good.
func otherTenchd(b *testing.B, board boards.Board, initrd []byte) []byte {
	b.Helper()
	dir := b.TempDir()
	copyCheckout(b, lab.Root(b), dir)
	source := filepath.Join(dir, "supervisor", "boot_trial.go")
	before := readProduct(b, filepath.Dir(source), filepath.Base(source))
	after := bytes.Replace(before, []byte("is healthy: it is the good one"), []byte("is well: it is the good one"), 1)
	if bytes.Equal(before, after) {
		b.Fatal("PID 1 does not say that a slot is the good one")
	}
	if err := os.WriteFile(source, after, 0o644); err != nil {
		b.Fatal(err)
	}
	path, err := userland.Tenchd(context.Background(), board, dir, userland.Options{Out: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	program := readProduct(b, filepath.Dir(path), filepath.Base(path))
	commands, rest := archives(b, initrd)
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(rest)))
	if err != nil {
		b.Fatal(err)
	}
	for i, r := range records {
		if r.Name == "bin/tenchd" {
			records[i].ReaderAt, records[i].FileSize = bytes.NewReader(program), uint64(len(program))
		}
	}
	var archive bytes.Buffer
	w := cpio.Newc.Writer(&archive)
	if err := errors.Join(cpio.WriteRecords(w, records), cpio.WriteTrailer(w)); err != nil {
		b.Fatal(err)
	}
	return append(commands, packed(b, archive.Bytes())...)
}

// otherFile is the initramfs with another name in the place of the first
// "localhost", which is in bin/tenchd.
func otherFile(b *testing.B, initrd []byte, name string) []byte {
	b.Helper()
	commands, rest := archives(b, initrd)
	changed := bytes.Replace(rest, []byte("localhost"), []byte(name), 1)
	if bytes.Equal(rest, changed) {
		b.Fatal("there is no localhost in the initramfs")
	}
	return append(commands, packed(b, changed)...)
}

// archives are the two of an initramfs: the packed commands, which are as they
// are, and the rest, unpacked.
func archives(b *testing.B, initrd []byte) (commands, rest []byte) {
	b.Helper()
	at := 0
	for !bytes.HasPrefix(initrd[at:], []byte("\x28\xb5\x2f\xfd")) {
		if at += slotimage.BlockSize; at >= len(initrd) {
			b.Fatal("there is no zstd in the initramfs")
		}
	}
	return initrd[:at:at], zstd(b, initrd[at:], "-d")
}

// packed packs an archive as the build does.
func packed(b *testing.B, archive []byte) []byte {
	b.Helper()
	return zstd(b, archive, "-19", "--single-thread")
}

func zstd(b *testing.B, data []byte, args ...string) []byte {
	b.Helper()
	cmd := exec.CommandContext(context.Background(), "zstd", append(args, "-q", "-c")...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("zstd: %v", err)
	}
	return out
}

// sumsOf are the hashes of a slot's blocks, as the box sends them.
func sumsOf(b *testing.B, slot []byte) []transfer.Sum {
	b.Helper()
	var wire bytes.Buffer
	if err := transfer.NewConn(nil, &wire).SendSums(bytes.NewReader(slot), int64(len(slot))); err != nil {
		b.Fatal(err)
	}
	c := transfer.NewConn(&wire, io.Discard)
	var list []transfer.Sum
	for {
		m, err := c.Expect(transfer.Sums)
		if err != nil {
			b.Fatal(err)
		}
		if len(m.Body) == 0 {
			return list
		}
		if list, err = transfer.AppendSums(list, m.Body); err != nil {
			b.Fatal(err)
		}
	}
}
