package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// maxJSON bounds about.json and trial, in bytes; what we write is far shorter.
const maxJSON = 16 << 10

// About is what is known of a generation beside its text, in N/about.json.
// Those that came with the image have none, and are proven.
type About struct {
	Added     time.Time `json:"added,omitzero"`       // zero where the clock was not set
	By        string    `json:"by,omitempty"`         // the session that brought it; "" for the box's console
	CopyOf    int       `json:"copy-of,omitempty"`    // a rollback's: the generation whose text it has
	Unproven  bool      `json:"unproven,omitempty"`   // came on trial, and was not confirmed
	TakenBack string    `json:"taken-back,omitempty"` // why its trial ended without a confirmation
}

// About returns what is known of a generation; all zero when there is no file.
// A file that cannot be read says nothing for the generation: it is unproven.
func (s Store) About(n int) About {
	var a About
	err := readJSON(filepath.Join(s.Dir, strconv.Itoa(n), aboutName), &a)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return About{Unproven: true}
	}
	return a
}

// Record is the file trial: the generation that the box runs with although
// `current` names another one. Whoever finds it at a start knows that the loop
// ended inside the window.
type Record struct {
	Number int `json:"number"` // the generation on trial
	Back   int `json:"back"`   // the one that comes back unless it is confirmed; 0: none
	// Deadline is CLOCK_BOOTTIME, in nanoseconds since the boot that Boot names: a
	// box without a battery for its clock learns the time of day in the middle of
	// a trial.
	Deadline time.Duration `json:"deadline"`
	// Boot is the kernel's boot_id (random(4)), which tells one boot from another
	// without a counter that would have to be written at each.
	Boot string `json:"boot"`
	// Session is who applied it, see Session; "" for the box's console.
	Session Session `json:"session,omitempty"`
}

// record reads the file trial; nil when there is none.
func (s Store) record() (*Record, error) {
	var r Record
	err := readJSON(filepath.Join(s.Dir, trialName), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("update: read trial: %w", err)
	}
	return &r, nil
}

func readJSON(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJSON))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}
