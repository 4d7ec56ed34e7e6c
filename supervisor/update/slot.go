package update

// Slot images are in the files slot*.go and in stick.go:
//
//	slot.go         Updater: who may write what into which slot, and in which order
//	slot_write.go   wipe, write, read back
//	slot_device.go  the block device of a slot
//	slot_epoch.go   what is a downgrade
//	slot_serve.go   the desk's side of an update over a stream (release/transfer)
//	slot_steps.go   Steps: the progress for a person
//	slot_source.go  an update from a file, a directory or a web server
//	stick.go        a stick that is plugged in and holds an update
//
// The slot that runs, and the one that the box falls back to, are never
// written: only a slot that is neither. Its first block, the boot sector of its
// FAT, is wiped before anything else and written after everything else was read
// back and has the hash that was signed. So a power cut at any moment leaves
// either a whole new image or a slot that GRUB cannot load, and the good slot
// as it was; the slot is armed last.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tench/identity"
	"tench/release/signify"
	"tench/release/slotimage"
)

// Slots is what an update needs of the slots of the disk that was booted.
type Slots interface {
	Running() string                    // "a" or "b"
	OnTrial() (bool, error)             // whether the one that runs is not confirmed yet
	Vacate() error                      // no boot goes to the other one from now on
	Device(slot string) (string, error) // e.g. "/dev/sda3"
	Arm(slot string, tries int) error   // try the slot at the next boots
}

// tries is how often a new slot is started before the box gives it up. Three
// leave room for a power cut or a dead line during the first.
const tries = 3

// Updater writes slot images. Its fields say what the box is.
type Updater struct {
	Board   string // e.g. "alix2d3"
	Release string // that runs, e.g. "2026.11"
	Epoch   int64  // of it, seconds since 1970

	Slots Slots
	Open  func(path string, write bool) (Device, error) // OpenDevice, but in tests

	Identity string // data:/identity, with the public keys that may sign
	State    string // data:/state
	Run      string // /run/tench

	Downgrade bool // take an image that is older than what was here
	Log       func(format string, args ...any)
	// Step is told what is done at the moment, and how many bytes of it; total is 0
	// where there is nothing to count.
	Step func(text string, done, total int64)
	// Wait waits, unless ctx ends. Serve alone needs it.
	Wait func(ctx context.Context, d time.Duration) error
}

// keys are the public keys that may sign. One that cannot be read must not lock
// out those who have another.
func (u *Updater) keys() []signify.PublicKey {
	list, err := identity.LoadUpdateKeys(u.Identity)
	if err != nil {
		u.Log("%v", err)
	}
	return list
}

// ErrOlder is in the chain of errors about an image that is a downgrade, which
// Downgrade takes.
var ErrOlder = errors.New("older than the newest that was confirmed")

// Job is an update of one slot under way. There is one at a time on a box.
type Job struct {
	u       *Updater
	grant   slotimage.Grant
	target  string
	lock    *os.File
	device  Device // of target
	running Device // of the slot that runs, read only
}

// Begin checks everything that can be checked before the first byte of an image
// is there, and writes nothing. The caller must Close the job.
func (u *Updater) Begin(ticket slotimage.Ticket) (*Job, error) {
	j := &Job{u: u}
	if err := j.begin(ticket); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

func (j *Job) begin(ticket slotimage.Ticket) error {
	var err error
	if j.grant, err = ticket.Verify(j.u.Board, j.u.keys()); err != nil {
		j.u.Log("refused: %v", firstLine(err))
		return fmt.Errorf("update: %w", err)
	}
	if err := j.takeLock(); err != nil {
		return err
	}
	if j.target, err = j.u.target(); err != nil {
		return err
	}
	if j.running, err = j.u.open(j.u.Slots.Running(), false); err != nil {
		return err
	}
	if j.device, err = j.u.open(j.target, true); err != nil {
		return err
	}
	j.u.Log("signed by key %s (%s); slot %s will be written", j.grant.Signer.Number, j.grant.Signer.Comment, j.target)
	return nil
}

// target is the slot to write: neither the one that runs nor, while that one is
// on trial, the one it falls back to.
func (u *Updater) target() (string, error) {
	running := u.Slots.Running()
	other, known := map[string]string{"a": "b", "b": "a"}[running]
	if !known {
		return "", fmt.Errorf("update: the kernel's command line names no slot, but %q\nhint: a box that was booted from the network has none to write", running)
	}
	trial, err := u.Slots.OnTrial()
	if err != nil {
		return "", fmt.Errorf("update: %w", err)
	}
	if trial {
		return "", fmt.Errorf("update: slot %s runs on trial: slot %s is what the box falls back to, and is not written\nhint: `tenchd slots` says what is waited for; once slot %[1]s is confirmed, or after a reboot into slot %[2]s, update again", running, other)
	}
	return other, nil
}

// open opens the device of a slot.
func (u *Updater) open(slot string, write bool) (Device, error) {
	path, err := u.Slots.Device(slot)
	if err != nil {
		return nil, fmt.Errorf("update: slot %s: %w", slot, err)
	}
	d, err := u.Open(path, write)
	if err != nil {
		return nil, fmt.Errorf("update: slot %s: %w", slot, err)
	}
	return d, nil
}

// lockName is a file below Run that is locked while a slot is written.
const lockName = "update.lock"

// errBusy is in the chain of the error of whoever finds it locked.
var errBusy = errors.New("another update is under way")

func (j *Job) takeLock() error {
	f, err := os.OpenFile(filepath.Join(j.u.Run, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("update: lock: %w", err)
	}
	j.lock = f
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("update: %w\nhint: wait until it has ended; `tenchd log` shows how far it is", errBusy)
	}
	if err != nil {
		return fmt.Errorf("update: lock: %w", err)
	}
	return nil
}

// Close gives the slot and the lock back.
func (j *Job) Close() error {
	var errs []error
	for _, d := range []Device{j.device, j.running} {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	if j.lock != nil {
		errs = append(errs, j.lock.Close())
	}
	return errors.Join(errs...)
}

// admit refuses an image that says that it is not for this box. That it says so
// truly is known once its hash was checked; admit is asked again then.
func (j *Job) admit(info slotimage.Info) error {
	if err := j.u.suits(info); err != nil {
		return err
	}
	if size := j.device.Size(); info.End > size {
		return fmt.Errorf("update: the image takes %d bytes, and slot %s has %d\nhint: this disk was flashed with smaller slots; flash it anew", info.End, j.target, size)
	}
	return nil
}

// suits refuses an image that is for another board, or a downgrade.
func (u *Updater) suits(info slotimage.Info) error {
	if info.Board != u.Board {
		return fmt.Errorf("update: the image is for board %s, and this is %s", info.Board, u.Board)
	}
	if least := u.least(); info.Epoch < least && !u.Downgrade {
		return fmt.Errorf("update: release %s (%s) is %w on this box (%s): it may bring back what was mended since\nhint: --allow-downgrade takes it",
			info.Release, date(info.Epoch), ErrOlder, date(least))
	}
	return nil
}

// Install writes the image that src gives, whole and from its start, checks what
// is on the medium then, and arms the slot. A failure before leaves the slot
// such that it cannot be loaded, and the box boots what it booted before.
func (j *Job) Install(ctx context.Context, src io.Reader) (slotimage.Info, error) {
	info, err := j.install(ctx, src)
	if err != nil {
		j.u.Log("slot %s: %s", j.target, firstLine(err))
	}
	return info, err
}

func (j *Job) install(ctx context.Context, src io.Reader) (slotimage.Info, error) {
	head, info, err := slotimage.ReadHead(src)
	if err != nil {
		return info, fmt.Errorf("update: %w", err)
	}
	if err := j.admit(info); err != nil {
		return info, err
	}
	// What runs is what the box falls back to from Vacate on: it counts as
	// confirmed. A data partition that takes no writes is noticed here, and not
	// after an hour on a slow line.
	least := j.u.least()
	if err := j.u.record(least); err != nil {
		return info, err
	}
	if err := j.u.Slots.Vacate(); err != nil {
		return info, fmt.Errorf("update: %w", err)
	}
	j.u.Log("slot %s: writing release %s (%s)", j.target, info.Release, date(info.Epoch))
	w := writer{job: j, ctx: ctx, total: info.End}
	if err := w.run(head, src); err != nil {
		return info, err
	}
	// What is on the medium is what was signed: now its words count.
	if _, info, err = slotimage.ReadHead(io.NewSectionReader(j.device, 0, j.device.Size())); err != nil {
		return info, fmt.Errorf("update: slot %s: %w", j.target, err)
	}
	if err := j.admit(info); err != nil {
		return info, err
	}
	// A downgrade that was asked for is none the next time.
	if err := j.u.record(min(least, info.Epoch)); err != nil {
		return info, err
	}
	j.u.Step("arm slot "+j.target, 0, 0)
	if err := j.u.Slots.Arm(j.target, tries); err != nil {
		return info, fmt.Errorf("update: arm slot %s: %w", j.target, err)
	}
	j.u.Log("slot %s: release %s is armed for %d tries", j.target, info.Release, tries)
	return info, nil
}
