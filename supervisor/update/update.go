// Package update keeps the generations of a box's router.toml on its data
// partition: every version that was ever applied has a number, the last ten are
// kept, and `current` names the one to start with.
//
//	update.go  Store: add, list, load with fallback
//
// Layout below Store.Dir (data:/config on a box):
//
//	current          the number of the current generation, e.g. "7\n"
//	7/router.toml    generation 7
//	.new-8/          generation 8 being written; left behind by a power cut only
//
// Power may fail at any moment. A generation is written whole into .new-N,
// synced, renamed to N, and only then does `current` change, again by a rename:
// until that last rename is on the medium the old generation is current.
package update

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
)

const (
	fileName    = "router.toml"
	currentName = "current"
	newPrefix   = ".new-" // directory of a generation that is being written
	keep        = 10      // generations kept, the newest one included
)

// MaxSize is the longest router.toml in bytes that Add takes and Load reads.
const MaxSize = 256 << 10

// ErrNone means that the store holds no generation, e.g. on a new data
// partition. The box then runs with the file built into its image.
var ErrNone = errors.New("there is no router.toml on the data partition")

// Store is the directory that holds the generations. Only one process, the
// loop, may Add; anybody may read meanwhile.
type Store struct {
	Dir string // e.g. /data/config; made by the first Add
}

// Generation is one version of router.toml.
type Generation struct {
	Number int // from 1
	Data   []byte
}

// Current reads the generation that `current` names. The error is ErrNone when
// nothing was ever stored.
func (s Store) Current() (Generation, error) {
	n, err := s.currentNumber()
	if errors.Is(err, fs.ErrNotExist) {
		if numbers, lerr := s.List(); lerr != nil {
			err = lerr
		} else if len(numbers) == 0 {
			err = ErrNone
		}
	}
	if err != nil {
		return Generation{}, fmt.Errorf("update: read current generation: %w", err)
	}
	return s.read(n)
}

// currentNumber is the number in the file current, whether or not that
// generation exists.
func (s Store) currentNumber() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.Dir, currentName))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not the number of a generation", text)
	}
	return n, nil
}

// List returns the numbers of the generations that are kept, oldest first.
func (s Store) List() ([]int, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("update: list generations: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err == nil && n > 0 && e.IsDir() && strconv.Itoa(n) == e.Name() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Load returns the current generation if accept takes it, and otherwise the
// newest other one that accept takes. accept is handed the file's name for
// messages, e.g. "config/7/router.toml".
//
// problem tells why the result is not the current generation; nil when it is.
// err tells that no generation can be used: ErrNone when there is none.
func (s Store) Load(accept func(name string, data []byte) error) (g Generation, problem, err error) {
	g, problem = s.Current()
	if errors.Is(problem, ErrNone) {
		return Generation{}, nil, problem
	}
	if problem == nil {
		if problem = accept(s.Name(g.Number), g.Data); problem == nil {
			return g, nil, nil
		}
	}
	numbers, err := s.List()
	if err != nil {
		return Generation{}, problem, err
	}
	refused := g.Number
	for _, n := range slices.Backward(numbers) {
		// Newer than current means that a power cut came between the two
		// renames: the operator was never told that it was stored.
		if n == refused || refused > 0 && n > refused {
			continue
		}
		if g, err := s.read(n); err == nil && accept(s.Name(n), g.Data) == nil {
			return g, problem, nil
		}
	}
	return Generation{}, problem, fmt.Errorf("update: load: none of %d generations can be used: %w", len(numbers), problem)
}

// Name is what a generation's file is called in messages.
func (s Store) Name(n int) string {
	return filepath.Join(filepath.Base(s.Dir), strconv.Itoa(n), fileName)
}

func (s Store) read(n int) (Generation, error) {
	path := filepath.Join(s.Dir, strconv.Itoa(n), fileName)
	info, err := os.Stat(path)
	if err != nil {
		return Generation{}, fmt.Errorf("update: read generation %d: %w", n, err)
	}
	if !info.Mode().IsRegular() || info.Size() > MaxSize {
		return Generation{}, fmt.Errorf("update: read generation %d: %s is not a file of at most %d bytes", n, path, MaxSize)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Generation{}, fmt.Errorf("update: read generation %d: %w", n, err)
	}
	return Generation{Number: n, Data: data}, nil
}

// Add stores data as the next generation, makes it the current one and removes
// those beyond the last ten. Once Add has returned without error, the
// generation survives a power cut; a cut before leaves the old one current, or
// at the very end the new one, but always a whole one. Numbers are never used
// twice.
func (s Store) Add(data []byte) (int, error) {
	if len(data) > MaxSize {
		return 0, fmt.Errorf("update: add generation: %d bytes are more than the %d allowed", len(data), MaxSize)
	}
	numbers, err := s.List()
	if err != nil {
		return 0, err
	}
	next := 1
	if len(numbers) > 0 {
		next = numbers[len(numbers)-1] + 1
	}
	// A generation that current names but that is gone has used its number too.
	if n, err := s.currentNumber(); err == nil && n >= next {
		next = n + 1
	}
	for _, step := range s.addSteps(next, data) {
		if err := step(); err != nil {
			return 0, fmt.Errorf("update: add generation %d: %w\nhint: is the data partition full, missing or read-only? see `tenchd status`", next, err)
		}
	}
	s.prune()
	return next, nil
}

// addSteps are the writes of Add in their order. Power may fail between any two
// of them and within each.
func (s Store) addSteps(n int, data []byte) []func() error {
	fresh := filepath.Join(s.Dir, newPrefix+strconv.Itoa(n))
	return []func() error{
		func() error { return os.MkdirAll(s.Dir, 0o755) },
		func() error { return syncDir(filepath.Dir(s.Dir)) },
		func() error { return os.RemoveAll(fresh) },
		func() error { return os.Mkdir(fresh, 0o755) },
		func() error { return writeSynced(filepath.Join(fresh, fileName), data) },
		func() error { return syncDir(fresh) },
		func() error { return os.Rename(fresh, filepath.Join(s.Dir, strconv.Itoa(n))) },
		func() error { return syncDir(s.Dir) },
		func() error {
			return renameio.WriteFile(filepath.Join(s.Dir, currentName), fmt.Appendf(nil, "%d\n", n), 0o644,
				renameio.WithTempDir(s.Dir))
		},
		func() error { return syncDir(s.Dir) },
	}
}

// prune removes the generations beyond the last ten and what interrupted Adds
// left behind. What cannot be removed costs some space and is tried again by
// the next Add, so errors are not reported.
func (s Store) prune() {
	if numbers, err := s.List(); err == nil && len(numbers) > keep {
		for _, n := range numbers[:len(numbers)-keep] {
			os.RemoveAll(filepath.Join(s.Dir, strconv.Itoa(n)))
		}
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			os.RemoveAll(filepath.Join(s.Dir, e.Name()))
		}
	}
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// syncDir makes the names in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
