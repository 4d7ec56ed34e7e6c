// Package slots reads and writes which of the two slots the boot loader
// starts.
//
//	slots.go         Slots: State, Arm, Vacate, Confirm
//	boot.go          Boot: what the boot loader told us on the command line
//	grubenv.go       State as GRUB's environment block, and back
//	fat.go           where on the boot partition the block lies
//	disk.go          the disk we booted from, and its partitions
//	device_linux.go  its sectors
//	history.go       History: how the last trial went, in words
//
// # The block
//
// boot:/grubenv is 1024 bytes that GRUB and the box rewrite in place. Both
// write its sectors and no more: the boot partition is never mounted, because a
// mounted FAT is marked dirty and its folder entries are rewritten, and a power
// cut amid that could cost the boot loader itself.
//
// The box writes the block always alike, see grubenv.go: what GRUB decides by
// are four values of one character each, all in the first sector, in the order
// slot, good, pending, tries. A write that a power cut ends after any byte
// leaves some of the new values before the rest of the old ones, and each such
// mixture leads grub.cfg to the old or the new slot as it was to be started:
// slot counts only while pending is 1, and tries of 0 give a trial up.
//
// # A trial
//
//	        Arm            GRUB starts it, tries-1     Confirm
//	[good] -----> [pending] ---------------------> [on trial] ------> [good]
//	   ^                                             |      |
//	   |        tries are 0, or it cannot be loaded  |      | reboot, panic, watchdog
//	   +---------------------------------------------+ <----+
package slots

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// MaxTries is the most tries that grub.cfg can count down from.
const MaxTries = 3

// ErrNoSlots is in the chain of errors about a box that was not started from a
// slot, e.g. over the network.
var ErrNoSlots = errors.New("this box was not booted from a slot")

// ErrTakenBack is in the chain of errors about a slot that is on trial no more.
var ErrTakenBack = errors.New("it is not on trial any more: the other slot was chosen")

// State is what grubenv says, as GRUB understands it.
type State struct {
	Slot    string // "a" or "b": what is started next
	Good    string // "a" or "b": what is started when the trial fails
	Pending bool   // Slot is on trial; otherwise it is Good
	Tries   int    // 0 to 3: how often GRUB will still try Slot
	Failed  Failure
}

// Failure is what GRUB notes when it gives a slot up. The zero value is none.
type Failure struct {
	Slot  string // "a" or "b"
	Cause string // CauseLoad or CauseTries
}

// Why GRUB gave a slot up.
const (
	CauseLoad  = "load"  // its kernel or initramfs could not be loaded
	CauseTries = "tries" // it was tried as often as it was to be, and not confirmed
)

// Slots are the slots of the disk we booted from.
type Slots struct {
	running string // "a" or "b"
	trial   bool   // it was started on trial
	disk    string // e.g. "/dev/sda"
	open    opener
}

// Open finds the slots of the disk that the running box was booted from. It
// does not wait for a disk that is not there yet.
func Open() (Slots, error) {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return Slots{}, fmt.Errorf("slots: %w", err)
	}
	b, err := ParseCmdline(string(text))
	if err != nil {
		return Slots{}, fmt.Errorf("slots: %w", err)
	}
	return OpenBoot(b)
}

// OpenBoot is Open for a command line that was read already.
func OpenBoot(b Boot) (Slots, error) {
	if b.Slot == "" || b.Disk == 0 {
		return Slots{}, fmt.Errorf("slots: %w\nhint: the kernel's command line has no tench.disk= and tench.slot=", ErrNoSlots)
	}
	name, err := oneDisk(SysBlock, Dev, b.Disk)
	if err != nil {
		return Slots{}, fmt.Errorf("slots: %w", err)
	}
	return Slots{running: b.Slot, trial: b.Trial, disk: filepath.Join(Dev, name), open: openDevice}, nil
}

// OpenDisk is for a disk that was not booted from, e.g. "/dev/sda": the box came
// over the network. running is the slot that counts as the one that runs.
func OpenDisk(disk, running string) Slots {
	return Slots{running: running, disk: disk, open: openDevice}
}

// Running is the slot that was started, "a" or "b".
func (s Slots) Running() string { return s.running }

// Other is the slot that was not.
func (s Slots) Other() string { return other(s.running) }

func other(slot string) string {
	if slot == "a" {
		return "b"
	}
	return "a"
}

// Device is the partition of a slot, e.g. "/dev/sda2".
func (s Slots) Device(slot string) (string, error) {
	switch slot {
	case "a":
		return partition(s.disk, 2), nil
	case "b":
		return partition(s.disk, 3), nil
	}
	return "", fmt.Errorf("slots: %q is not a or b", slot)
}

// State reads grubenv.
func (s Slots) State() (State, error) {
	var st State
	err := s.with(false, func(d device, at int64) (err error) {
		st, err = readState(d, at)
		return err
	})
	return st, err
}

// Arm has GRUB try slot at the next boot, and again, up to tries times (1 to
// 3), until it is confirmed; after that the good slot is started. The slot that
// is good already needs no trial: arming it ends one that is under way.
func (s Slots) Arm(slot string, tries int) error {
	if slot != "a" && slot != "b" {
		return fmt.Errorf("slots: arm: %q is not a or b", slot)
	}
	if tries < 1 || tries > MaxTries {
		return fmt.Errorf("slots: arm %s: %d tries are not between 1 and %d", slot, tries, MaxTries)
	}
	return s.change(func(st State) (State, error) { return s.armed(st, slot, tries), nil })
}

// unproven reports whether the running slot is none to come back to: it is on
// trial, or was until somebody chose the other one.
func (s Slots) unproven(st State) bool {
	return st.Pending && st.Slot == s.running || s.trial && st.Good != s.running
}

// OnTrial reports whether the running slot is not confirmed, also where its trial
// was taken back.
func (s Slots) OnTrial() (bool, error) {
	st, err := s.State()
	return s.unproven(st), err
}

// armed is the state after Arm.
func (s Slots) armed(st State, slot string, tries int) State {
	if slot == st.Good {
		if s.running == st.Good || s.unproven(st) {
			return good(slot)
		}
		// Good could not be loaded, or somebody picked the other one in GRUB's
		// menu. What runs now is what to come back to.
		st.Good = s.running
	}
	return State{Slot: slot, Good: st.Good, Pending: true, Tries: tries}
}

// Vacate makes sure that GRUB starts the running slot, so that the other one
// can be overwritten: a power cut amid that must not lead into half a slot. A
// running slot that is on trial itself refuses: the other one is all there is
// to come back to.
func (s Slots) Vacate() error {
	return s.change(func(st State) (State, error) {
		if s.unproven(st) {
			return st, fmt.Errorf("slot %s was started on trial, and slot %s is what it falls back to\nhint: wait until it is good, see `tenchd slots`, or reboot into slot %[2]s",
				s.running, s.Other())
		}
		return good(s.running), nil
	})
}

// Confirm makes the running slot, which is on trial, the good one; again where it
// is that already. The error has ErrTakenBack in its chain when somebody chose
// the other slot meanwhile.
func (s Slots) Confirm() error {
	return s.change(func(st State) (State, error) {
		if st.Slot != s.running {
			return st, ErrTakenBack
		}
		return good(s.running), nil
	})
}

// ForgetFailure clears the note that GRUB left about a slot that it gave up.
func (s Slots) ForgetFailure() error {
	return s.change(func(st State) (State, error) {
		st.Failed = Failure{}
		return st, nil
	})
}

func good(slot string) State { return State{Slot: slot, Good: slot} }

// change reads the state and writes what f makes of it, with the partition
// locked against other processes. What was written is read back.
func (s Slots) change(f func(State) (State, error)) error {
	return s.with(true, func(d device, at int64) error {
		st, err := readState(d, at)
		if err != nil {
			return err
		}
		next, err := f(st)
		if err != nil {
			return err
		}
		if err := writeState(d, at, next); err != nil {
			return fmt.Errorf("write grubenv: %w", err)
		}
		back, err := readState(d, at)
		if err == nil && back != next {
			err = errors.New("write grubenv: it reads back otherwise\nhint: is the stick write-protected or worn out?")
		}
		return err
	})
}

// with opens the boot partition, finds grubenv on it, and hands both to f.
func (s Slots) with(write bool, f func(d device, at int64) error) error {
	if s.running == "" {
		return fmt.Errorf("slots: %w", ErrNoSlots)
	}
	path := partition(s.disk, 1)
	d, err := s.open(path, write)
	if err != nil {
		return fmt.Errorf("slots: %w", err)
	}
	defer d.Close()
	at, err := locate(d)
	if err != nil {
		return fmt.Errorf("slots: %s: %w", path, err)
	}
	if err := f(d, at); err != nil {
		return fmt.Errorf("slots: %w", err)
	}
	return nil
}
