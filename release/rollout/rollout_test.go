package rollout

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tench/internal/remote"
	"tench/internal/slottest"
	"tench/supervisor/health"
)

var (
	oldImage = slottest.New("apu2", "2026.11", 2_000_000_000, 300_000, 200_000)
	newImage = slottest.New("apu2", "2026.12", 2_100_000_000, 320_000, 210_000)
)

func TestUpdateUntilHealthy(t *testing.T) {
	c := &clock{}
	b := newFakeBox(t, c)
	results, n, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !b.holdsNew() || b.next != "b" {
		t.Error("slot b has another image, or is not armed")
	}
	results[0].Sent = 0
	want := []Result{{Host: "gw", Board: "apu2", Before: "2026.11", Release: "2026.12", Slot: "b", Seconds: 20, State: Healthy}}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if last := n.lines[len(n.lines)-1]; last != "gw: healthy: slot b with release 2026.12 is confirmed" {
		t.Errorf("the last note is %q", last)
	}
}

// Whoever goes away while the box reboots is told what it does by itself.
func TestInterruptedWhileTheBoxReboots(t *testing.T) {
	c := &clock{}
	b := newFakeBox(t, c)
	results, n, err := rollOut(t, c, map[string]*fakeBox{"gw": b, "other": newFakeBox(t, c)}, []string{"gw", "other"}, func(o *Options) {
		o.Pause = func(context.Context, time.Duration) error { return context.Canceled }
	})
	if err == nil || len(results) != 2 || results[0].State != Armed || results[0].Error == "" || results[1].State != Untouched {
		t.Errorf("results %+v, %v; want the first box armed, and no other touched", results, err)
	}
	if last := n.lines[len(n.lines)-1]; b.next != "b" || !strings.Contains(last, "tries it by itself") {
		t.Errorf("slot %q is next, and the last note is %q", b.next, last)
	}
}

// A box that is not well before the update will not be well after it, as when its
// line is down and the desk comes by another: that is told before anything is
// sent.
func TestUpdateOfAnUnhealthyBox(t *testing.T) {
	c := &clock{}
	b := newFakeBox(t, c)
	note := health.Note{Reasons: []string{"dhcp wan: asking: no server answers\x1b[2J"}}
	if err := note.Write(b.dir); err != nil {
		t.Fatal(err)
	}
	_, n, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "gw: not healthy now: dhcp wan: asking: no server answers?[2J\nhint: "; !strings.HasPrefix(n.lines[0], want) {
		t.Errorf("the first note is %q, want %q", n.lines[0], want)
	}
}

func TestRefusalsOnTheDesk(t *testing.T) {
	_, strangers := slottest.Key(t, 2)
	stranger, _ := slottest.Key(t, 2)
	known, _ := slottest.Key(t, 1)
	for name, tc := range map[string]struct {
		box    func(b *fakeBox)
		source func(dir string)
		want   string // begins the error
	}{
		"another board": {box: func(b *fakeBox) { b.board = "alix2d3" }, want: "gw: image: stat DIR/tench-alix2d3.slot: no such file or directory\nhint: the box is board alix2d3; tench image alix2d3 makes an image for it"},
		"another board's image under its name": {source: func(dir string) {
			write(t, filepath.Join(dir, "tench-apu2.slot"), slottest.New("vm", "1", 2_100_000_000, 10, 10).Bytes())
		}, want: "gw: image: DIR/tench-apu2.slot is for board vm, and the box is board apu2"},
		"not signed": {source: func(dir string) { os.Remove(filepath.Join(dir, "SHA256.sig")) },
			want: "gw: image: open DIR/SHA256.sig: no such file or directory\nhint: nobody signed it"},
		"signed by a stranger": {source: func(dir string) { slottest.Release(t, dir, strangers, newImage) },
			want: "gw: ticket: signed by key " + stranger.Number.String() + ", which this box does not know; it knows " + known.Number.String()},
		"built again since": {source: func(dir string) {
			write(t, filepath.Join(dir, "tench-apu2.slot"), slottest.New("apu2", "2026.12", 2_100_000_001, 10, 10).Bytes())
		}, want: "gw: image: DIR/tench-apu2.slot: its SHA-256 is "},
		"cut": {source: func(dir string) { write(t, filepath.Join(dir, "tench-apu2.slot"), newImage.Bytes()[:5000]) },
			want: "gw: image: DIR/tench-apu2.slot: 5000 bytes are no slot image"},
		"larger than the slot": {box: func(b *fakeBox) { write(t, filepath.Join(b.dir, "b"), make([]byte, 128<<10)) },
			want: "gw: the image has 585728 bytes, and slot b of the box 131072\nhint: its disk"},
		"older": {box: func(b *fakeBox) { b.epoch = newImage.Epoch + 1 },
			want: "gw: release 2026.12 is older than the newest that was confirmed on the box, which runs 2026.11\nhint: --allow-downgrade"},
		"a box that knows no key": {box: func(b *fakeBox) { os.RemoveAll(filepath.Join(b.dir, "identity")) },
			want: "gw: ticket: there is no key to verify it with"},
		"a box that was booted from the network": {box: func(b *fakeBox) { b.running = "" },
			want: "gw: update: the kernel's command line names no slot"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &clock{}
			b := newFakeBox(t, c)
			if tc.box != nil {
				tc.box(b)
			}
			before, err := os.ReadFile(filepath.Join(b.dir, "b"))
			if err != nil {
				t.Fatal(err)
			}
			dir := ""
			results, _, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, func(o *Options) {
				dir = o.Source.Path
				if tc.source != nil {
					tc.source(dir)
				}
			})
			if err == nil || !strings.HasPrefix(strings.ReplaceAll(err.Error(), dir, "DIR"), tc.want) {
				t.Errorf("error %v\nwant %s", err, tc.want)
			}
			after, err := os.ReadFile(filepath.Join(b.dir, "b"))
			if err != nil || !bytes.Equal(before, after) || b.next != "" {
				t.Error("something was written")
			}
			if len(results) != 1 || results[0].State != Failed || b.dials != 1 {
				t.Errorf("results %+v after %d connections", results, b.dials)
			}
		})
	}
}

// Where a person is there, a downgrade is asked for; the answer is for one host.
func TestDowngradeAsks(t *testing.T) {
	for name, tc := range map[string]struct {
		yes  bool
		err  error
		want State
	}{"yes": {true, nil, Healthy}, "no": {false, nil, Failed}, "ctrl-C": {true, context.Canceled, Failed}} {
		c := &clock{}
		b := newFakeBox(t, c)
		b.epoch = newImage.Epoch + 1
		asked := ""
		results, _, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, func(o *Options) {
			o.AskDowngrade = func(_ context.Context, host, what string) (bool, error) {
				asked += host + ": " + what
				return tc.yes, tc.err
			}
		})
		if results[0].State != tc.want || (err == nil) != (tc.want == Healthy) {
			t.Errorf("%s: state %s, error %v; want %s", name, results[0].State, err, tc.want)
		}
		if want := "gw: release 2026.12 is older than the newest that was confirmed on the box, which runs 2026.11"; asked != want {
			t.Errorf("%s: asked %q, want %q", name, asked, want)
		}
		if tc.want == Failed && b.next != "" {
			t.Errorf("%s: the box was updated", name)
		}
	}
}

func TestKeySignsABuild(t *testing.T) {
	c := &clock{}
	b := newFakeBox(t, c)
	_, secret := slottest.Key(t, 1)
	_, _, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, func(o *Options) {
		if err := os.Remove(filepath.Join(o.Source.Path, "SHA256.sig")); err != nil {
			t.Fatal(err)
		}
		o.Source = Source{Path: filepath.Join(o.Source.Path, "tench-apu2.slot"), Sign: secret.SignInside}
		o.NoReboot = true
	})
	if err != nil || !b.holdsNew() {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]string{"update - --no-reboot"}, b.commands); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

// A modem of 64 kbit/s: what the box has is not sent, and the operator is told
// before it begins.
func TestSlowLineSendsWhatLacks(t *testing.T) {
	c := &clock{}
	b := newFakeBox(t, c)
	b.speed = 8000
	write(t, filepath.Join(b.dir, "a"), func() []byte {
		i := newImage
		i.Ramfs = append(bytes.Clone(i.Ramfs[:100_000]), oldImage.Ramfs...)
		i.Release = "2026.11"
		return i.Bytes()
	}())
	results, n, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, nil)
	if err != nil || !b.holdsNew() {
		t.Fatalf("error %v", err)
	}
	if results[0].Sent < 100_000 || results[0].Sent > 130_000 {
		t.Errorf("%d bytes were sent; the half of an initramfs has 110000", results[0].Sent)
	}
	if want := "gw: 119 kB to send of 586 kB, about 15 s at 64 kbit/s"; n.lines[0] != want {
		t.Errorf("the first note is %q\nwant %q", n.lines[0], want)
	}
}

// A line that breaks again and again: each connection goes on where the last
// one stopped, and no byte that matters is sent twice.
func TestBrokenLineGoesOn(t *testing.T) {
	for name, speed := range map[string]int{"slow": 8000, "quick": 0} {
		t.Run(name, func(t *testing.T) {
			c := &clock{}
			b := newFakeBox(t, c)
			b.speed = speed
			b.breakAfter = 300_000
			if speed == 0 {
				b.breakAfter = 900_000 // the large probe takes its part
			}
			results, n, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, func(o *Options) { o.NoReboot = true })
			if err != nil || !b.holdsNew() || results[0].State != Armed {
				t.Fatalf("error %v; notes %q", err, n.lines)
			}
			if b.dials < 2 {
				t.Errorf("%d connections; the line was to break", b.dials)
			}
			if results[0].Sent > int64(len(newImage.Bytes()))+int64(b.dials)*200_000 {
				t.Errorf("%d bytes were sent over %d lines", results[0].Sent, b.dials)
			}
		})
	}
}

// The desk is quicker than the box to see that a line broke: what came over it
// holds the lock for two minutes more.
func TestBoxThatWaitsForTheLineBefore(t *testing.T) {
	for name, ends := range map[string]bool{"it ends": true, "another desk's goes on": false} {
		t.Run(name, func(t *testing.T) {
			c := &clock{}
			b := newFakeBox(t, c)
			lock, err := os.OpenFile(filepath.Join(b.dir, "update.lock"), os.O_CREATE|os.O_RDWR, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
			if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			if ends {
				b.busy = lock
			}
			results, _, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, nil)
			if ends && (err != nil || !b.holdsNew()) {
				t.Errorf("error %v, state %s", err, results[0].State)
			}
			if want := "gw: update: another update is under way\nhint: "; !ends && (err == nil || !strings.HasPrefix(err.Error(), want)) {
				t.Errorf("error %v\nwant %s", err, want)
			}
		})
	}
}

// The box armed its slot, and the line broke before it could say so: the box is
// asked, and nothing is sent twice unless it goes on running the old slot.
func TestAnswerGetsLost(t *testing.T) {
	const armed, old = `{"running":"a","next":"b","good":"a","pending":true}`, `{"running":"a","next":"a","good":"a","pending":false}`
	for name, tc := range map[string]struct {
		answers  []string
		noReboot bool
		want     State
		updates  int
	}{
		"it reboots":                     {[]string{armed, "", "", `{"running":"b","next":"b","good":"a","pending":true}`, healthyAnswer}, false, Healthy, 1},
		"it is healthy at the next look": {[]string{healthyAnswer}, false, Healthy, 1},
		"it is not to reboot":            {[]string{armed}, true, Armed, 1},
		"it was killed before it armed":  {[]string{old, old, old, old, old, "", healthyAnswer}, false, Healthy, 2},
		"it armed, and does not reboot":  {[]string{armed, armed, armed, armed, armed, "", healthyAnswer}, false, Healthy, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := &clock{}
			b := newFakeBox(t, c)
			b.loseDone, b.answers = 1, tc.answers
			results, n, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, func(o *Options) { o.NoReboot = tc.noReboot })
			if err != nil || results[0].State != tc.want {
				t.Errorf("error %v, state %s, want %s; notes %q", err, results[0].State, tc.want, n.lines)
			}
			updates := 0
			for _, command := range b.commands {
				if strings.HasPrefix(command, "update ") {
					updates++
				}
			}
			if updates != tc.updates {
				t.Errorf("it was updated %d times, want %d: %q", updates, tc.updates, b.commands)
			}
		})
	}
}

func TestLineThatNeverHolds(t *testing.T) {
	c := &clock{}
	b := newFakeBox(t, c)
	b.breakAfter = 100
	_, _, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, nil)
	if err == nil || !strings.HasSuffix(err.Error(), "\nhint: the same command goes on where this one stopped") || b.dials != attempts {
		t.Errorf("error %v after %d connections", err, b.dials)
	}
}

func TestWhatTheBoxSaysAfterwards(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []string
		want    string
	}{
		"it falls back": {[]string{"", `{"running":"a","next":"a","good":"a","health":{"last-trial":"slot b was given up: Kernel\u001b panic"}}`},
			"gw: it fell back to slot a, with release 2026.11: slot b was given up: Kernel? panic\nhint: `tenchd slots` and `tenchd log` there say more"},
		"it falls back without a word": {[]string{`{"running":"a","next":"a","good":"a"}`},
			"gw: it fell back to slot a, with release 2026.11: it does not say why\nhint: `tenchd slots` and `tenchd log` there say more"},
		"it is never healthy": {[]string{`{"running":"b","next":"b","good":"a","pending":true,"health":{"reasons":["lan is down"]}}`},
			"gw: not healthy within 10 min: slot b is on trial: lan is down\nhint: if it does not become so it falls back by itself; --wait waits longer"},
		"its grubenv says good and its PID 1 does not yet": {[]string{`{"running":"b","next":"b","good":"b","health":{"trial":true}}`},
			"gw: not healthy within 10 min: slot b is on trial\nhint: if it does not become so it falls back by itself; --wait waits longer"},
		"it never comes back": {[]string{""},
			"gw: not healthy within 10 min: run tenchd slots --json there: connection refused\nhint: if it does not become so it falls back by itself; --wait waits longer"},
		"it never reboots": {[]string{`{"running":"a","next":"b","good":"a","pending":true}`},
			"gw: not healthy within 10 min: it still ran the old slot\nhint: if it does not become so it falls back by itself; --wait waits longer"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &clock{}
			b := newFakeBox(t, c)
			b.answers = tc.answers
			results, _, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, nil)
			if err == nil || err.Error() != tc.want {
				t.Errorf("error %v\nwant %s", err, tc.want)
			}
			if results[0].State != Failed || results[0].Error == "" {
				t.Errorf("result %+v", results[0])
			}
		})
	}
}

func TestSeveralHosts(t *testing.T) {
	c := &clock{}
	boxes := map[string]*fakeBox{}
	for host, role := range map[string]string{"west": "master", "east": "backup", "lone": "client"} {
		boxes[host] = newFakeBox(t, c)
		boxes[host].role = role
	}
	var order []string
	states := func(list []Result) string {
		order = nil
		for _, r := range list {
			order = append(order, r.Host+" "+string(r.State))
		}
		return strings.Join(order, ", ")
	}
	results, _, err := rollOut(t, c, boxes, []string{"west", "lone", "east"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := states(results), "east healthy, lone healthy, west healthy"; got != want {
		t.Errorf("order: %s\nwant %s", got, want)
	}

	for _, b := range boxes {
		b.answers = []string{`{"running":"a","next":"a","good":"a"}`}
	}
	results, _, err = rollOut(t, c, boxes, []string{"west", "lone", "east"}, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "east: it fell back") {
		t.Errorf("error %v", err)
	}
	if got, want := states(results), "east failed, lone untouched, west untouched"; got != want {
		t.Errorf("after a failure: %s\nwant %s", got, want)
	}

	for hosts, want := range map[string]string{"west,gone": "gone: ask for its role: no such host", "west,west": "west is named twice"} {
		if _, _, err := rollOut(t, c, boxes, strings.Split(hosts, ","), nil); err == nil || err.Error() != want {
			t.Errorf("hosts %s: error %v\nwant %s", hosts, err, want)
		}
	}
}

func TestBoxWithoutUpdates(t *testing.T) {
	for name, tc := range map[string]struct {
		says deaf
		want string
	}{
		"an older tenchd":    {deaf{Status: 1, Words: "unknown command \"update\""}, "gw: run tenchd update there: unknown command \"update\""},
		"no tenchd":          {deaf{Status: 127}, "gw: run tenchd update there: ended there with status 127"},
		"one that is killed": {deaf{Signal: "TERM"}, "gw: run tenchd update there: ended there by signal TERM\nhint: the same command goes on where this one stopped"},
	} {
		c := &clock{}
		_, _, err := rollOut(t, c, nil, []string{"gw"}, func(o *Options) {
			o.Dial = func(context.Context, string) (Line, error) { return tc.says, nil }
		})
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: error %v\nwant %s", name, err, tc.want)
		}
	}
}

// deaf is a host that does not know the command.
type deaf remote.ExitError

func (d deaf) Run(context.Context, string, io.Reader, io.Writer) error {
	return (*remote.ExitError)(&d)
}

func (deaf) Close() error { return nil }

func TestAnnouncement(t *testing.T) {
	for _, tc := range []struct {
		cost, size int64
		speed      float64
		want       string
	}{
		{1_900_000, 12_500_000, 8000, "1.9 MB to send of 12 MB, about 4 min at 64 kbit/s"},
		{12_500_000, 12_500_000, 1e6, "12 MB to send, about 12 s at 8.0 Mbit/s"},
		{12_500_000, 12_500_000, 1e9, "12 MB to send, about a second at 8.0 Gbit/s"},
		{500_000_000, 500_000_000, 30, "500 MB to send, about 4630 hours at 240 bit/s"},
	} {
		if got := announce(tc.cost, tc.size, tc.speed); got != tc.want {
			t.Errorf("announce(%d, %d, %g) = %q\nwant %q", tc.cost, tc.size, tc.speed, got, tc.want)
		}
	}
}

// What an update before this one armed is not taken for this one's.
func TestArmedBefore(t *testing.T) {
	c := &clock{}
	b := newFakeBox(t, c)
	b.swallow, b.answers = 1, []string{`{"running":"a","next":"b","good":"a","pending":true}`}
	results, _, err := rollOut(t, c, map[string]*fakeBox{"gw": b}, []string{"gw"}, func(o *Options) { o.NoReboot = true })
	if err != nil || results[0].State != Armed || !b.holdsNew() {
		t.Errorf("rollOut = %+v, %v; the slot holds the new image: %v", results, err, b.holdsNew())
	}
}

// A look has time for the ten round trips of a login, also where each takes seconds.
func TestLookIsPatient(t *testing.T) {
	var left time.Duration
	o := Options{Dial: func(ctx context.Context, _ string) (Line, error) {
		end, _ := ctx.Deadline()
		left = time.Until(end)
		return nil, errors.New("no line")
	}}
	if _, err := o.slots(t.Context(), "gw"); err == nil || left < time.Minute {
		t.Errorf("slots = %v after at most %v, want more than a minute", err, left)
	}
}
