package flash

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/identity"
)

func TestStickFullOfOldDataAsOthersReadIt(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	m := newMemory(img.Size + 5*mib)
	var phases []Phase
	o := options()
	o.Report = func(p Progress) {
		if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
	}
	r, err := Write(context.Background(), img, m, o)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(phases), "[wipe probe write verify boot]"; got != want {
		t.Errorf("phases %s, want %s", got, want)
	}
	if r.Bytes > img.Size/4 || r.Bytes < 8*mib {
		t.Errorf("%d bytes of an image of %d were written, want little more than its content of 15 MiB", r.Bytes, img.Size)
	}
	stick := m.saved(t)
	if out := tool(t, "sfdisk", "-V", stick); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk -V: %s", out)
	}
	// The name of the file is all that differs.
	table := func(path string) string {
		return strings.ReplaceAll(tool(t, "sfdisk", "-d", path), path, "IMAGE")
	}
	if want, got := table(img.Path), table(stick); want != got {
		t.Errorf("sfdisk -d: the image has\n%s\nthe stick\n%s", want, got)
	}
	for n := 1; n <= 3; n++ {
		tool(t, "fsck.vfat", "-n", cut(t, img, stick, n))
	}
	for _, n := range []int{2, 3} {
		for _, file := range []string{"slot.env", "vmlinuz", "initrd"} {
			want := tool(t, "mtype", "-i", cut(t, img, img.Path, n), "::"+file)
			if got := tool(t, "mtype", "-i", cut(t, img, stick, n), "::"+file); got != want || len(got) < 1024 {
				t.Errorf("partition %d: mtype %s gives %d bytes, want %d or others", n, file, len(got), len(want))
			}
		}
	}
	p4 := cut(t, img, stick, 4)
	tool(t, "e2fsck", "-f", "-n", p4)
	if got := tool(t, "debugfs", "-R", "cat /config/1/router.toml", p4); !strings.HasSuffix(got, testRouter) {
		t.Errorf("router.toml is %q", got)
	}
	if end := m.medium[img.Size+4*mib:]; !zero(end) {
		t.Error("the end of the stick still has what a GPT or a RAID left there")
	}
	if !zero(m.medium[sector:headSize]) { // without a boot loader
		t.Error("there is something left before the first partition")
	}
}

// Every write is the last one in turn. Whatever of the unsynced writes reached
// the medium, it boots only if all is there.
func TestPowerCutAtEveryWrite(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	whole := newMemory(img.Size + 2*mib)
	if _, err := Write(context.Background(), img, whole, options()); err != nil {
		t.Fatal(err)
	}
	if !whole.boots() {
		t.Fatal("what was written whole does not boot")
	}
	old := newMemory(img.Size + 2*mib).medium
	for n := 1; n <= whole.writes; n++ {
		for _, reached := range []bool{false, true} {
			m := newMemory(img.Size + 2*mib)
			m.cutAt = n
			_, err := Write(context.Background(), img, m, options())
			if !errors.Is(err, errCut) {
				t.Fatalf("cut in write %d: Write = %v", n, err)
			}
			if reached {
				m.settle()
			}
			untouched := n == 1 && bytes.Equal(m.medium, old)
			if m.boots() && !untouched {
				t.Errorf("cut in write %d of %d: the stick half boots (unsynced writes reached it: %v)", n, whole.writes, reached)
			}
		}
	}
}

func TestReadBackFindsAChangedByte(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	for name, at := range map[string]int64{
		"sector 0":            3,
		"boot loader":         sector + 7,
		"boot partition":      headSize + 3,
		"kernel of slot b":    img.parts[2].at + mib,
		"journal":             img.parts[3].at + 2*mib,
		"a zero of the FAT":   img.parts[0].at + 600*sector,
		"last used of slot a": img.parts[1].at + 3*mib + 900<<10,
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(img.Size + 2*mib)
			m.spoil = func(m *memory) { m.medium[at] ^= 0x10 }
			o := options()
			o.Probe = false // which would find it, too
			_, err := Write(context.Background(), img, m, o)
			var u *Unfinished
			if !errors.As(err, &u) || !strings.Contains(err.Error(), "read back: /dev/test does not give back what was written") {
				t.Fatalf("Write = %v, want an *Unfinished that tells of the read-back", err)
			}
			if m.boots() {
				t.Error("the stick boots though it is damaged")
			}
		})
	}
}

// A byte that nothing refers to is neither written nor looked at.
func TestFreeSpaceIsLeftAlone(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	m := newMemory(img.Size + 2*mib)
	old := bytes.Clone(m.medium)
	if _, err := Write(context.Background(), img, m, options()); err != nil {
		t.Fatal(err)
	}
	for _, part := range img.parts {
		if end := part.end(); !bytes.Equal(m.medium[end-mib:end], old[end-mib:end]) {
			t.Errorf("the last MiB of the partition at %d was written, though it is free", part.at)
		}
	}
}

func TestStickThatLiesAboutItsSize(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	const has = 128 * mib
	for _, wraps := range []bool{true, false} {
		for _, factor := range []int64{2, 4, 8, 64} {
			m := newMemory(has)
			m.size, m.wraps = factor*has, wraps
			_, err := Write(context.Background(), img, m, options())
			if !errors.Is(err, errFake) {
				t.Errorf("a stick of 128 MiB that says %d times as much (begins again: %v): Write = %v, want errFake", factor, wraps, err)
			}
			if m.boots() {
				t.Error("it boots")
			}
		}
	}
	m := newMemory(has)
	if _, err := Write(context.Background(), img, m, options()); err != nil {
		t.Errorf("an honest stick: %v", err)
	}
}

func TestInterrupted(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	for _, phase := range []Phase{PhaseWrite, PhaseVerify, PhaseBoot} {
		t.Run(string(phase), func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			o := options()
			o.Report = func(p Progress) {
				if p.Phase == phase {
					cancel()
				}
			}
			m := newMemory(img.Size + 2*mib)
			_, err := Write(ctx, img, m, o)
			var u *Unfinished
			if !errors.As(err, &u) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "does not half boot") {
				t.Errorf("Write = %v, want an *Unfinished", err)
			}
			if m.boots() {
				t.Error("the stick half boots")
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m := newMemory(img.Size)
	_, err := Write(ctx, img, m, options())
	if err == nil || !strings.Contains(err.Error(), "nothing was written") || m.writes > 0 {
		t.Errorf("Write before it began = %v after %d writes, want nothing written", err, m.writes)
	}
}

func TestTooSmall(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	m := newMemory(img.Size - sector)
	if _, err := Write(context.Background(), img, m, options()); err == nil || m.writes > 0 {
		t.Errorf("Write = %v after %d writes, want a refusal", err, m.writes)
	}
}

func TestIdentityAndConfigOnTheStick(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	img := openImage(t, makeImage(t, t.TempDir()))
	hostKey, err := identity.NewHostKey(rand.Reader, "gw1")
	if err != nil {
		t.Fatal(err)
	}
	id := identity.Identity{Name: "gw1", HostKey: hostKey, Secrets: map[string][]byte{"isp": []byte("carps and tenches")}}
	router, err := img.RouterConfig(context.Background())
	if err != nil || string(router) != testRouter {
		t.Fatalf("RouterConfig = %q, %v, want %q", router, err, testRouter)
	}
	d, err := img.MakeData(context.Background(), DataFiles([]byte("hostname = \"gw1\"\n"), id), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	noName(t, d.file)
	m := newMemory(img.Size + 2*mib)
	o := options()
	o.Data = d
	if _, err := Write(context.Background(), img, m, o); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	p4 := cut(t, img, m.saved(t), 4)
	tool(t, "e2fsck", "-f", "-n", p4)
	for path, want := range map[string]string{
		"/config/1/router.toml": "hostname = \"gw1\"\n", "/config/current": "1\n", "/identity/name": "gw1\n",
		"/identity/secrets/isp": "carps and tenches", "/identity/ssh_host_ed25519_key": string(hostKey),
	} {
		_, got, _ := strings.Cut(tool(t, "debugfs", "-R", "cat "+path, p4), "\n") // its banner comes first
		if got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	for path, mode := range map[string]string{"/identity": "0700", "/identity/secrets": "0700", "/identity/secrets/isp": "0600"} {
		if out := tool(t, "debugfs", "-R", "stat "+path, p4); !strings.Contains(out, "Mode:  "+mode) {
			t.Errorf("debugfs stat %s: no mode %s:\n%s", path, mode, out)
		}
	}
	uuid := func(path string) string { return tool(t, "dumpe2fs", "-h", path) }
	for _, field := range []string{"Filesystem UUID", "Filesystem created", "Block count", "Inode count"} {
		if want, got := line(uuid(cut(t, img, img.Path, 4)), field), line(uuid(p4), field); want != got || want == "" {
			t.Errorf("dumpe2fs: %q, the image has %q", got, want)
		}
	}
}

// A stick that goes to somebody else tells nothing of the box it was.
func TestOldSecretsAreCleared(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	m := newMemory(img.Size + 5*mib)
	if _, err := Write(context.Background(), img, m, options()); err != nil {
		t.Fatal(err)
	}
	secret := []byte("carps and tenches")
	data := img.parts[dataPart]
	copy(m.medium[data.end()-5000:], secret) // as a box may have left it in a free block
	box := bytes.Clone(m.medium)
	// writeAgain looks at the stick and writes it, until ctx ends in phase stop.
	writeAgain := func(t *testing.T, stop Phase) error {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o := options()
		o.Old = Look(m, Device{Name: "sdb", Size: m.Size()})
		o.Report = func(p Progress) {
			if p.Phase == stop {
				cancel()
			}
		}
		_, err := Write(ctx, img, m, o)
		return err
	}
	for name, before := range map[string]func(t *testing.T){
		"a whole stick": func(*testing.T) {},
		"a power cut in an update of slot A": func(*testing.T) {
			clear(m.medium[img.parts[slotPart].at:][:4096])
		},
		"a write that did not end": func(t *testing.T) {
			if err := writeAgain(t, PhaseWrite); !errors.Is(err, context.Canceled) {
				t.Fatalf("Write = %v, want it interrupted", err)
			}
			if !bytes.Contains(m.medium, secret) {
				t.Fatal("nothing is left to clear")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m.medium = bytes.Clone(box)
			before(t)
			if err := writeAgain(t, ""); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(m.medium, secret) {
				t.Error("the old box's secret is still on the stick")
			}
			tool(t, "e2fsck", "-f", "-n", cut(t, img, m.saved(t), 4))
		})
	}
}

// A stick says whose it is while either slot does.
func TestLookAtEitherSlot(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	for broken := range 2 {
		m := newMemory(img.Size)
		if _, err := Write(context.Background(), img, m, options()); err != nil {
			t.Fatal(err)
		}
		clear(m.medium[img.parts[slotPart+broken].at:][:4096])
		c := Look(m, Device{Name: "sdb", Size: m.Size()})
		if c.Tench == nil || *c.Tench != img.Label {
			t.Errorf("with slot %d being written Look finds %+v, want the label %+v", broken, c, img.Label)
		}
	}
}

func TestWithout(t *testing.T) {
	for name, tc := range map[string]struct {
		s    span
		list []span
		want []span
	}{
		"nothing there":  {span{10, 10}, nil, []span{{10, 10}}},
		"all of it":      {span{10, 10}, []span{{0, 100}}, nil},
		"in the middle":  {span{10, 10}, []span{{12, 3}}, []span{{10, 2}, {15, 5}}},
		"at both ends":   {span{10, 10}, []span{{5, 7}, {18, 9}}, []span{{12, 6}}},
		"beside":         {span{10, 10}, []span{{0, 10}, {20, 5}}, []span{{10, 10}}},
		"of none at all": {span{}, []span{{0, 10}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.s.without(tc.list), cmp.AllowUnexported(span{})); diff != "" {
				t.Errorf("without (-want +got):\n%s", diff)
			}
		})
	}
}
