package system

import (
	"fmt"
	"io/fs"
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
