package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/internal/slottest"
	"tench/release/netboot"
	"tench/release/writestream"
)

// newDisk is what an install brings: a disk of ours of a newer release.
func newDisk() []byte {
	b := ours("apu2")
	copy(b[2*mib:], slottest.New("apu2", "2026.11", 2_000_000_000, 40_000, 20_000).Bytes())
	return b
}

func TestInstallOntoAnEmptyDisk(t *testing.T) {
	s := newServer(t)
	b := newBox(t, s.url)
	b.disk("sda", "S1234ABCD", make([]byte, 9*mib))
	var question netboot.Question
	var want string
	s.plan = func(_ int, q netboot.Question) any { question = q; return netboot.Plan{Disk: "sda"} }
	s.image = func(_ int, r writestream.Request, w http.ResponseWriter) {
		if r != (writestream.Request{Disk: "sda", Size: 9 * mib}) {
			t.Errorf("the box asks for %+v", r)
		}
		var err error
		if want, err = stream(newDisk(), r.Size, w); err != nil {
			t.Error(err)
		}
	}
	if err := b.i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]netboot.Disk{{Name: "sda", Model: "Carp 3000", Serial: "S1234ABCD", Size: 9 * mib, Content: netboot.Empty}}, question.Disks); diff != "" {
		t.Errorf("the disks (-want +got):\n%s", diff)
	}
	if got := b.content("sda"); !bytes.Equal(got[:8*mib], newDisk()) || !bytes.Equal(got[8*mib:], make([]byte, mib)) {
		t.Error("the disk is another one")
	}
	if diff := cmp.Diff([]string{want}, s.done); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	word := `word on sda4: {"server":"` + s.url + `","token":"` + token + `","box":"gw0","mode":"install"}` + "\n"
	if diff := cmp.Diff([]string{word}, b.steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if got := s.stages(); got != "write verify reboot" {
		t.Errorf("stages %s", got)
	}
	for _, stage := range []netboot.Stage{netboot.Write, netboot.Check} { // is told of when it begins
		n := slices.IndexFunc(s.posts, func(p netboot.Progress) bool { return p.Stage == stage })
		if p := s.posts[n]; p.Done >= p.Total {
			t.Errorf("the first that the server hears of %s is %+v", stage, p)
		}
	}
	if out := b.out.String(); strings.Contains(out, token) || !strings.Contains(out, "disk sda  9437 kB  Carp 3000 S1234ABCD: empty\n") ||
		!strings.Contains(out, "100 % read back") || strings.Count(out, "% written") > 20 {
		t.Errorf("the console shows\n%s", out)
	}
}

// A disk of this board keeps all but the slot that is not the good one.
func TestInstallIntoASlot(t *testing.T) {
	slot := slottest.New("apu2", "2026.11", 2_000_000_000, 60_000, 20_000).Bytes()
	for good, tc := range map[string]struct {
		at    int
		steps []string
	}{
		"a": {4 * mib, []string{"vacate for a", "arm b for 3 tries"}},
		"b": {2 * mib, []string{"vacate for b", "arm a for 3 tries"}},
	} {
		t.Run("good is "+good, func(t *testing.T) {
			s := newServer(t)
			b := newBox(t, s.url)
			b.good = good
			b.disk("sda", "S1234ABCD", ours("apu2"))
			s.plan = func(_ int, q netboot.Question) any { return netboot.Plan{Disk: q.Disks[0].Name} }
			s.image = func(_ int, r writestream.Request, w http.ResponseWriter) {
				if r != (writestream.Request{Disk: "sda", Size: 2 * mib, Slot: true}) {
					t.Errorf("the box asks for %+v", r)
				}
				if _, err := stream(slot, r.Size, w); err != nil {
					t.Error(err)
				}
			}
			if err := b.i.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := ours("apu2")
			copy(want[tc.at:], slot)
			if !bytes.Equal(b.content("sda"), want) {
				t.Error("the disk is another one")
			}
			if len(b.steps) != 3 || !cmp.Equal(tc.steps, b.steps[:2]) || !strings.HasPrefix(b.steps[2], "word on sda4") {
				t.Errorf("steps %q, want %q and a word on sda4", b.steps, tc.steps)
			}
		})
	}
}

// Which disks are written whole although they are ours.
func TestWrittenWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		board, good string
		plan        netboot.Plan
		content     string
	}{
		"the server says so":     {"apu2", "a", netboot.Plan{Disk: "sda", Wipe: true}, "tench for board apu2: slots a 2026.10, b 2026.09"},
		"of another board":       {"alix2d3", "a", netboot.Plan{Disk: "sda"}, "tench for board alix2d3: slots a 2026.10, b 2026.09"},
		"its grubenv is damaged": {"apu2", "", netboot.Plan{Disk: "sda"}, "tench for board apu2: slots a 2026.10, b 2026.09; its boot partition is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			b := newBox(t, s.url)
			b.good = tc.good
			b.disk("sda", "S1234ABCD", ours(tc.board))
			s.plan = func(_ int, q netboot.Question) any {
				if q.Disks[0].Content != tc.content || q.Disks[0].Board != tc.board {
					t.Errorf("the disk is said to have %q of %q", q.Disks[0].Content, q.Disks[0].Board)
				}
				return tc.plan
			}
			s.image = func(_ int, r writestream.Request, w http.ResponseWriter) {
				if r != (writestream.Request{Disk: "sda", Size: 8 * mib, OldAt: 6 * mib, OldSize: 2 * mib}) {
					t.Errorf("the box asks for %+v", r)
				}
				if _, err := stream(newDisk(), r.Size, w); err != nil {
					t.Error(err)
				}
			}
			if err := b.i.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.content("sda"), newDisk()) {
				t.Error("the disk is another one")
			}
		})
	}
}

// The line breaks, the server is away, and both come back.
func TestPatience(t *testing.T) {
	s := newServer(t)
	b := newBox(t, s.url)
	b.disk("sda", "", make([]byte, 8*mib))
	dial, refused := b.i.Server.Dial, 3
	b.i.Server.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if refused--; refused >= 0 {
			return nil, errors.New("no route to host")
		}
		return dial(ctx, network, address)
	}
	s.plan = func(int, netboot.Question) any { return netboot.Plan{Disk: "sda"} }
	s.image = func(n int, r writestream.Request, w http.ResponseWriter) {
		var whole bytes.Buffer
		if _, err := stream(newDisk(), r.Size, &whole); err != nil {
			t.Error(err)
		}
		data := whole.Bytes()
		switch n {
		case 1:
			data = data[:len(data)/2]
		case 2:
			data[len(data)/3] ^= 1
		case 3:
			data = data[:len(data)-1]
		}
		w.Write(data)
	}
	if err := b.i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.content("sda"), newDisk()) || s.images != 4 || len(s.done) != 1 {
		t.Errorf("after %d tries the disk is another one, done %q", s.images, s.done)
	}
	out := b.out.String()
	if strings.Count(out, "no route to host; asking on") != 1 || strings.Count(out, "the image is fetched anew in") != 3 {
		t.Errorf("the console shows\n%s", out)
	}
}

// Whatever goes wrong, it is said in words, here and there, and nothing half
// boots.
func TestFails(t *testing.T) {
	plan := func(int, netboot.Question) any { return netboot.Plan{Disk: "sda"} }
	image := func(_ int, r writestream.Request, w http.ResponseWriter) { stream(newDisk(), r.Size, w) }
	for name, tc := range map[string]struct {
		plan   func(int, netboot.Question) any
		image  func(int, writestream.Request, http.ResponseWriter)
		harm   func(b *testBox)
		want   string
		intact bool // the disk was not touched
	}{
		"the server has no such box": {plan: func(int, netboot.Question) any { return "gw0 is not armed" }, want: "the server refuses (409): gw0 is not armed", intact: true},
		"a disk that is not there":   {plan: func(int, netboot.Question) any { return netboot.Plan{Disk: "sdz\x1b[2J"} }, want: `the server names disk "sdz[2J", and there is none`, intact: true},
		"a plan without a disk":      {plan: func(int, netboot.Question) any { return netboot.Plan{} }, want: "plan names no disk", intact: true},
		"the disk is mounted": {harm: func(b *testBox) {
			b.write("proc/self/mountinfo", "1 0 0:1 / / rw - rootfs rootfs rw\n22 1 8:0 / /mnt rw - ext4 /dev/sda rw\n")
		}, want: "disk sda is not written: sda is mounted on /mnt", intact: true},
		"the disk is read-only": {harm: func(b *testBox) { b.write("sys/block/sda/ro", "1\n") }, want: "disk sda is not written: it is read-only", intact: true},
		"sectors of 4096 bytes": {harm: func(b *testBox) { b.write("sys/block/sda/queue/logical_block_size", "4096\n") }, want: "its sectors have 4096 bytes", intact: true},
		"part of a RAID":        {harm: func(b *testBox) { b.write("sys/block/sda/holders/md0/x", "") }, want: "it is part of md0", intact: true},
		"the image is too large": {image: func(_ int, _ writestream.Request, w http.ResponseWriter) {
			http.Error(w, "it has 8388608 bytes, and 9437184 are needed", http.StatusConflict)
		}, want: "disk sda: get image: the server refuses (409): it has 8388608 bytes, and 9437184 are needed", intact: true},
		"an image for another disk": {image: func(_ int, r writestream.Request, w http.ResponseWriter) {
			stream(newDisk(), r.Size+sector, w)
		}, want: "the write stream is damaged: it was made for 8389120 bytes, and there are 8388608", intact: true},
		"not an image, again and again": {image: func(_ int, _ writestream.Request, w http.ResponseWriter) {
			fmt.Fprintln(w, "<html>welcome to the router of the hotel</html>")
		}, want: "the write stream is damaged: it does not begin as one of this version", intact: true},
		"the disk takes no writes": {harm: func(b *testBox) { b.broken = errors.New("input/output error") }, want: "disk sda: write at 0 MiB: input/output error", intact: true},
		"the disk forgets a byte": {harm: func(b *testBox) {
			drops := 0
			b.spoil = func(m *fileMedium) {
				if drops++; drops == 2 {
					m.f.WriteAt([]byte{0xA5}, 2*mib+700)
				}
			}
		}, want: "does not give back what was written"},
		"the boot sector is not what it was": {harm: func(b *testBox) {
			drops := 0
			b.spoil = func(m *fileMedium) {
				if drops++; drops == 3 {
					m.f.WriteAt([]byte{0xA5}, 17)
				}
			}
		}, want: "does not give back what was written within bytes 0 to 511"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.plan, s.image = plan, image
			if tc.plan != nil {
				s.plan = tc.plan
			}
			if tc.image != nil {
				s.image = tc.image
			}
			b := newBox(t, s.url)
			old := bytes.Repeat([]byte("x"), 8*mib)
			b.disk("sda", "S1234ABCD", old)
			if tc.harm != nil {
				tc.harm(b)
			}
			err := b.i.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Run = %v; want %q", err, tc.want)
			}
			if out := b.out.String(); !strings.Contains(out, tc.want) {
				t.Errorf("the console shows\n%s\nwant %q", out, tc.want)
			}
			last := s.posts[len(s.posts)-1]
			if last.Stage != netboot.Failed || !strings.Contains(last.Text, tc.want) || len(s.done) > 0 {
				t.Errorf("the server heard %+v, done %q", last, s.done)
			}
			got := b.content("sda")
			if tc.intact && !bytes.Equal(got, old) {
				t.Error("the disk was touched")
			}
			if got[510] == 0x55 {
				t.Error("the disk boots")
			}
		})
	}
}

// The line breaks at six places, in the boot sector among them, and does not come
// back: the old system is gone, but nothing half boots, and the next install is a
// whole one.
func TestStopAnywhere(t *testing.T) {
	var whole bytes.Buffer
	if _, err := stream(newDisk(), 8*mib, &whole); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{100, whole.Len() / 4, whole.Len() / 2, whole.Len() - 700, whole.Len() - 520, whole.Len() - 40} {
		s := newServer(t)
		b := newBox(t, s.url)
		b.disk("sda", "S1", ours("alix2d3"))
		ctx, cancel := context.WithCancel(t.Context())
		s.plan = func(int, netboot.Question) any { return netboot.Plan{Disk: "sda"} }
		s.image = func(n int, _ writestream.Request, w http.ResponseWriter) { w.Write(whole.Bytes()[:at]) }
		b.i.Wait = func(context.Context, time.Duration) error { cancel(); return context.Canceled }
		if err := b.i.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("Run = %v", err)
		}
		if got := b.content("sda"); got[510] == 0x55 {
			t.Errorf("cut after %d of %d bytes: the disk half boots", at, whole.Len())
		}
		again := newBox(t, s.url)
		again.disk("sda", "S1", b.content("sda"))
		s.image = func(n int, _ writestream.Request, w http.ResponseWriter) { w.Write(whole.Bytes()) }
		if err := again.i.Run(t.Context()); err != nil || !bytes.Equal(again.content("sda"), newDisk()) {
			t.Errorf("the install after that: %v", err)
		}
	}
}
