package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	// kept is how many products of each step stay, however old they are: going
	// back and forth between a few configurations stays cheap.
	kept = 3
	// recent is how long everything stays that was used.
	recent = 24 * time.Hour
)

// Prune removes products that are not among the newest of their step, and
// unfinished work, if they were not used for a day. It leaves alone what
// another process works on.
func (s *Store) Prune() error {
	var errs []error
	products, err := s.byUse("steps")
	errs = append(errs, err)
	for _, list := range products {
		if len(list) > kept {
			errs = append(errs, s.drop(list[kept:])...)
		}
	}
	work, err := s.byUse("work")
	errs = append(errs, err)
	for _, list := range work {
		errs = append(errs, s.drop(list)...)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cache: prune: %w", err)
	}
	return nil
}

// entry is the folder of one key below steps or work.
type entry struct {
	step, key string
	path      string
	used      time.Time
}

// byUse lists the entries below one of the store's folders for each step, the
// last used first.
func (s *Store) byUse(sub string) (map[string][]entry, error) {
	paths, err := filepath.Glob(filepath.Join(s.dir, sub, "*", "*"))
	lists := map[string][]entry{}
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || filepath.Ext(path) == ".lock" {
			continue
		}
		key, _, _ := strings.Cut(filepath.Base(path), ".") // KEY, KEY.new, KEY.log
		step := filepath.Base(filepath.Dir(path))
		lists[step] = append(lists[step], entry{step, key, path, info.ModTime()})
	}
	for _, list := range lists {
		slices.SortFunc(list, func(a, b entry) int { return b.used.Compare(a.used) })
	}
	return lists, err
}

// drop removes those entries that were not used for a while. The lock files
// stay: one that is removed while a process waits for it would let two in.
func (s *Store) drop(list []entry) (errs []error) {
	for _, e := range list {
		if s.now().Sub(e.used) < recent {
			continue
		}
		l := flock.New(s.workDir(e.step, e.key) + ".lock")
		if got, err := l.TryLock(); err != nil || !got {
			continue // in use
		}
		// Looked at again: it may have been used since it was listed.
		if info, err := os.Lstat(e.path); err == nil && s.now().Sub(info.ModTime()) >= recent {
			errs = append(errs, RemoveAll(e.path))
		}
		_ = l.Unlock()
	}
	return errs
}
