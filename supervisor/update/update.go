// Package update keeps the generations of a box's router.toml on its data
// partition: every version that was ever applied has a number, the last ten are
// kept, and `current` names the one to start with.
//
//	update.go  Store: list, load with fallback
//	write.go   Store: add, try, confirm, take back, and what a power cut leaves
//	about.go   what is known of a generation beside its text; the file trial
//	trial.go   Trial, the automaton of a generation on trial
//
// Layout below Store.Dir (data:/config on a box):
//
//	current          the number of the current generation, e.g. "7\n"
//	7/router.toml    generation 7
//	7/about.json     when it came, from whom, how its trial ended; see About
//	trial            which generation is on trial; see Record. Absent otherwise
//	.new-8/          generation 8 being written; left behind by a power cut only
//
// Power may fail at any moment. A generation is written whole into .new-N,
// synced, renamed to N, and only then does `current` change, again by a rename:
// until that last rename is on the medium the old generation is current.
//
// A generation on trial is written in the same way, but `current` goes on naming
// the old one until somebody confirms. So whatever ends the loop inside the
// window, a crash, the watchdog, a power cut, leads back to the old generation
// without a line of code that could fail: it is what the next start reads.
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
)

const (
	fileName    = "router.toml"
	aboutName   = "about.json"
	currentName = "current"
	trialName   = "trial"
	newPrefix   = ".new-" // directory of a generation that is being written

	// keep is how many generations stay, the newest one included, and
	// keepUnproven how many that were never confirmed: a row of failed trials
	// must not push out those that worked.
	keep         = 10
	keepUnproven = 3
)

// MaxSize is the longest router.toml in bytes that Add takes and Load reads.
const MaxSize = 256 << 10

// ErrNone means that the store holds no generation, e.g. on a new data
// partition. The box then comes up without a network.
var ErrNone = errors.New("there is no router.toml on the data partition")

// Store is the directory that holds the generations. Only one process, the
// loop, may write; anybody may read meanwhile.
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
		} else if !slices.ContainsFunc(numbers, s.proven) {
			err = ErrNone
		}
	}
	if err != nil {
		return Generation{}, fmt.Errorf("update: read current generation: %w", err)
	}
	return s.Read(n)
}

// proven reports whether a generation was in force for good. One whose trial
// was not confirmed may lock its operator out, and is never fallen back to.
func (s Store) proven(n int) bool { return !s.About(n).Unproven }

// Previous is the newest generation before the current one that was in force
// for good; 0 when there is none.
func (s Store) Previous() (int, error) {
	current, err := s.currentNumber()
	if err != nil {
		return 0, fmt.Errorf("update: read current generation: %w", err)
	}
	numbers, err := s.List()
	if err != nil {
		return 0, err
	}
	for _, n := range slices.Backward(numbers) {
		if n < current && s.proven(n) {
			return n, nil
		}
	}
	return 0, nil
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
		if n == refused || refused > 0 && n > refused || !s.proven(n) {
			continue
		}
		if g, err := s.Read(n); err == nil && accept(s.Name(n), g.Data) == nil {
			return g, problem, nil
		}
	}
	return Generation{}, problem, fmt.Errorf("update: load: none of %d generations can be used: %w", len(numbers), problem)
}

// Name is what a generation's file is called in messages.
func (s Store) Name(n int) string {
	return filepath.Join(filepath.Base(s.Dir), strconv.Itoa(n), fileName)
}

// Read reads a generation that is kept.
func (s Store) Read(n int) (Generation, error) {
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
