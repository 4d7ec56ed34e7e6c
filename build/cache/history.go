package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// Record is one run of a step.
type Record struct {
	Step   string        `json:"step"`
	Key    string        `json:"key"`
	Hit    bool          `json:"hit"`
	When   time.Time     `json:"when"` // the same for all steps of one build
	Took   time.Duration `json:"took"` // nanoseconds
	CPU    time.Duration `json:"cpu"`  // nanoseconds, of the build that made the product
	Inputs []Input       `json:"inputs"`
}

// Record returns the product's entry for the history of the build at when.
func (p Product) Record(when time.Time) Record {
	return Record{p.Step, p.Key, p.Hit, when.UTC(), p.Took, p.CPU, p.Inputs}
}

// remembered is how many runs of each step the history keeps.
const remembered = 10

// SaveHistory adds the runs of one build to the board's history. A board of
// another than the default release is called RELEASE/BOARD.
func (s *Store) SaveHistory(board string, build []Record) error {
	path := s.historyPath(board)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // RELEASE/BOARD
		return fmt.Errorf("cache: history of %s: %w", board, err)
	}
	l := flock.New(path + ".lock")
	if err := l.Lock(); err != nil {
		return fmt.Errorf("cache: history of %s: %w", board, err)
	}
	defer l.Unlock()
	all, err := s.History(board)
	if err != nil {
		all = nil // one that cannot be read is replaced
	}
	data, err := json.MarshalIndent(newest(append(all, build...)), "", " ")
	if err != nil {
		return fmt.Errorf("cache: history of %s: %w", board, err)
	}
	if err := renameio.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("cache: history of %s: %w", board, err)
	}
	return nil
}

// newest keeps the last runs of each step, in order.
func newest(all []Record) []Record {
	count := map[string]int{}
	for _, r := range all {
		count[r.Step]++
	}
	var kept []Record
	for _, r := range all {
		if count[r.Step] <= remembered {
			kept = append(kept, r)
		}
		count[r.Step]--
	}
	return kept
}

// History returns the board's last runs of each step, the oldest first; none
// if it was never built.
func (s *Store) History(board string) ([]Record, error) {
	data, err := os.ReadFile(s.historyPath(board))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cache: history of %s: %w", board, err)
	}
	var all []Record
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("cache: history of %s: read %s: %w", board, s.historyPath(board), err)
	}
	return all, nil
}

func (s *Store) historyPath(board string) string {
	return filepath.Join(s.dir, "history", board+".json")
}
