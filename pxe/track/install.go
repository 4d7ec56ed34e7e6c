package track

import (
	"fmt"
	"time"

	"tench/pxe/event"
	"tench/release/netboot"
)

// Order is what the operator wants of a box. The table keeps it and looks only
// at Box and Mode.
type Order struct {
	Box     event.MAC    `json:"box"`
	Name    string       `json:"name,omitempty"` // of the inventory, e.g. "gw0"
	Mode    netboot.Mode `json:"mode"`
	Board   string       `json:"board,omitempty"`
	Release string       `json:"release,omitempty"`
	Image   string       `json:"image,omitempty"` // SHA-256 of what is to be installed
	Disk    string       `json:"disk,omitempty"`  // serial number of a disk that may be wiped
	Wipe    bool         `json:"wipe,omitempty"`  // the whole disk, also where a slot of it would do
	// Once is set where the installer is not ours and may say nothing: a boot that
	// fetched the kernel is the only one that the box gets.
	Once bool `json:"once,omitempty"`
	// Any is set where nobody named the box: it runs what any box runs.
	Any bool `json:"any,omitempty"`
}

// State is how far an install is.
type State string

// The states.
const (
	StateArmed      State = "armed"      // the box has not started since
	StateBooting    State = "booting"    // it fetches, or starts, the installer
	StateInstalling State = "installing" // it fetches the image
	StateWritten    State = "written"    // it was read back: from here on the box boots its disk
	StateHealthy    State = "healthy"    // the box came up from its disk
	StateFailed     State = "failed"     // it is given up
)

// States are all states, for metrics.
var States = []State{StateArmed, StateBooting, StateInstalling, StateWritten, StateHealthy, StateFailed}

// Install is one arming of one box:
//
//	Arm ─▶ armed ──loader─▶ booting ──image─▶ installing ──done─▶ written ──healthy─▶ healthy
//	                         │    ▲                │                 │
//	                         │    └─ boots again ──┘                 │
//	                         └──── too many boots got no further ────┴──────────────▶ failed
//
// Only Arm leads back from written, healthy and failed, with another token: no
// event of the network makes a box that is installed be installed again. An
// arming in netboot.Run has the states armed, booting and healthy, and does not fail.
type Install struct {
	Order
	// Token is what the box shows; "" in copies for those who only look.
	Token   string    `json:"token,omitempty"`
	State   State     `json:"state"`
	Armed   time.Time `json:"armed"`
	Changed time.Time `json:"changed"` // into this state
	// Boots counts the boots, from the first that fetched something, and Idle those at the end of
	// which got no further than one before.
	Boots int `json:"boots"`
	Idle  int `json:"idle"`
	// Reached is how far this boot came, Furthest how far the ones before did.
	Reached  Stage `json:"reached"`
	Furthest Stage `json:"furthest"`
	// Port is the one by which the box fetched something last: any port of a box
	// boots what one of them was armed for.
	Port event.MAC `json:"port,omitzero"`
	// SHA256 is of what the installer has read back.
	SHA256 string `json:"sha256,omitempty"`
	Why    string `json:"why,omitempty"` // it failed
}

// Pending reports whether the box is to get kernel and initramfs; else it boots
// its disk.
func (i Install) Pending() bool {
	switch i.State {
	case StateArmed, StateBooting, StateInstalling:
		return true
	}
	return i.Mode == netboot.Run
}

func (i *Install) to(s State, now time.Time) { i.State, i.Changed = s, now }

// fetches takes that the box fetches something by a port, and reports whether this
// is another boot: a box that had got as far by another of its ports has started
// again.
func (i *Install) fetches(port event.MAC) (again bool) {
	again = i.Port != port && !i.Port.IsZero() && i.Reached >= Loader
	i.Port = port
	return again
}

// step takes the change from one stage of a boot to the next; again says that
// another boot began between. limit is how many boots in a row may get no further.
func (i *Install) step(again bool, at Stage, limit int, now time.Time) {
	if i.State == StateFailed || i.State == StateHealthy && i.Mode == netboot.Install {
		return
	}
	if again {
		i.reboot(limit, now)
	}
	if i.State == StateFailed {
		return
	}
	if at != Failed { // that is no progress, wherever it happened
		i.Reached = max(i.Reached, at)
	}
	switch {
	case at == Healthy && (i.State == StateWritten || i.Mode == netboot.Run):
		if i.State != StateHealthy {
			i.to(StateHealthy, now)
		}
	case i.State == StateArmed && at >= Loader:
		i.Boots = 1
		i.to(StateBooting, now)
	}
}

// reboot takes the beginning of another boot.
func (i *Install) reboot(limit int, now time.Time) {
	i.Boots++
	if i.Once && i.Pending() && i.Mode == netboot.Install && i.Reached >= Kernel {
		i.Why = "it started again, and had not said that it is installed"
		i.to(StateFailed, now)
		return
	}
	if i.Reached > i.Furthest {
		i.Furthest, i.Idle = i.Reached, 0
	} else {
		i.Idle++
	}
	i.Reached = Quiet
	if i.Mode == netboot.Run || i.State == StateInstalling {
		i.to(StateBooting, now)
	}
	if i.Mode == netboot.Install && i.Idle >= limit {
		i.Why = fmt.Sprintf("%d boots in a row came no further than %q", limit, i.Furthest)
		i.to(StateFailed, now)
	}
}

// begin takes the request for the image.
func (i *Install) begin(now time.Time) error {
	switch {
	case i.Mode != netboot.Install:
		return fmt.Errorf("install: %s: it is to run, not to be installed", i.Box)
	case !i.Pending():
		return fmt.Errorf("install: %s: %w: it is %s", i.Box, ErrOver, i.State)
	case i.State != StateInstalling:
		i.to(StateInstalling, now)
	}
	return nil
}

// finish takes the word that all was written and read back. An answer that the
// box has not got makes it say so again.
func (i *Install) finish(sha256 string, now time.Time) error {
	switch {
	case i.State == StateInstalling:
		i.SHA256, i.Reached = sha256, max(i.Reached, Reboots)
		i.to(StateWritten, now)
		return nil
	case i.State == StateWritten && i.SHA256 == sha256:
		return nil
	case i.State == StateArmed || i.State == StateBooting:
		return fmt.Errorf("install: %s: %w", i.Box, ErrEarly)
	}
	return fmt.Errorf("install: %s: %w: it is %s", i.Box, ErrOver, i.State)
}
