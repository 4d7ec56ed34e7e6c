package labs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
)

// A release of the built board, signed with a key that OpenBSD's signify made
// and checked by it; then a second one, which differs in nothing.
func TestRelease(t *testing.T) {
	lab.Require(t, "signify-openbsd", "zstd")
	root, dir := lab.Root(t), t.TempDir()
	public, secret := filepath.Join(dir, "lab.pub"), filepath.Join(dir, "lab.sec")
	runIn(t, dir, "signify-openbsd", "-G", "-n", "-p", public, "-s", secret)
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	tench := filepath.Join(root, "bin", "tench")
	runIn(t, root, tench, "release", "qemu-amd64", "--key", secret, "--out", first)
	runIn(t, first, "signify-openbsd", "-C", "-p", public, "-x", "SHA256.sig")

	image := filepath.Join(dir, "unpacked.img")
	runIn(t, first, "zstd", "-dq", "tench-qemu-amd64.img.zst", "-o", image)
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

	runIn(t, root, tench, "release", "qemu-amd64", "--unsigned", "--out", second, "--since", first)
	notes, err := os.ReadFile(filepath.Join(second, "NOTES.md"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(notes), "\nThe same"); got != 4 {
		t.Errorf("the notes say %d times, not 4, that nothing changed:\n%s", got, notes)
	}
}

// runIn runs a program in dir to its good end.
func runIn(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
