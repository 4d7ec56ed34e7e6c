package health

import (
	"fmt"
	"path/filepath"

	"tench/supervisor/system"
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
	n, err := system.ReadJSON[Note](filepath.Join(dir, NoteName))
	if err != nil {
		return n, fmt.Errorf("health: %w", err)
	}
	return n, nil
}

// Write puts the note into the folder dir.
func (n Note) Write(dir string) error {
	if err := system.WriteJSON(filepath.Join(dir, NoteName), n); err != nil {
		return fmt.Errorf("health: %w", err)
	}
	return nil
}
