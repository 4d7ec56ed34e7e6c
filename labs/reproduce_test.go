package labs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
	"tench/release"
)

// The same sources give the same bytes to another user, on another day, in
// another folder, with another cache: the boards that TENCH_TWICE names are built
// once more that way and compared. Downloads and ccache are shared, so that a
// second kernel costs minutes and not a quarter of an hour: it is configured,
// linked and packed anew. With TENCH_TWICE_ANEW it is compiled anew as well, which
// alone shows that the objects hold neither the folder nor the day.
func TestSameBytesElsewhere(t *testing.T) {
	lab.RequireRoot(t, "git", "faketime", "unshare")
	root := lab.Root(t)
	list := boardsNamed(t, "TENCH_TWICE")
	for _, b := range list { // what is compared must be of this checkout
		tench(t, root, nil, "image", b.Name)
	}
	other := filepath.Join(t.TempDir(), "a folder with another name")
	copyCheckout(t, root, other)
	cache := filepath.Join(t.TempDir(), "cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	shared := []string{"dl", "ccache"}
	if os.Getenv("TENCH_TWICE_ANEW") != "" {
		shared = shared[:1]
	}
	for _, name := range shared {
		if err := os.Symlink(filepath.Join(cacheDir(t), name), filepath.Join(cache, name)); err != nil {
			t.Fatal(err)
		}
	}
	// 40 days later, for all programs that ask the C library; and a user without
	// a name, whose files are root's outside.
	elsewhere := []string{"unshare", "--user", "--map-user=1234", "--map-group=1234", "faketime", "-f", "+40d"}
	env := []string{"TENCH_CACHE=" + cache, "TZ=Pacific/Kiritimati", "LANG=tr_TR.UTF-8", "MAKEFLAGS="}
	for _, b := range list {
		t.Run(b.Name, func(t *testing.T) {
			run(t, other, env, append(elsewhere, filepath.Join(root, "bin", "tench"), "image", b.Name)...)
			for _, name := range []string{release.ImageName(b.Name), "SHA256"} {
				if !sameFile(t, filepath.Join(root, "out", b.Name, name), filepath.Join(other, "out", b.Name, name)) {
					t.Errorf("%s differs between here and elsewhere", name)
				}
			}
		})
	}
}

// tench runs the host tool in a checkout.
func tench(t *testing.T, dir string, env []string, args ...string) {
	t.Helper()
	run(t, dir, env, append([]string{filepath.Join(lab.Root(t), "bin", "tench")}, args...)...)
}

// run runs a program in dir with env beside the test's own environment.
func run(t *testing.T, dir string, env []string, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// copyCheckout copies what git tracks and what it would track.
func copyCheckout(t testing.TB, from, to string) {
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
