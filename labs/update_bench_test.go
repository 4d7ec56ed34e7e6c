package labs

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tench/boards"
	"tench/build/disk"
	"tench/internal/lab"
	"tench/release"
	"tench/release/slotimage"
	"tench/release/transfer"
)

// BenchmarkUpdate tells how many bytes go over a slow line to a box that runs
// the image of `make image`, for an image in which one file of the root is
// another, and for one whose kernel is (random bytes, 3 KiB more: nothing of it
// can be found on the box). The time is the desk's, to plan it.
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
	for name, image := range map[string][]byte{
		"the-same":     running,
		"other-file":   slotOf(b, board, kernel, otherFile(b, initrd, "LOCALHOST")),
		"other-kernel": slotOf(b, board, newer, initrd),
	} {
		b.Run(name, func(b *testing.B) {
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

// otherFile is the initramfs with another name in the place of localhost in
// /etc/hosts, packed as the build does.
func otherFile(b *testing.B, initrd []byte, name string) []byte {
	b.Helper()
	archive := zstd(b, initrd, "-d")
	changed := bytes.Replace(archive, []byte("localhost"), []byte(name), 1)
	if bytes.Equal(archive, changed) {
		b.Fatal("there is no localhost in the initramfs")
	}
	return zstd(b, changed, "-19", "--single-thread")
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
