package system

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// WriteFile replaces the content of a file so that a power cut leaves the old
// or the new one, never a part: it is written beside it, synced and renamed.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	// Naming the folder spares the library's search for one, which writes.
	beside := renameio.WithTempDir(filepath.Dir(path))
	if err := renameio.WriteFile(path, data, mode, beside); err != nil {
		return fmt.Errorf("%s: write: %w", path, err)
	}
	return nil
}

// WriteSynced is WriteFile for what must be on the medium when it returns: the
// folder is synced as well.
func WriteSynced(path string, data []byte, mode fs.FileMode) error {
	if err := WriteFile(path, data, mode); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("%s: write: %w", path, err)
	}
	return nil
}
