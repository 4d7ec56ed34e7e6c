package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Unpack writes the archive as the directory dir, which must not exist:
//
//	identity/     for tench flash --identity
//	router.toml   the generation in force, for tench flash --config
//	config/       all generations, and current
//
// Nobody but the owner may read it. It gets its name only when it is whole.
func (a Archive) Unpack(dir string) error {
	if err := a.unpack(filepath.Clean(dir)); err != nil { // "gw0/" is beside gw0, not in it
		return fmt.Errorf("backup: unpack to %s: %w", dir, err)
	}
	return nil
}

func (a Archive) unpack(dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return errors.New("there is something of this name already\nhint: name a folder that does not exist")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	files := a.Files()
	if g, ok := a.InForce(); ok {
		files = append(files, File{routerName, g.Data})
	}
	for _, f := range files {
		path := filepath.Join(fresh, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := renameio.WriteFile(path, f.Data, 0o600, renameio.WithTempDir(filepath.Dir(path))); err != nil {
			return err
		}
	}
	return os.Rename(fresh, dir)
}
