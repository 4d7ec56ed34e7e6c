package door

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tench/supervisor/system"
)

// StateName is the file below the run directory in which the door says how it
// does, for the loop's status.
const StateName = "door.json"

// State is how the door does.
type State struct {
	PID         int       `json:"pid"`
	Fingerprint string    `json:"fingerprint"`    // of the host key, e.g. "SHA256:…"
	Spare       string    `json:"spare"`          // why the host key is for this boot only; "" if it lasts
	Port        int       `json:"port"`           // TCP
	Devices     []string  `json:"devices"`        // where it listens, e.g. "eth1"
	Problems    []string  `json:"problems"`       // why it does not listen elsewhere
	Keys        int       `json:"keys"`           // that may log in; as they were at the last login
	KeyProblems []string  `json:"key-problems"`   // lines of authorized_keys that let nobody in
	Sessions    []Session `json:"sessions"`       // now, oldest first
	Logins      int       `json:"logins"`         // since it was started
	BadLogins   int       `json:"bad-logins"`     // connections that gave no key that may log in
	TurnedAway  int       `json:"turned-away"`    // connections beyond the limits
	LastRefused *Refused  `json:"last,omitempty"` // of the two kinds above
}

// Session is a connection that has logged in.
type Session struct {
	ID    string    `json:"id"`
	From  string    `json:"from"` // address
	Key   string    `json:"key"`  // fingerprint and comment
	Since time.Time `json:"since"`
}

// Refused is a connection that did not get in.
type Refused struct {
	From string    `json:"from"`
	Why  string    `json:"why"`
	When time.Time `json:"when"`
}

// ReadState reads the state from the run directory. The error is ErrNoDoor in
// the chain when no door runs.
func ReadState(run string) (State, error) {
	var s State
	text, err := os.ReadFile(filepath.Join(run, StateName))
	if errors.Is(err, os.ErrNotExist) {
		return s, ErrNoDoor
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return State{}, fmt.Errorf("door: read state: %w", err)
	}
	if s.PID <= 0 || errors.Is(unix.Kill(s.PID, 0), unix.ESRCH) {
		return State{}, ErrNoDoor // one that was killed leaves the file behind
	}
	return s, nil
}

// ErrNoDoor means that no door runs.
var ErrNoDoor = errors.New("the door does not run")

// statePause is the time between two writings of the state: strangers could
// otherwise keep the box busy with them.
const statePause = time.Second

// notes is the state with its lock. changed has a value when there is something
// to write.
type notes struct {
	changed chan struct{}

	mu    sync.Mutex // guards state
	state State
}

func newNotes(s State) *notes {
	n := &notes{state: s, changed: make(chan struct{}, 1)}
	n.update(func(*State) {})
	return n
}

func (n *notes) update(change func(*State)) {
	n.mu.Lock()
	change(&n.state)
	n.mu.Unlock()
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// keys notes how many keys may log in, and reports whether that or the problems
// are news.
func (n *notes) keys(count int, problems []string) (news bool) {
	n.update(func(s *State) {
		news = s.Keys != count || !slices.Equal(s.KeyProblems, problems)
		s.Keys, s.KeyProblems = count, problems
	})
	return news
}

// refused counts a connection that did not get in, by counter.
func (n *notes) refused(counter func(*State) *int, from netip.Addr, why string, now time.Time) {
	n.update(func(s *State) {
		*counter(s)++
		s.LastRefused = &Refused{From: from.String(), Why: plain(why), When: now}
	})
}

// keep writes the state into dir whenever it changed, until ctx ends; then it
// removes the file.
func (n *notes) keep(ctx context.Context, dir string, log func(format string, args ...any)) {
	path := filepath.Join(dir, StateName)
	defer os.Remove(path)
	var last error
	for {
		select {
		case <-n.changed:
		case <-ctx.Done():
			return
		}
		n.mu.Lock()
		text, err := json.Marshal(n.state)
		n.mu.Unlock()
		if err == nil {
			err = system.WriteFile(path, append(text, '\n'), 0o600)
		}
		if err != nil && last == nil {
			log("state: %v", err)
		}
		last = err
		select {
		case <-time.After(statePause):
		case <-ctx.Done():
			return
		}
	}
}
