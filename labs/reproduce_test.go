package labs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
)

// The same sources give the same bytes from another folder and another cache.
// Downloads and ccache are shared, so that the second kernel costs minutes and
// not a quarter of an hour: it is configured, linked and packed anew.
func TestSameBytesFromAnotherFolder(t *testing.T) {
	lab.Require(t, "git", "make")
	root := lab.Root(t)
	first := filepath.Join(root, "out", "qemu-amd64")
	if _, err := os.Stat(first); err != nil {
		t.Fatalf("%v\nhint: make image", err)
	}
	other := filepath.Join(t.TempDir(), "a folder with another name")
	copyCheckout(t, root, other)
	cache := filepath.Join(t.TempDir(), "cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, shared := range []string{"dl", "ccache"} {
		if err := os.Symlink(filepath.Join(cacheDir(t), shared), filepath.Join(cache, shared)); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("make", "image")
	build.Dir = other
	build.Env = append(os.Environ(), "TENCH_CACHE="+cache, "TZ=Pacific/Kiritimati", "LC_ALL=C", "MAKEFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make image in %s: %v\n%s", other, err, out)
	}
	for _, name := range []string{"tench-qemu-amd64.img", "SHA256"} {
		if !sameFile(t, filepath.Join(first, name), filepath.Join(other, "out", "qemu-amd64", name)) {
			t.Errorf("%s differs between two folders", name)
		}
	}
}

// copyCheckout copies what git tracks and what it would track.
func copyCheckout(t *testing.T, from, to string) {
	t.Helper()
	list, err := exec.Command("git", "-C", from, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		src, dst := filepath.Join(from, name), filepath.Join(to, name)
		if _, err := os.Lstat(src); err != nil {
			continue // removed, and not yet committed
		}
		if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-P", "--preserve=mode", src, dst).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v\n%s", name, err, out)
		}
	}
}

func cacheDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("TENCH_CACHE"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(home, ".cache", "tench")
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	left, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	right, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(left, right)
}
