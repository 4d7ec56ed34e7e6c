package flash

import (
	"os"
	"path/filepath"
	"testing"
)

// An image file that cannot have its size leaves nothing behind.
func TestImageFileThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	if f, err := NewImageFile(filepath.Join(dir, "gw0.img"), -1); err == nil {
		t.Fatalf("NewImageFile of -1 bytes = %v", f.Name())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v is left, want nothing", left, err)
	}
}
