package labs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/release"
)

// A release of the built board, signed with a key that OpenBSD's signify made
// and checked by it; then a second one, which differs in nothing. It is made in
// a copy of the checkout, whose lock names the tools of this machine.
func TestRelease(t *testing.T) {
	lab.Require(t, "signify-openbsd", "zstd")
	root, dir := filepath.Join(t.TempDir(), "checkout"), t.TempDir()
	copyCheckout(t, lab.Root(t), root)
	tench(t, root, nil, "lock", "qemu-amd64")
	public, secret := filepath.Join(dir, "lab.pub"), filepath.Join(dir, "lab.sec")
	run(t, dir, nil, "signify-openbsd", "-G", "-n", "-p", public, "-s", secret)
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	tench(t, root, nil, "release", "qemu-amd64", "--key", secret, "--out", first)
	tench(t, root, nil, "verify", first, "--key", public)
	run(t, first, nil, "signify-openbsd", "-C", "-p", public, "-x", "SHA256.sig")

	image := filepath.Join(dir, "unpacked.img")
	run(t, first, nil, "zstd", "-dq", "tench-qemu-amd64.img.zst", "-o", image)
	if !sameFile(t, image, filepath.Join(root, "out", "qemu-amd64", "tench-qemu-amd64.img")) {
		t.Error("the packed image is another than the one that was built")
	}
	files, err := os.ReadFile(filepath.Join(first, "tench-qemu-amd64.mtree"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(files), "\n./etc/tench/sbom.json type=file ") {
		t.Error("the box has no bill of materials")
	}

	tench(t, root, nil, "release", "qemu-amd64", "--unsigned", "--out", second, "--since", first)
	notes, err := os.ReadFile(filepath.Join(second, "NOTES.md"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(notes), "\nThe same"); got != 5 {
		t.Errorf("the notes say %d times, not 5, that nothing changed:\n%s", got, notes)
	}
}

// TestFaultsReleaseStopped stops a release at points that chance draws: its
// directory is whole or not there, and the same command completes it.
func TestFaultsReleaseStopped(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	random, tree, b := seededRandom(t), newTinyTree(t), tinyBuild{cache: t.TempDir()}
	must := func(args ...string) {
		t.Helper()
		if cmd, said := tree.tench(t, b, args...); cmd.Run() != nil {
			t.Fatalf("%v:\n%s", cmd, said)
		}
	}
	must("lock", "tiny")
	out := filepath.Join(t.TempDir(), "1")
	call := []string{"release", "tiny", "--unsigned", "--offline", "--out", out}
	must(call...)
	want := hashOf(t, filepath.Join(out, release.SumsFile))
	began := time.Now()
	must(append(call, "--replace")...) // nothing is built by now
	most := time.Since(began)
	for stops := 0; stops < faultStops; {
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
		cmd, said := tree.tench(t, b, call...)
		signal := []syscall.Signal{syscall.SIGINT, syscall.SIGKILL}[random.IntN(2)]
		if (stoppable{cmd, said, b.cache}).stop(t, signal, time.Duration(random.Int64N(int64(most)))) {
			stops++
		}
		if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
			must("verify", out)
		}
	}
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	must(call...)
	if got := hashOf(t, filepath.Join(out, release.SumsFile)); got != want {
		t.Errorf("in the end SHA256 has the hash %s, undisturbed it is %s", got, want)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left beside the release: %v (%v)", left, err)
	}
}
