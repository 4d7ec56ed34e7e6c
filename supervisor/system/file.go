package system

import (
	"encoding/json"
	"errors"
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
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in dir survive a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReadJSON reads a file of ours. Where there is none yet, and with an error, it
// returns the zero value.
func ReadJSON[T any](path string) (T, error) {
	var v T
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		return *new(T), fmt.Errorf("%s: read: %w", path, err)
	}
	return v, nil
}

// WriteJSON stores v for ReadJSON and for people, as WriteSynced does.
func WriteJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: write: %w", path, err)
	}
	return WriteSynced(path, append(data, '\n'), 0o644)
}
