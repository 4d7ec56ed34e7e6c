package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// NoteName is the file below the run directory in which PID 1 says how the box
// is. It is in RAM, so that whoever reads it needs neither loop nor disk.
const NoteName = "health.json"

// Note is what PID 1 knows of the health of this boot, and of what came before.
type Note struct {
	Slot      string   `json:"slot,omitempty"`       // that runs: "a" or "b"
	Trial     bool     `json:"trial"`                // it is on trial
	Outcome   Outcome  `json:"outcome"`              // the judge's
	Well      bool     `json:"well"`                 // nothing is wrong now
	Reasons   []string `json:"reasons,omitempty"`    // what is
	For       string   `json:"for"`                  // the policy, e.g. "1m0s"
	Within    string   `json:"within"`               //
	LastTrial string   `json:"last-trial,omitempty"` // e.g. "slot b was given up: …"
	LastCrash string   `json:"last-crash,omitempty"` // e.g. "Kernel panic - not syncing: …"
}

// ReadNote reads the note in the folder dir. Where there is no PID 1, as in a
// lab, there is none: the zero Note.
func ReadNote(dir string) (Note, error) {
	var n Note
	data, err := os.ReadFile(filepath.Join(dir, NoteName))
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	if err != nil {
		return Note{}, fmt.Errorf("health: read %s: %w", NoteName, err)
	}
	return n, nil
}

// Write puts the note into the folder dir.
func (n Note) Write(dir string) error {
	data, err := json.MarshalIndent(n, "", "  ")
	if err == nil {
		err = renameio.WriteFile(filepath.Join(dir, NoteName), append(data, '\n'), 0o644, renameio.WithTempDir(dir))
	}
	if err != nil {
		return fmt.Errorf("health: write %s: %w", NoteName, err)
	}
	return nil
}
