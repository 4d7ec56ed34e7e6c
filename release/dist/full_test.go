package dist

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tench/internal/lab"
)

// A disk that fills up while zstd packs the image is what the operator is told
// of, and not that zstd died of it.
func TestFullDisk(t *testing.T) {
	lab.RequireRoot(t, "zstd")
	o, b := testOptions(t), testBuilt()
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	b.image = string(noise)
	dir := filepath.Dir(o.Out)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tench", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	err := Write(t.Context(), []Board{b.board(t)}, o)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "tench-alix2d3.img: ") || !strings.Contains(err.Error(), "\nhint: make room in "+dir) {
		t.Errorf("Write to a full disk = %v, want ENOSPC and a hint", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left on the full disk: %v (%v)", left, err)
	}
	if err := unix.Mount("tench", dir, "tmpfs", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, []Board{b.board(t)}, o)
}
