package update

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/slottest"
	"tench/release/slotimage"
	"tench/release/transfer"
)

// errPower is what everything answers after the power was cut.
var errPower = errors.New("power cut")

// medium is a slot's device in memory. What was not synced when the power is
// cut may be on the medium or not, block by block.
type medium struct {
	data  []byte // as it is read
	flash []byte // as it is after a power cut at the worst moment
	cut   int    // operations that write and are still done; negative: all
	ops   int
	rot   bool // flash takes nothing at block 16, without saying so
	worn  bool // each write is an error
}

func newMedium(size int, content []byte) *medium {
	m := &medium{data: make([]byte, size), flash: make([]byte, size), cut: -1}
	copy(m.data, content)
	copy(m.flash, content)
	return m
}

func (m *medium) power() error {
	if m.worn {
		return errors.New("input/output error")
	}
	if m.cut == 0 {
		return errPower
	}
	m.cut--
	m.ops++
	return nil
}

func (m *medium) Size() int64  { return int64(len(m.data)) }
func (m *medium) Close() error { return nil }

func (m *medium) ReadAt(p []byte, at int64) (int, error) {
	if m.cut == 0 {
		return 0, errPower
	}
	return bytes.NewReader(m.data).ReadAt(p, at)
}

func (m *medium) WriteAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > m.Size() {
		return 0, errors.New("beyond the end of the device")
	}
	if err := m.power(); err != nil {
		return 0, err
	}
	return copy(m.data[at:], p), nil
}

func (m *medium) Sync() error {
	if err := m.power(); err != nil {
		return err
	}
	for at := 0; at < len(m.data); at += block {
		if !m.rot || at != 16*block {
			copy(m.flash[at:at+block], m.data[at:])
		}
	}
	return nil
}

func (m *medium) Drop() error {
	if err := m.Sync(); err != nil {
		return err
	}
	copy(m.data, m.flash)
	return nil
}

// after is the medium after the power cut: each block that was written since the
// last sync is new or old, as chance has it.
func (m *medium) after(r *rand.Rand) []byte {
	b := bytes.Clone(m.flash)
	for at := 0; at < len(b); at += block {
		if r.IntN(2) == 0 {
			copy(b[at:at+block], m.data[at:])
		}
	}
	return b
}

// box is a box with two slots, of which a runs.
type box struct {
	t       *testing.T
	running string
	trial   bool
	slots   map[string]*medium
	armed   string // what Arm was told
	vacated int
	log     []string
	u       *Updater
}

func (b *box) Running() string                    { return b.running }
func (b *box) OnTrial() (bool, error)             { return b.trial, nil }
func (b *box) Device(slot string) (string, error) { return slot, nil }
func (b *box) Vacate() error                      { b.vacated++; b.armed = ""; return nil }
func (b *box) Arm(slot string, n int) error {
	if b.slots[slot].cut == 0 {
		return errPower
	}
	b.armed = fmt.Sprintf("%s, %d tries", slot, n)
	return nil
}

const slotSize = 256 << 10

var (
	oldImage = slottest.New("apu2", "2026.11", 2_000_000_000, 30_000, 20_000)
	newImage = slottest.New("apu2", "2026.12", 2_100_000_000, 70_000, 40_000)
)

// newBox is an apu2 that runs 2026.11 and knows the key of seed 1.
func newBox(t *testing.T) *box {
	t.Helper()
	dir := t.TempDir()
	public, _ := slottest.Key(t, 1)
	for _, d := range []string{"identity/update-keys", "state", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "identity/update-keys/test.pub"), string(public.Marshal()))
	b := &box{t: t, running: "a", slots: map[string]*medium{"a": newMedium(slotSize, oldImage.Bytes()), "b": newMedium(slotSize, oldImage.Bytes())}}
	b.u = &Updater{Board: "apu2", Release: "2026.11", Epoch: oldImage.Epoch, Slots: b,
		Open:     func(path string, _ bool) (Device, error) { return b.slots[path], nil },
		Identity: filepath.Join(dir, "identity"), State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run"),
		Log:  func(format string, args ...any) { b.log = append(b.log, fmt.Sprintf(format, args...)) },
		Step: func(string, int64, int64) {}}
	return b
}

// update installs an image as a release's file.
func (b *box) update(ticket slotimage.Ticket, image []byte) error {
	j, err := b.u.Begin(ticket)
	if err != nil {
		return err
	}
	_, err = j.Install(context.Background(), bytes.NewReader(image))
	return errors.Join(err, j.Close())
}

func ticketOf(t *testing.T, image []byte) slotimage.Ticket {
	_, secret := slottest.Key(t, 1)
	return slottest.Ticket(t, secret, map[string][]byte{"apu2": image})
}

func TestUpdate(t *testing.T) {
	b := newBox(t)
	image := newImage.Bytes()
	before := bytes.Clone(b.slots["a"].data)
	if err := b.update(ticketOf(t, image), image); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b.slots["b"].flash, image) || b.armed != "b, 3 tries" {
		t.Errorf("the new image is not in slot b, or armed is %q", b.armed)
	}
	if !bytes.Equal(before, b.slots["a"].flash) || b.slots["a"].ops > 0 {
		t.Error("the slot that runs was written")
	}
	public, _ := slottest.Key(t, 1)
	want := []string{fmt.Sprintf("signed by key %s (test 1 public key); slot b will be written", public.Number),
		"slot b: writing release 2026.12 (2036-07-18)", "slot b: release 2026.12 is armed for 3 tries"}
	if got := strings.Join(b.log, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("the log is\n%s", got)
	}
}

// Nothing of a slot is written when an update is refused.
func TestRefusals(t *testing.T) {
	_, secret := slottest.Key(t, 1)
	stranger, strangers := slottest.Key(t, 2)
	image := newImage.Bytes()
	good := ticketOf(t, image)
	old := slottest.New("apu2", "2026.10", 1_900_000_000, 3000, 3000).Bytes()
	middle := slottest.New("apu2", "2026.11", 2_050_000_000, 3000, 3000).Bytes()
	other := slottest.New("vm", "2026.12", 2_100_000_000, 3000, 3000).Bytes()
	large := slottest.New("apu2", "2026.12", 2_100_000_000, 200_000, 40_000).Bytes()
	const keysHint = "\nhint: update-keys of the box's identity holds the public keys that may sign"
	public, _ := slottest.Key(t, 1)
	for name, tc := range map[string]struct {
		ticket slotimage.Ticket
		image  []byte
		change func(b *box)
		want   string
	}{
		"unsigned": {nil, image, nil, "update: ticket: the update is not signed\nhint: tench release signs with --key; tench update --key signs a build"},
		"signed by a stranger": {slottest.Ticket(t, strangers, map[string][]byte{"apu2": image}), image, nil,
			"update: ticket: signed by key " + stranger.Number.String() + ", which this box does not know; it knows " + public.Number.String() + keysHint},
		"a box without keys": {good, image, func(b *box) { os.RemoveAll(b.u.Identity) }, "update: ticket: there is no key to verify it with" + keysHint},
		"a release without this board": {slottest.Ticket(t, secret, map[string][]byte{"vm": other}), other, nil,
			"update: ticket: the update is for vm, and this is board apu2"},
		"another board under this one's name": {ticketOf(t, other), other, nil, "update: the image is for board vm, and this is apu2"},
		"too large": {ticketOf(t, large), large, nil,
			"update: the image takes 294400 bytes, and slot b has 262144\nhint: this disk was flashed with smaller slots; flash it anew"},
		"older than what runs": {ticketOf(t, old), old, nil,
			"update: release 2026.10 (2030-03-17) is older than the newest that was confirmed on this box (2033-05-18): it may bring back what was mended since\nhint: --allow-downgrade takes it"},
		"older than what ran once": {ticketOf(t, middle), middle, func(b *box) { write(t, filepath.Join(b.u.State, epochName), "2060000000\n") },
			"update: release 2026.11 (2034-12-17) is older than the newest that was confirmed on this box (2035-04-12): it may bring back what was mended since\nhint: --allow-downgrade takes it"},
		"on trial": {good, image, func(b *box) { b.trial = true },
			"update: slot a runs on trial: slot b is what the box falls back to, and is not written\nhint: `tenchd slots` says what is waited for; once slot a is confirmed, or after a reboot into slot b, update again"},
		"no slots": {good, image, func(b *box) { b.running = "" },
			"update: the kernel's command line names no slot, but \"\"\nhint: a box that was booted from the network has none to write"},
		"garbage": {ticketOf(t, make([]byte, 8192)), make([]byte, 8192), nil, "update: slot image: it does not begin with the boot sector of a FAT16"},
		"another update is under way": {good, image, func(b *box) {
			j, err := b.u.Begin(good)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { j.Close() })
		}, "update: another update is under way\nhint: wait until it has ended; `tenchd log` shows how far it is"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			if tc.change != nil {
				tc.change(b)
			}
			err := b.update(tc.ticket, tc.image)
			if err == nil || err.Error() != tc.want {
				t.Errorf("error %v\nwant %s", err, tc.want)
			}
			if b.slots["b"].ops+b.slots["a"].ops > 0 || b.armed != "" || b.vacated > 0 {
				t.Error("something was written")
			}
		})
	}
}

// What only the whole image tells: the slot cannot be loaded and is not armed,
// and the next try starts anew.
func TestImagesThatAreNotWhatWasSigned(t *testing.T) {
	image := newImage.Bytes()
	for name, tc := range map[string]struct {
		image []byte
		rot   bool
		want  string
	}{
		"cut short":          {image[:len(image)-block], false, "update: the image is not the one that was signed"},
		"cut within a block": {image[:len(image)-100], false, "update: the image does not end with a whole block"},
		"a byte changed":     {append(bytes.Clone(image[:len(image)-1]), 'x'), false, "update: the image is not the one that was signed"},
		"longer":             {append(bytes.Clone(image), make([]byte, block)...), false, "update: the image is not the one that was signed"},
		"longer than a slot": {append(bytes.Clone(image), make([]byte, slotSize)...), false, "update: the image is larger than slot b, which has 262144 bytes"},
		"a medium that lies": {image, true, "update: read back slot b: it has something else than what was written"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.slots["b"].rot = tc.rot
			err := b.update(ticketOf(t, image), tc.image)
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("error %v\nwant %s", err, tc.want)
			}
			if !slotimage.Blank(b.slots["b"].flash[:block]) || b.armed != "" {
				t.Errorf("GRUB finds a file system in slot b, armed is %q", b.armed)
			}
			if len(b.log) == 0 || !strings.Contains(b.log[len(b.log)-1], firstLine(err)) {
				t.Errorf("the log ends with %q", b.log)
			}
		})
	}
}

// The power is cut after each operation that writes, and what the medium holds
// then is drawn by lot: slot b is the old image, a whole new one, or nothing that
// GRUB could load; it is armed only when it is whole; slot a is what it was. The
// update after the cut succeeds.
func TestPowerCutWhileASlotIsWritten(t *testing.T) {
	old, image := oldImage.Bytes(), newImage.Bytes()
	ticket := ticketOf(t, image)
	whole := newBox(t)
	if err := whole.update(ticket, image); err != nil {
		t.Fatal(err)
	}
	if whole.slots["b"].ops < 6 {
		t.Fatalf("an update has %d operations", whole.slots["b"].ops)
	}
	states := map[string]int{}
	for cut := range whole.slots["b"].ops + 1 {
		for seed := range uint64(8) {
			b := newBox(t)
			b.slots["b"].cut = cut
			if err := b.update(ticket, image); !errors.Is(err, errPower) && cut < whole.slots["b"].ops {
				t.Fatalf("cut after %d operations: error %v", cut, err)
			}
			after := b.slots["b"].after(rand.New(rand.NewPCG(seed, uint64(cut))))
			_, _, err := slotimage.ReadHead(bytes.NewReader(after))
			state := "a mix"
			switch {
			case bytes.HasPrefix(after, image):
				state = "new"
			case bytes.HasPrefix(after, old):
				state = "old"
			case err != nil:
				state = "not to be loaded"
			}
			states[state]++
			if b.armed != "" && state != "new" {
				t.Errorf("cut after %d operations: slot b is armed and %s", cut, state)
			}
			if !bytes.HasPrefix(b.slots["a"].flash, old) {
				t.Errorf("cut after %d operations: slot a is another", cut)
			}
			b.slots["b"] = newMedium(slotSize, after)
			if err := b.update(ticket, image); err != nil || !bytes.HasPrefix(b.slots["b"].flash, image) {
				t.Errorf("cut after %d operations: the update after it: %v", cut, err)
			}
		}
	}
	t.Logf("after %d cuts slot b is: %v", 8*(whole.slots["b"].ops+1), states)
	if states["a mix"] > 0 || states["new"] == 0 || states["old"] == 0 || states["not to be loaded"] == 0 {
		t.Errorf("states %v", states)
	}
}

func TestWhatIsThereIsNotWrittenAgain(t *testing.T) {
	b, image := newBox(t), newImage.Bytes()
	b.slots["b"] = newMedium(slotSize, image)
	writes := 0
	b.u.Open = func(path string, _ bool) (Device, error) { return counted{b.slots[path], &writes}, nil }
	if err := b.update(ticketOf(t, image), image); err != nil {
		t.Fatal(err)
	}
	if writes != 2 {
		t.Errorf("%d writes; want 2, of the first block alone", writes)
	}
}

// counted counts the writes to a device.
type counted struct {
	Device
	writes *int
}

func (c counted) WriteAt(p []byte, at int64) (int, error) {
	*c.writes++
	return c.Device.WriteAt(p, at)
}

func TestDowngrade(t *testing.T) {
	b := newBox(t)
	write(t, filepath.Join(b.u.State, epochName), "2200000000\n")
	image := newImage.Bytes()
	if err := b.update(ticketOf(t, image), image); err == nil {
		t.Fatal("an image that is older than the newest confirmed one was taken")
	}
	b.u.Downgrade = true
	if err := b.update(ticketOf(t, image), image); err != nil {
		t.Fatal(err)
	}
	// It was asked for: from now on it is no downgrade any more.
	if got := b.u.least(); got != newImage.Epoch {
		t.Errorf("least = %d after a downgrade, want %d", got, newImage.Epoch)
	}
	write(t, filepath.Join(b.u.State, epochName), "garbage")
	if got := b.u.least(); got != oldImage.Epoch {
		t.Errorf("least = %d with a damaged record, want what runs", got)
	}
}

// What was confirmed once is remembered, whatever runs later; a start in an older
// slot forgets nothing, and a damaged record is mended.
func TestConfirmedIsRemembered(t *testing.T) {
	b := newBox(t)
	for _, tc := range []struct {
		record  string // "": none
		epoch   int64
		want    string
		refuses bool // newImage, which is newer than what runs
	}{
		{"", oldImage.Epoch, fmt.Sprintf("%d\n", oldImage.Epoch), false},
		{"2200000000\n", oldImage.Epoch, "2200000000\n", true},
		{"2200000000\n", 2300000000, "2300000000\n", true},
		{"garbage", oldImage.Epoch, fmt.Sprintf("%d\n", oldImage.Epoch), false},
	} {
		path := filepath.Join(b.u.State, epochName)
		os.Remove(path)
		if tc.record != "" {
			write(t, path, tc.record)
		}
		if err := Confirmed(b.u.State, tc.epoch); err != nil {
			t.Errorf("Confirmed(%d) with record %q: %v", tc.epoch, tc.record, err)
		}
		if got, err := os.ReadFile(path); string(got) != tc.want {
			t.Errorf("Confirmed(%d) with record %q: %q, %v; want %q", tc.epoch, tc.record, got, err, tc.want)
		}
		if refuses := newImage.Epoch < b.u.least(); refuses != tc.refuses {
			t.Errorf("Confirmed(%d) with record %q: a later image is a downgrade = %v, want %v", tc.epoch, tc.record, refuses, tc.refuses)
		}
	}
	if err := Confirmed("/proc", 1); err == nil {
		t.Error("Confirmed in a folder that takes no files gives no error")
	}
}

// The downgrades of tomorrow cannot be told: that is said before the slot is
// written, and not after.
func TestDataThatTakesNoWrites(t *testing.T) {
	b, image := newBox(t), newImage.Bytes()
	b.u.State = "/proc"
	err := b.update(ticketOf(t, image), image)
	if err == nil || !strings.HasSuffix(err.Error(), "\nhint: is the data partition full, missing or read-only? see `tenchd status`") {
		t.Errorf("error %v", err)
	}
	if b.slots["b"].ops > 0 || b.vacated > 0 {
		t.Error("the slot was written")
	}
}

func TestWornMedium(t *testing.T) {
	b, image := newBox(t), newImage.Bytes()
	b.slots["b"].worn = true
	want := "update: wipe slot b: input/output error\nhint: the medium fails; the box goes on with the slot that runs"
	if err := b.update(ticketOf(t, image), image); err == nil || err.Error() != want {
		t.Errorf("error %v\nwant %s", err, want)
	}
}

// What another update left does not count once the slot was written over.
func TestPartialOfAnotherImage(t *testing.T) {
	b, image := newBox(t), newImage.Bytes()
	write(t, b.u.partialPath(), `{"sha256":"`+strings.Repeat("a", 64)+`","bytes":4096}`)
	if b.u.partial().Bytes != 4096 {
		t.Fatal("the note of the other update is not read")
	}
	if err := b.update(ticketOf(t, image), image[:len(image)-100]); err == nil {
		t.Error("an image that was cut off is taken")
	}
	if p := b.u.partial(); p != (transfer.Partial{}) {
		t.Errorf("after that the slot is said to have %+v", p)
	}
}

func TestInterrupt(t *testing.T) {
	b, image := newBox(t), newImage.Bytes()
	j, err := b.u.Begin(ticketOf(t, image))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	ctx, cancel := context.WithCancel(context.Background())
	src := io.MultiReader(bytes.NewReader(image[:60_000]), readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }), bytes.NewReader(image[60_000:]))
	if _, err := j.Install(ctx, src); !errors.Is(err, context.Canceled) {
		t.Errorf("Install = %v, want that it was interrupted", err)
	}
	if b.armed != "" || !slotimage.Blank(b.slots["b"].flash[:block]) {
		t.Error("the slot of an interrupted update can be loaded")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestOneBadKeyDoesNotLockOut(t *testing.T) {
	b, image := newBox(t), newImage.Bytes()
	write(t, filepath.Join(b.u.Identity, "update-keys/bad.pub"), "garbage")
	if err := b.update(ticketOf(t, image), image); err != nil {
		t.Error(err)
	}
	if !strings.Contains(b.log[0], "bad.pub") {
		t.Errorf("the log does not name the bad key: %q", b.log)
	}
}

// A file is a Device, too; nothing is lost or moved by the real one.
func TestOpenDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slot")
	write(t, path, strings.Repeat("x", 3*block))
	d, err := OpenDevice(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteAt([]byte("new"), block); err != nil || d.Drop() != nil || d.Size() != 3*block {
		t.Errorf("write %v, size %d", err, d.Size())
	}
	got := make([]byte, 4)
	if _, err := d.ReadAt(got, block); err != nil || string(got) != "newx" {
		t.Errorf("ReadAt = %q, %v", got, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenDevice(path+"x", false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a device that is not there: %v", err)
	}
}
