package labs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
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
