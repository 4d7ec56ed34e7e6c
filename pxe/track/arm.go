package track

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"tench/pxe/event"
	"tench/release/netboot"
)

// Errors that a caller tells apart.
var (
	ErrToken = errors.New("no such token")                      // it never was, or another took its place
	ErrEarly = errors.New("done, before the image was fetched") // in this boot
	ErrOver  = errors.New("the token has done what it was for") // installed, or given up

	ErrNotArmed = errors.New("it is not armed")
)

// digest is of a token: looking it up takes no longer for one that is nearly right.
type digest [sha256.Size]byte

func digestOf(token string) digest { return sha256.Sum256([]byte(token)) }

// Arm makes one install, or one box that runs from its memory, and returns when
// it is on disk. The same order again, while it is pending, changes nothing: a
// server that was started anew goes on where it was. Another order takes the
// place of one whose box has not started yet; one that is under way is in the
// way, until Disarm, and so is an arming of another port of the box where one of
// the two is an install. What is over, well or badly, is armed anew.
func (t *Table) Arm(o Order) (Install, error) {
	if o.Box.IsZero() || o.Mode != netboot.Install && o.Mode != netboot.Run {
		return Install{}, fmt.Errorf("arm: box %q, mode %q: want a box, and %q or %q", o.Box, o.Mode, netboot.Install, netboot.Run)
	}
	i, isNew, err := t.arm(o)
	if err == nil && isNew {
		t.o.Sink.Send(event.Event{Time: i.Armed, Box: o.Box, Kind: event.Armed, Text: fmt.Sprintf("%s, board %s, release %s", o.Mode, o.Board, o.Release)})
	}
	return i, err
}

func (t *Table) arm(o Order) (i Install, isNew bool, err error) {
	t.saving.Lock()
	defer t.saving.Unlock()
	old, armed := t.find(o.Box)
	if armed && old.Pending() {
		switch {
		case old.Order == o:
			return old, false, nil
		case old.State != StateArmed && old.Mode == netboot.Install:
			return Install{}, false, fmt.Errorf("arm: %s: another install is %s\nhint: tench pxe disarm %s", o.Box, old.State, o.Box)
		}
	}
	if other, ok := t.otherPort(o); ok {
		same := o
		if same.Box = other.Box; other.Order == same {
			return other, false, nil
		}
		return Install{}, false, fmt.Errorf("arm: %s: %s is armed by its port %s: %s\nhint: tench pxe disarm %s", o.Box, o.Name, other.Box, other.State, o.Name)
	}
	if most := 4 * t.o.Strangers; !armed && o.Any && t.selfArmed() >= most {
		return Install{}, false, fmt.Errorf("arm: %s: %d boxes that nobody named are armed already\nhint: write it into boxes.toml", o.Box, most)
	}
	secret := make([]byte, 16)
	if _, err := io.ReadFull(t.o.Random, secret); err != nil {
		return Install{}, false, fmt.Errorf("arm: %s: make a token: %w", o.Box, err)
	}
	now := t.o.Now()
	i = Install{Order: o, Token: hex.EncodeToString(secret), State: StateArmed, Armed: now, Changed: now}
	if err := t.write(i); err != nil {
		return Install{}, false, fmt.Errorf("arm: %s: %w", o.Box, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(i)
	t.changed()
	return i, true, nil
}

// otherPort is the arming of another port of the order's box, where one of the two
// is an install: after the first one ended, the second would install it once more.
func (t *Table) otherPort(o Order) (Install, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for mac, b := range t.boxes {
		if mac == o.Box || b.install == nil || !b.install.Pending() || o.Name == "" || b.install.Name != o.Name {
			continue
		}
		if o.Mode == netboot.Install || b.install.Mode == netboot.Install {
			return *b.install, true
		}
	}
	return Install{}, false
}

// Heard is which of some ports was heard of last; the first where none was.
func (t *Table) Heard(ports []event.MAC) event.MAC {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, at := ports[0], time.Time{}
	for _, mac := range ports {
		if b := t.boxes[mac]; b != nil && b.seen.After(at) {
			last, at = mac, b.seen
		}
	}
	return last
}

// selfArmed is how many boxes are armed that nobody named. Where any box is served
// they arm themselves: a flood of made-up addresses must not fill memory and disk.
func (t *Table) selfArmed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, b := range t.boxes {
		if b.install != nil && b.install.Any {
			n++
		}
	}
	return n
}

// keep puts an arming into the table, and the box to its beginning. The caller
// holds mu.
func (t *Table) keep(i Install) {
	b := t.box(i.Box)
	if b.install != nil {
		delete(t.tokens, digestOf(b.install.Token))
	}
	b.install = &i
	b.boot = boot{moved: t.o.Now()}
	for _, o := range t.boxes { // how far the box was at its other ports is of the time before, too
		if i.Name != "" && o.name == i.Name && (o.install == nil || !o.install.Pending()) {
			o.boot = boot{moved: t.o.Now()}
		}
	}
	t.tokens[digestOf(i.Token)] = i.Box
}

func (t *Table) find(mac event.MAC) (Install, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.boxes[mac]; b != nil && b.install != nil {
		return *b.install, true
	}
	return Install{}, false
}

// Disarm takes an arming back, and forgets how it went, once that is on disk. Its
// token is dead. The error is ErrNotArmed where there is none.
func (t *Table) Disarm(mac event.MAC) error {
	t.saving.Lock()
	defer t.saving.Unlock()
	old, armed := t.find(mac)
	if !armed {
		return fmt.Errorf("disarm: %s: %w", mac, ErrNotArmed)
	}
	err := os.Remove(t.path(mac))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	// A power cut must not bring it back: the box would be installed.
	if err := errors.Join(err, SyncDir(t.o.Dir)); err != nil {
		return fmt.Errorf("disarm: %s: %w", mac, err)
	}
	t.mu.Lock()
	b := t.boxes[mac]
	b.install = nil
	delete(t.tokens, digestOf(old.Token))
	delete(t.dirty, mac)
	t.changed()
	t.mu.Unlock()
	t.o.Sink.Send(event.Event{Time: t.o.Now(), Box: mac, Kind: event.Disarmed, Text: string(old.State)})
	return nil
}

// Pending is what decides whether a box gets kernel and initramfs, with its
// token, or is told to boot its disk.
func (t *Table) Pending(mac event.MAC) (Install, bool) {
	i, armed := t.find(mac)
	if !armed || !i.Pending() {
		return Install{}, false
	}
	return i, true
}

// Ordered is what a box was armed for, be it over or not.
func (t *Table) Ordered(mac event.MAC) (Order, bool) {
	i, armed := t.find(mac)
	return i.Order, armed
}

// Ports are those by which the box of a name is or was armed, in order.
func (t *Table) Ports(name string) []event.MAC {
	t.mu.Lock()
	defer t.mu.Unlock()
	var macs []event.MAC
	for mac, b := range t.boxes {
		if name != "" && b.install != nil && b.install.Name == name {
			macs = append(macs, mac)
		}
	}
	slices.SortFunc(macs, event.MAC.Compare)
	return macs
}

// Token finds the arming that a box's token is of, whatever its state: after
// StateWritten it is good for reports only. The error is ErrToken.
func (t *Table) Token(token string) (Install, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mac, ok := t.tokens[digestOf(token)]; ok {
		return *t.boxes[mac].install, nil
	}
	return Install{}, ErrToken
}

// Begin is called when the box asks for the image. The errors are ErrToken and
// ErrOver: a token that has installed a box does not do so again.
func (t *Table) Begin(token string) (Install, error) {
	return t.use(token, (*Install).begin)
}

// Done is called when the box has read back what it wrote: from then on it boots
// its disk. The errors are ErrToken, ErrEarly and ErrOver.
func (t *Table) Done(token, sha256 string) (Install, error) {
	return t.use(token, func(i *Install, now time.Time) error { return i.finish(sha256, now) })
}

// use changes the arming of a token, and returns when that is on disk.
func (t *Table) use(token string, change func(*Install, time.Time) error) (Install, error) {
	mac, err := t.change(token, change)
	if err != nil {
		return Install{}, err
	}
	t.saving.Lock()
	defer t.saving.Unlock()
	i, armed := t.find(mac) // events may have changed it since
	if !armed || i.Token != token {
		return Install{}, fmt.Errorf("install: %s: %w: it was disarmed", mac, ErrOver)
	}
	if err := t.write(i); err != nil {
		return Install{}, fmt.Errorf("install: %s: %w", mac, err)
	}
	return i, nil
}

// change is use, in memory.
func (t *Table) change(token string, change func(*Install, time.Time) error) (event.MAC, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mac, ok := t.tokens[digestOf(token)]
	if !ok {
		return event.MAC{}, ErrToken
	}
	if err := change(t.boxes[mac].install, t.o.Now()); err != nil {
		return event.MAC{}, err
	}
	t.changed()
	return mac, nil
}
