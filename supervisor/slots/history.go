package slots

import (
	"fmt"
	"path/filepath"

	"tench/supervisor/system"
)

// HistoryName is the file below data:/state that holds the History. PID 1
// writes it.
const HistoryName = "slots.json"

// History is how the last trial went.
type History struct {
	Trial *Trial `json:"trial,omitempty"` // nil before the first
}

// Trial is one slot's trial, over all its boots.
type Trial struct {
	Slot    string  `json:"slot"`
	Release string  `json:"release,omitempty"` // of the slot's image; "" where it never came up
	Boots   int     `json:"boots"`             // how often its PID 1 came up
	Reason  string  `json:"reason,omitempty"`  // why its PID 1 rebooted last; "" where it could not say
	Outcome Outcome `json:"outcome,omitempty"` // "" while it is under way
	Why     string  `json:"why,omitempty"`     // given up: in words
}

// Outcome is how a trial ended.
type Outcome string

// The outcomes of a trial.
const (
	Confirmed Outcome = "confirmed"
	GivenUp   Outcome = "given up"
	TakenBack Outcome = "taken back" // somebody chose the other slot while it was under way
)

// String is the trial in one line, e.g. "slot b (2026.12) was given up: it was
// not healthy: …".
func (t Trial) String() string {
	text := "slot " + t.Slot
	if t.Release != "" {
		text += " (" + t.Release + ")"
	}
	switch t.Outcome {
	case "":
		return text + " is on trial"
	case Confirmed:
		return text + " passed its trial"
	}
	text += " was " + string(t.Outcome)
	if t.Why != "" {
		text += ": " + t.Why
	}
	return text
}

// Start is what a boot knows when it continues the History.
type Start struct {
	Boot    Boot
	Release string // of this image
	State   State  // grubenv
	Crash   string // how the boot before this one ended, where the hardware kept it: "Kernel panic - …"
}

// Continue is the History after a boot began. ended tells that a trial came to
// its end with it.
func (h History) Continue(s Start) (next History, ended bool) {
	if s.Boot.Trial {
		t := Trial{Slot: s.Boot.Slot, Release: s.Release}
		if h.underWay(s.Boot.Slot) && h.Trial.Release == s.Release {
			t = *h.Trial
		}
		t.Boots++
		return History{&t}, false
	}
	f := s.State.Failed
	if f == (Failure{}) {
		if h.Trial == nil || h.Trial.Outcome != "" || s.State.Pending {
			return h, false
		}
		t := *h.Trial
		t.Outcome = TakenBack
		if s.State.Good == t.Slot {
			t.Outcome = Confirmed // nobody could write it down: a power cut, or a disk that takes no more
		}
		return History{&t}, true
	}
	t := Trial{Slot: f.Slot}
	if h.underWay(f.Slot) {
		t = *h.Trial
	}
	t.Outcome, t.Why = GivenUp, t.why(f.Cause, s.Crash)
	return History{&t}, true
}

func (h History) underWay(slot string) bool {
	return h.Trial != nil && h.Trial.Outcome == "" && h.Trial.Slot == slot
}

// why says why the slot was given up. A cause that PID 1 wrote down beats what
// the crash looked like.
func (t Trial) why(cause, crash string) string {
	switch {
	case cause == CauseLoad:
		return "the boot loader could not load its kernel or initramfs, or they are damaged"
	case t.Reason != "":
		return t.Reason
	case crash != "":
		return crash
	case t.Boots == 0:
		return "it never came up: the kernel did not get as far as tenchd"
	}
	return fmt.Sprintf("it came up (%d of its tries) and stopped without a word: a crash, its watchdog or a power cut", t.Boots)
}

// ReadHistory reads the History in the folder dir; there may be none yet.
func ReadHistory(dir string) (History, error) {
	h, err := system.ReadJSON[History](filepath.Join(dir, HistoryName))
	if err != nil {
		return h, fmt.Errorf("slots: %w", err)
	}
	return h, nil
}

// Write stores the History in the folder dir.
func (h History) Write(dir string) error {
	if err := system.WriteJSON(filepath.Join(dir, HistoryName), h); err != nil {
		return fmt.Errorf("slots: %w", err)
	}
	return nil
}
