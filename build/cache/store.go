// Package cache runs the steps of a build, each once for the same inputs.
//
//	store.go     Store: folders
//	lock.go      one process at a time works on a product
//	step.go      Step, its inputs and its key
//	run.go       Run: a hit from the store, or the work and its product
//	product.go   Product, its files and their checking
//	hash.go      hashes of files, trees and texts
//	history.go   what each step's inputs were, for `tench explain`
//	explain.go   the difference of two sets of inputs, in words
//	prune.go     products and leftovers that nobody used for a while
//
// A step's key is the hash of its name, its version and its inputs' hashes; its
// product is a folder that is written beside its place and renamed when it is
// whole. A product of an earlier step is an input by its content, so that work
// ends where nothing changed.
package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Store holds products, unfinished work and history:
//
//	steps/NAME/KEY/out/        a product's files
//	steps/NAME/KEY/step.json   inputs, files with their hashes, how long it took
//	steps/NAME/KEY/log         what its tools said
//	work/NAME/KEY/             scratch of an unfinished step, taken up by the next run
//	work/NAME/KEY.new/         its product, as far as it is
//	work/NAME/KEY.log          its log
//	work/NAME/KEY.lock         held while a process works on it (see lock.go)
//	history/BOARD.json         see SaveHistory
//
// Several processes may use one store at the same time.
type Store struct {
	dir string
	now func() time.Time
}

// Open opens the store in dir and makes its folders.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cache: open: %w", err)
	}
	s := &Store{dir: dir, now: time.Now}
	for _, sub := range s.own() {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return nil, fmt.Errorf("cache: open: %w\nhint: set TENCH_CACHE to a folder you may write to", err)
		}
	}
	return s, nil
}

// own are the folders that belong to the store; others beside them do not.
func (s *Store) own() []string {
	return []string{filepath.Join(s.dir, "steps"), filepath.Join(s.dir, "work"), filepath.Join(s.dir, "history")}
}

// RemoveAll removes a tree even if it has folders that may not be written to,
// as Go's module cache and some packages have.
func RemoveAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

func (s *Store) productDir(step, key string) string { return filepath.Join(s.dir, "steps", step, key) }

func (s *Store) workDir(step, key string) string { return filepath.Join(s.dir, "work", step, key) }
