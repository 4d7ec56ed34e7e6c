package labs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
)

// TestVerifyRebuild has tench verify --rebuild come to its end: with what these
// sources give, and with an image in which one byte is another.
func TestVerifyRebuild(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	tree, b := newTinyTree(t), tinyBuild{cache: t.TempDir()}
	tree.build(t, b)
	if lock, said := tree.tench(t, b, "lock", "tiny"); lock.Run() != nil {
		t.Fatalf("tench lock:\n%s", said)
	}
	again := []string{"verify", "--rebuild", "tiny", "--offline"}

	cmd, said := tree.tench(t, b, again...)
	if err := cmd.Run(); err != nil || !strings.Contains(said.String(), "tench-tiny.img is what these sources give, byte for byte\n") {
		t.Errorf("%v: %v\n%s", cmd, err, said)
	}
	if !strings.Contains(said.String(), "kernel         built ") {
		t.Errorf("the kernel was not built again:\n%s", said)
	}

	image, imageErr := os.ReadFile(filepath.Join(tree.out(), "tench-tiny.img"))
	initrd, err := os.ReadFile(filepath.Join(tree.out(), "tench-tiny.initrd"))
	if err := errors.Join(imageErr, err); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(image, initrd[:4096]) + 1000 // in slot a, the first that has it
	image[at] ^= 1
	other := filepath.Join(t.TempDir(), "other.img")
	if err := os.WriteFile(other, image, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd, said = tree.tench(t, b, append(again, "--against", other)...)
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v: %v, want exit status 1", cmd, err)
	}
	for _, want := range []string{"other.img (first) is not what was built again (second)", "  slot a: initrd: first different at byte 1000 of ", "tench: verify: "} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("tench does not say %q:\n%s", want, said)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(b.cache, "rebuild-*")); len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
}
