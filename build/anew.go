package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tench/build/cache"
)

// anewFolders are those of AnewFolder below the cache.
const anewFolders = "rebuild-*"

// AnewFolder makes an empty folder in the cache for a build anew (Options.Anew)
// and its image, and says how to be done with it. The folder is locked until then,
// or until this process ends, so that the next call removes what a killed one
// has left: gigabytes.
func AnewFolder(ctx context.Context, cacheDir string) (dir string, done func(), err error) {
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", nil, fmt.Errorf("%w\nhint: set TENCH_CACHE to a folder that can be written to", err)
	}
	// Between a folder's making and its locking nobody else may look at it.
	unlock, err := cache.LockFolder(ctx, cacheDir, func() {})
	if err != nil {
		return "", nil, err
	}
	defer unlock()
	if err := removeAbandoned(filepath.Join(cacheDir, anewFolders)); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(cacheDir, anewFolders); err != nil {
		return "", nil, err
	}
	free, err := cache.LockFolder(ctx, dir, func() {})
	if err != nil {
		return "", nil, errors.Join(err, os.Remove(dir))
	}
	return dir, func() {
		_ = cache.RemoveAll(dir)
		free()
	}, nil
}

// removeAbandoned removes the folders of a pattern that nobody has locked.
func removeAbandoned(pattern string) error {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		used, err := cache.Locked(dir)
		if used || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := errors.Join(err, cache.RemoveAll(dir)); err != nil {
			return fmt.Errorf("remove what a killed run left: %w", err)
		}
	}
	return nil
}
