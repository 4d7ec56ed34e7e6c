package slots

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stick is a boot partition in memory.
type stick struct {
	data []byte
	cut  int  // a write ends after so many bytes; -1 for never
	deaf bool // takes writes and forgets them
}

func (s *stick) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(s.data)) {
		return 0, io.EOF
	}
	n := copy(p, s.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *stick) WriteAt(p []byte, off int64) (int, error) {
	if s.deaf {
		return len(p), nil
	}
	if s.cut >= 0 {
		copy(s.data[off:], p[:s.cut])
		return s.cut, errors.New("power cut")
	}
	return copy(s.data[off:], p), nil
}

func (*stick) Close() error { return nil }

// Where newStick has things, in sectors.
const (
	stickFAT  = 32
	stickData = 40
)

// newStick makes the beginning of a FAT32 with clusters of one sector: the root
// folder in cluster 2, then grubenv in 4 and 5.
func newStick(st State) *stick {
	s := &stick{data: make([]byte, 64*sector), cut: -1}
	b := s.data
	binary.LittleEndian.PutUint16(b[11:], sector)
	b[13], b[16] = 1, 1 // sectors a cluster, tables
	binary.LittleEndian.PutUint16(b[14:], stickFAT)
	binary.LittleEndian.PutUint32(b[32:], 64)
	binary.LittleEndian.PutUint32(b[36:], stickData-stickFAT)
	binary.LittleEndian.PutUint32(b[44:], 2)
	b[510], b[511] = 0x55, 0xaa
	fat := b[stickFAT*sector:]
	for cluster, next := range map[int]uint32{2: 0x0fffffff, 4: 5, 5: 0x0fffffff} {
		binary.LittleEndian.PutUint32(fat[cluster*4:], next)
	}
	root := b[stickData*sector:]
	copy(root, "TENCH_BOOT \x08")
	copy(root[32:], "\xe5RUBENV    \x20")
	entry := root[64:]
	copy(entry, "GRUBENV    \x20")
	binary.LittleEndian.PutUint16(entry[26:], 4)
	binary.LittleEndian.PutUint32(entry[28:], envSize)
	copy(s.data[s.env():], encode(st))
	return s
}

func (*stick) env() int { return (stickData + 2) * sector }

func (s *stick) slots(running string) Slots {
	return Slots{running: running, disk: "/dev/sda", open: func(path string, write bool) (device, error) {
		if path != "/dev/sda1" {
			return nil, fmt.Errorf("open %s", path)
		}
		return s, nil
	}}
}

func pending(slot string, tries int) State {
	return State{Slot: slot, Good: other(slot), Pending: true, Tries: tries}
}

func TestChanges(t *testing.T) {
	failed := good("a")
	failed.Failed = Failure{"b", CauseTries}
	arm := func(slot string, tries int) func(Slots) error {
		return func(s Slots) error { return s.Arm(slot, tries) }
	}
	for _, tc := range []struct {
		name    string
		before  State
		running string
		trial   bool // it was started so
		do      func(Slots) error
		want    State
		err     string
	}{
		{name: "arm the other slot", before: good("a"), running: "a", do: arm("b", 3), want: pending("b", 3)},
		{name: "arm the other way", before: good("b"), running: "b", do: arm("a", 1), want: pending("a", 1)},
		{name: "arm again with tries left", before: pending("b", 1), running: "a", do: arm("b", 3), want: pending("b", 3)},
		{name: "arming clears the last failure", before: failed, running: "a", do: arm("b", 2), want: pending("b", 2)},
		{name: "take an armed slot back", before: pending("b", 3), running: "a", do: arm("a", 3), want: good("a")},
		{name: "take back a trial that runs", before: pending("b", 1), running: "b", do: arm("a", 3), want: good("a")},
		{name: "a trial that runs gets new tries", before: pending("b", 0), running: "b", do: arm("b", 3), want: pending("b", 3)},
		{name: "good could not be loaded, arm it", before: good("a"), running: "b", do: arm("a", 3), want: pending("a", 3)},
		{name: "good could not be loaded, keep what runs", before: good("a"), running: "b", do: arm("b", 3), want: pending("b", 3)},
		{name: "unknown slot", before: good("a"), running: "a", do: arm("c", 3), want: good("a"), err: `"c" is not a or b`},
		{name: "too many tries", before: good("a"), running: "a", do: arm("b", 4), want: good("a"), err: "4 tries are not between 1 and 3"},
		{name: "no tries", before: good("a"), running: "a", do: arm("b", 0), want: good("a"), err: "0 tries"},
		{name: "confirm a trial", before: pending("b", 1), running: "b", do: Slots.Confirm, want: good("b")},
		{name: "confirm twice", before: good("b"), running: "b", do: Slots.Confirm, want: good("b")},
		{name: "confirm what was taken back", before: good("a"), running: "b", do: Slots.Confirm, want: good("a"), err: "the other slot was chosen"},
		{name: "confirm while the other one is armed", before: pending("a", 3), running: "b", do: Slots.Confirm, want: pending("a", 3), err: "the other slot was chosen"},
		{name: "vacate for an update", before: good("a"), running: "a", do: Slots.Vacate, want: good("a")},
		{name: "vacate an armed slot", before: pending("b", 3), running: "a", do: Slots.Vacate, want: good("a")},
		{name: "vacate a slot that could not be loaded", before: good("a"), running: "b", do: Slots.Vacate, want: good("b")},
		{name: "vacate what a trial falls back to", before: pending("b", 1), running: "b", do: Slots.Vacate, want: pending("b", 1), err: "slot b was started on trial"},
		{name: "take back a trial twice", before: good("a"), running: "b", trial: true, do: arm("a", 3), want: good("a")},
		{name: "try a trial again that was taken back", before: good("a"), running: "b", trial: true, do: arm("b", 3), want: pending("b", 3)},
		{name: "vacate after a trial was taken back", before: good("a"), running: "b", trial: true, do: Slots.Vacate, want: good("a"), err: "slot b was started on trial"},
		{name: "vacate after a trial was confirmed", before: good("b"), running: "b", trial: true, do: Slots.Vacate, want: good("b")},
		{name: "forget a failure", before: failed, running: "a", do: Slots.ForgetFailure, want: good("a")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStick(tc.before)
			before := bytes.Clone(s.data)
			here := s.slots(tc.running)
			here.trial = tc.trial
			err := tc.do(here)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("error %v; want %q", err, tc.err)
			}
			got, err := s.slots(tc.running).State()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			at := s.env()
			if !bytes.Equal(before[:at], s.data[:at]) || !bytes.Equal(before[at+envSize:], s.data[at+envSize:]) {
				t.Error("it wrote beside grubenv")
			}
		})
	}
}

// starts is what grub.cfg does with a block: which slot it starts, and whether
// as a trial. grub.cfg itself is held to it by build/disk's labs.
func starts(block []byte) (slot string, trial bool) {
	st := decode(block)
	if st.Pending && st.Tries > 0 {
		return st.Slot, true
	}
	return st.Good, false
}

// A write may end after any byte. Whatever is there then must start a slot that
// was to be started before or after, and the other one as a trial only.
func TestPowerCutInAnyByte(t *testing.T) {
	states := []State{good("a"), good("b")}
	for _, slot := range []string{"a", "b"} {
		for tries := range MaxTries + 1 {
			states = append(states, pending(slot, tries))
		}
	}
	for _, before := range states {
		for _, after := range states {
			oldSlot, oldTrial := starts(encode(before))
			newSlot, newTrial := starts(encode(after))
			for cut := range envSize + 1 {
				s := newStick(before)
				s.cut = cut
				d, _ := s.slots("a").open("/dev/sda1", true)
				_ = writeState(d, int64(s.env()), after)
				slot, trial := starts(s.data[s.env():][:envSize])
				known := before.Good == slot || after.Good == slot
				if !(slot == oldSlot && trial == oldTrial) && !(slot == newSlot && trial == newTrial) && !trial && !known {
					t.Fatalf("%+v -> %+v, cut after %d bytes: starts %s, trial %v", before, after, cut, slot, trial)
				}
				// No change between two states with one good slot may start the
				// other one for good.
				if before.Good == after.Good && !trial && slot != before.Good {
					t.Fatalf("%+v -> %+v, cut after %d bytes: starts %s for good", before, after, cut, slot)
				}
			}
		}
	}
}

func TestPlace(t *testing.T) {
	for _, tc := range []struct {
		name  string
		alter func(s *stick)
		err   string
	}{
		{name: "as built", alter: func(*stick) {}},
		{name: "no FAT", alter: func(s *stick) { clear(s.data[:sector]) }, err: "it is not a FAT32"},
		{name: "no grubenv", alter: func(s *stick) { clear(s.data[stickData*sector+64:][:32]) }, err: "there is no grubenv"},
		{name: "another size", alter: func(s *stick) { s.data[stickData*sector+64+29] = 8 }, err: "grubenv has 2048 bytes, not 1024"},
		{name: "two runs", alter: func(s *stick) { s.data[stickFAT*sector+4*4] = 7 }, err: "is not in one run"},
		{name: "cluster beyond the end", alter: func(s *stick) { s.data[stickData*sector+64+27] = 0x70 }, err: "which there is not"},
		{name: "clusters of no sector", alter: func(s *stick) { s.data[13] = 0 }, err: "boot sector is damaged"},
		{name: "root folder beyond the end", alter: func(s *stick) { s.data[46] = 1 }, err: "boot sector is damaged"},
		{name: "takes no writes", alter: func(s *stick) { s.deaf = true }, err: "it reads back otherwise"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStick(good("a"))
			tc.alter(s)
			err := s.slots("a").Arm("b", 3)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("Arm: %v; want %q", err, tc.err)
			}
		})
	}
}

func TestNoSlots(t *testing.T) {
	if _, err := OpenBoot(Boot{Disk: 1}); !errors.Is(err, ErrNoSlots) {
		t.Errorf("OpenBoot without a slot: %v", err)
	}
	if err := (Slots{}).Arm("b", 1); !errors.Is(err, ErrNoSlots) {
		t.Errorf("Arm of no slots: %v", err)
	}
}

func TestDevice(t *testing.T) {
	for _, tc := range []struct{ disk, slot, want string }{
		{"/dev/sda", "a", "/dev/sda2"}, {"/dev/sda", "b", "/dev/sda3"}, {"/dev/mmcblk0", "b", "/dev/mmcblk0p3"},
	} {
		got, err := Slots{disk: tc.disk}.Device(tc.slot)
		if err != nil || got != tc.want {
			t.Errorf("Device(%s) of %s = %q, %v; want %q", tc.slot, tc.disk, got, err, tc.want)
		}
	}
	if _, err := (Slots{disk: "/dev/sda"}).Device("c"); err == nil {
		t.Error("Device(c) has no error")
	}
}

func TestDecode(t *testing.T) {
	for name, tc := range map[string]struct {
		lines string
		want  State
	}{
		"new":                       {"slot=a\ngood=a\npending=0\ntries=0\n", good("a")},
		"on trial":                  {"slot=b\ngood=a\npending=1\ntries=2\n", pending("b", 2)},
		"last try runs":             {"slot=b\ngood=a\npending=1\ntries=0\n", pending("b", 0)},
		"slot without pending":      {"slot=b\ngood=a\npending=0\ntries=0\n", good("a")},
		"nonsense":                  {"slot=c\ngood=\npending=1\ntries=3\n", good("a")},
		"tries that nobody writes":  {"slot=b\ngood=a\npending=1\ntries=9\n", pending("b", 0)},
		"empty":                     {"", good("a")},
		"GRUB gave up, other order": {"tries=0\nfailed=b-load\npending=0\ngood=a\nslot=a\n", State{Slot: "a", Good: "a", Failed: Failure{"b", CauseLoad}}},
		"unknown failure":           {"slot=a\ngood=a\npending=0\ntries=0\nfailed=b-rust\n", good("a")},
	} {
		t.Run(name, func(t *testing.T) {
			block := append([]byte(signature+tc.lines), bytes.Repeat([]byte("#"), envSize-len(signature)-len(tc.lines))...)
			if diff := cmp.Diff(tc.want, decode(block)); diff != "" {
				t.Errorf("decode (-want +got):\n%s", diff)
			}
		})
	}
	if got := decode(make([]byte, envSize)); got != good("a") {
		t.Errorf("decode of zeros = %+v", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(good("a")))
	f.Add(encode(pending("b", 3)))
	f.Fuzz(func(t *testing.T, block []byte) {
		st := decode(block)
		if again := decode(encode(st)); again != st {
			t.Errorf("decode = %+v, and once more %+v", st, again)
		}
	})
}

// FuzzLocate reads whatever may lie on the first partition.
func FuzzLocate(f *testing.F) {
	f.Add(newStick(good("a")).data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if at, err := locate(bytes.NewReader(data)); err == nil && at <= 0 {
			t.Errorf("locate = %d", at)
		}
	})
}

func TestParseCmdline(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       Boot
		err        string
	}{
		{name: "empty"},
		{name: "ours among the kernel's", text: "console=ttyS0,115200 panic=10 tench.disk=1a2b3c4d tench.slot=b tench.id=\"x y\" quiet\n",
			want: Boot{Disk: 0x1a2b3c4d, Slot: "b"}},
		{name: "a trial", text: "tench.slot=b tench.trial=0", want: Boot{Slot: "b", Trial: true}},
		{name: "a trial with tries left", text: "tench.slot=b tench.trial=2", want: Boot{Slot: "b", Trial: true, Left: 2}},
		{name: "the last one wins", text: "tench.slot=a tench.slot=b", want: Boot{Slot: "b"}},
		{name: "disk id is no number", text: "tench.disk=sda", err: "tench.disk=sda is not"},
		{name: "disk id is too long", text: "tench.disk=112345678", err: "is not"},
		{name: "disk id is zero", text: "tench.disk=0", err: "other than 0"},
		{name: "unknown slot", text: "tench.slot=c", err: "tench.slot=c is not a or b"},
		{name: "tries that there are not", text: "tench.trial=3", err: "tench.trial=3 is not between 0 and 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseCmdline(tc.text)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("ParseCmdline(%q) = %v; want %q", tc.text, err, tc.err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("ParseCmdline(%q) = %+v, %v; want %+v", tc.text, got, err, tc.want)
			}
		})
	}
}
