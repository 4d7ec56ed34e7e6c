package flash

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"tench/boards"
	"tench/build/disk"
	"tench/identity"
	"tench/release"
	"tench/release/signify"
)

// testBoard is a small board without a boot loader: nobody boots it here.
func testBoard() boards.Board {
	return boards.Board{
		Name: "apu2", Console: boards.Console{Device: "ttyS0", Speed: 115200},
		Layout: boards.Layout{BootMiB: 65, SlotMiB: 16, DataMiB: 16},
	}
}

const testRouter = "hostname = \"gw0\"\n"

// madeOnce is the folder of the image that makeImage copies.
var madeOnce string

func TestMain(m *testing.M) {
	var err error
	if madeOnce, err = os.MkdirTemp("", "tench-flash-test-*"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(madeOnce)
	os.Exit(code)
}

// makeImage puts an image into dir with its SHA256 beside it.
func makeImage(t testing.TB, dir string) string {
	t.Helper()
	name := release.ImageName(testBoard().Name)
	if _, err := os.Stat(filepath.Join(madeOnce, release.SumsFile)); err != nil {
		makeImageOf(t, testBoard(), madeOnce)
	}
	for _, file := range []string{name, release.SumsFile} {
		tool(t, "cp", "--sparse=always", filepath.Join(madeOnce, file), dir)
	}
	return filepath.Join(dir, name)
}

func makeImageOf(t testing.TB, b boards.Board, dir string) string {
	t.Helper()
	id := disk.Identity{Seed: "2026.11/apu2", Release: "2026.11", Epoch: time.Date(2026, 11, 21, 9, 30, 10, 0, time.UTC)}
	work := t.TempDir()
	kernel, ramfs := filepath.Join(work, "vmlinuz"), filepath.Join(work, "initrd")
	write(t, kernel, bytes.Repeat([]byte("kernel "), 300_000))
	write(t, ramfs, bytes.Repeat([]byte("initramfs "), 200_000))
	parts := disk.Parts{Slot: filepath.Join(work, "slot"), Data: filepath.Join(work, "data")}
	if err := disk.Slot(b, kernel, ramfs, id, parts.Slot); err != nil {
		t.Fatal(err)
	}
	if err := disk.Data(context.Background(), b, disk.NewBox([]byte(testRouter)), id, parts.Data, io.Discard); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, release.ImageName(b.Name))
	if _, err := disk.Assemble(b, parts, id, path); err != nil {
		t.Fatal(err)
	}
	writeSums(t, path)
	return path
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// writeSums lists the file in SHA256 beside it.
func writeSums(t testing.TB, path string) {
	t.Helper()
	list := []release.Product{{File: filepath.Base(path), SHA256: sum(read(t, path))}}
	if err := release.WriteSums(filepath.Join(filepath.Dir(path), release.SumsFile), list); err != nil {
		t.Fatal(err)
	}
}

func openImage(t testing.TB, path string) *Image {
	t.Helper()
	img, err := OpenImage(context.Background(), path, Trust{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

// tool runs a program that a test cannot do without.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	path := name
	for _, p := range []string{"/usr/sbin/" + name, "/sbin/" + name} {
		if _, err := os.Stat(p); err == nil {
			path = p
			break
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%s is needed: apt-get install dosfstools e2fsprogs mtools fdisk", name)
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// memory is a target with faults. What is written is volatile until Sync.
type memory struct {
	medium   []byte
	volatile []piece // writes since the last Sync
	bytes    [][]byte
	size     int64 // what it says to have; 0 for what it has
	wraps    bool  // one that is smaller than it says begins again from 0, else it drops

	writes int
	cutAt  int             // power is cut in this write, counted from 1; 0 for never
	spoil  func(m *memory) // called by DropCaches
}

var errCut = errors.New("input/output error")

// newMemory is a target full of what is not ours.
func newMemory(size int64) *memory {
	m := &memory{medium: bytes.Repeat([]byte{0xA5, 0xFF, 0x5A, 0x77}, int(size/4))}
	copy(m.medium[sector-2:], "\x55\xaa")
	return m
}

func (m *memory) Name() string { return "/dev/test" }

func (m *memory) Size() int64 {
	if m.size > 0 {
		return m.size
	}
	return int64(len(m.medium))
}

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if at%sector != 0 || len(p)%sector != 0 {
		return 0, fmt.Errorf("write of %d bytes at %d is not of whole sectors", len(p), at)
	}
	if m.writes++; m.cutAt > 0 && m.writes >= m.cutAt {
		return 0, errCut
	}
	m.volatile = append(m.volatile, piece{at: at, size: len(p)})
	m.bytes = append(m.bytes, bytes.Clone(p))
	return len(p), nil
}

func (m *memory) Sync() error {
	if m.cutAt > 0 && m.writes >= m.cutAt {
		return errCut
	}
	m.settle()
	return nil
}

// settle writes what is volatile to the medium.
func (m *memory) settle() {
	for i, v := range m.volatile {
		at := v.at
		if m.wraps {
			at %= int64(len(m.medium))
		}
		if at < int64(len(m.medium)) {
			copy(m.medium[at:], m.bytes[i])
		}
	}
	m.volatile, m.bytes = nil, nil
}

func (m *memory) DropCaches() error {
	if m.spoil != nil {
		m.spoil(m)
	}
	return nil
}

func (m *memory) ReadAt(p []byte, at int64) (int, error) {
	if m.wraps {
		at %= int64(len(m.medium))
	}
	clear(p)
	if at < int64(len(m.medium)) {
		copy(p, m.medium[at:])
	}
	return len(p), nil
}

// boots reports whether firmware may find something to start.
func (m *memory) boots() bool {
	return binary.LittleEndian.Uint16(m.medium[sector-2:]) == bootSignature
}

func options() Options {
	now := time.Unix(0, 0)
	return Options{Probe: true, Now: func() time.Time { now = now.Add(time.Second); return now }}
}

// saved puts the medium into a file, for programs to look at.
func (m *memory) saved(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stick")
	write(t, path, m.medium)
	return path
}

// cut copies partition n of a disk into a file of its own.
func cut(t testing.TB, img *Image, stick string, n int) string {
	t.Helper()
	p := img.parts[n-1]
	path := filepath.Join(t.TempDir(), fmt.Sprintf("p%d", n))
	write(t, path, read(t, stick)[p.at:p.end()])
	return path
}

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

// noName checks that a file and its folder are gone, though it is open.
func noName(t *testing.T, f *os.File) {
	t.Helper()
	for _, name := range []string{f.Name(), filepath.Dir(f.Name())} {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there while its secrets are written: %v", name, err)
		}
	}
}

// line is the line of text that begins with prefix.
func line(text, prefix string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, prefix) {
			return l
		}
	}
	return ""
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
	o := options()
	o.Old = Look(m, Device{Name: "sdb", Size: m.Size()})
	if o.Old.Tench == nil || *o.Old.Tench != img.Label {
		t.Fatalf("Look finds %+v, want the label %+v", o.Old, img.Label)
	}
	if _, err := Write(context.Background(), img, m, o); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(m.medium, secret) {
		t.Error("the old box's secret is still on the stick")
	}
	tool(t, "e2fsck", "-f", "-n", cut(t, img, m.saved(t), 4))
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

func TestOpenImageRefuses(t *testing.T) {
	public, secret, err := signify.Generate(rand.Reader, "release")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := signify.Generate(rand.Reader, "other")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, release.SignatureFile), secret.SignInside(read(t, filepath.Join(dir, release.SumsFile))))
	}
	ours, theirs := Trust{Keys: []signify.PublicKey{other, public}}, Trust{Keys: []signify.PublicKey{other}}
	for name, tc := range map[string]struct {
		trust  Trust
		change func(t *testing.T, dir, image string)
		want   string // "" for none
	}{
		"a build of this machine": {},
		"signed":                  {ours, func(t *testing.T, dir, _ string) { sign(t, dir) }, ""},
		"signed by a stranger":    {theirs, func(t *testing.T, dir, _ string) { sign(t, dir) }, "signed by key " + public.Number.String() + " (signature from release secret key), which is not known here\nhint:"},
		"signed, no key at all":   {Trust{}, func(t *testing.T, dir, _ string) { sign(t, dir) }, "--key FILE.pub"},
		"signed, believed":        {Trust{Unsigned: true}, func(t *testing.T, dir, _ string) { sign(t, dir) }, ""},
		"not signed, but must be": {Trust{Must: true, Keys: ours.Keys}, nil, "SHA256.sig: no such file"},
		"signature of other sums": {ours, func(t *testing.T, dir, _ string) {
			write(t, filepath.Join(dir, release.SignatureFile), secret.SignInside([]byte("SHA256 (x) = 0\n")))
		}, "SHA256.sig: signature: the message inside is not the file"},
		"signature forged": {ours, func(t *testing.T, dir, image string) {
			sign(t, dir)
			sig := read(t, filepath.Join(dir, release.SignatureFile))
			writeSums(t, image)
			sums := append(read(t, filepath.Join(dir, release.SumsFile)), "SHA256 (more) = "+sum(nil)+"\n"...)
			write(t, filepath.Join(dir, release.SumsFile), sums)
			lines := bytes.SplitAfterN(sig, []byte("\n"), 3)
			write(t, filepath.Join(dir, release.SignatureFile), append(append(lines[0], lines[1]...), sums...))
		}, "SHA256.sig: bad signature"},
		"one byte changed": {Trust{}, func(t *testing.T, _, image string) { flip(t, image, 70*mib) }, "but SHA256 beside it has"},
		"cut short":        {Trust{}, func(t *testing.T, _, image string) { truncate(t, image, 99*mib) }, "hint: it was damaged or cut short"},
		"no SHA256":        {Trust{}, func(t *testing.T, dir, _ string) { os.Remove(filepath.Join(dir, "SHA256")) }, "there is no SHA256 beside it to check it by\nhint:"},
		"SHA256 of others": {Trust{}, func(t *testing.T, dir, _ string) {
			write(t, filepath.Join(dir, "SHA256"), []byte("SHA256 (x) = "+sum(nil)+"\n"))
		}, "SHA256 beside it does not list it"},
		"SHA256 is rubbish":  {Trust{}, func(t *testing.T, dir, _ string) { write(t, filepath.Join(dir, "SHA256"), []byte("<html>\n")) }, "SHA256:1: "},
		"a web page":         {Trust{}, func(t *testing.T, _, image string) { write(t, image, []byte("<html>404</html>")); writeSums(t, image) }, "is no image of tench: has no partition table"},
		"cut, with its hash": {Trust{}, func(t *testing.T, _, image string) { truncate(t, image, 99*mib); writeSums(t, image) }, "partition 4 is not where tench has it"},
		"another system": {Trust{}, func(t *testing.T, _, image string) {
			clearAt(t, image, 66*mib, mib)
			writeSums(t, image)
		}, "is no image of tench: slot A is no FAT16"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			image := makeImage(t, dir)
			if tc.change != nil {
				tc.change(t, dir, image)
			}
			img, err := OpenImage(context.Background(), image, tc.trust, nil)
			if err == nil {
				img.Close()
			}
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("OpenImage = %v, want it open", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("OpenImage = %v, want %q", err, tc.want)
			}
		})
	}
}

func flip(t testing.TB, path string, at int64) {
	t.Helper()
	data := read(t, path)
	data[at] ^= 1
	write(t, path, data)
}

func clearAt(t testing.TB, path string, at, n int64) {
	t.Helper()
	data := read(t, path)
	clear(data[at : at+n])
	write(t, path, data)
}

func truncate(t testing.TB, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// A release's image is packed; its hash is that of the packed file.
func TestPackedImage(t *testing.T) {
	dir := t.TempDir()
	plain := makeImage(t, dir)
	z, err := zstd.NewWriter(nil, zstd.WithWindowSize(maxWindow), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	packed := plain + packedEnd
	write(t, packed, z.EncodeAll(read(t, plain), nil))
	writeSums(t, packed)
	img := openImage(t, packed)
	if img.Board != "apu2" || img.Release != "2026.11" || img.Made.Format(time.DateTime) != "2026-11-21 09:30:10" {
		t.Errorf("the image is %+v, want apu2, 2026.11, its epoch", img)
	}
	got := make([]byte, img.Size)
	if _, err := img.file.ReadAt(got, 0); err != nil || !bytes.Equal(got, read(t, plain)) {
		t.Errorf("unpacked are %d bytes, or others (%v)", len(got), err)
	}
	write(t, packed, append(read(t, packed), 0))
	if _, err := OpenImage(context.Background(), packed, Trust{}, nil); err == nil {
		t.Error("a packed image with a byte more is taken")
	}
	truncate(t, packed, 1000)
	writeSums(t, packed)
	if _, err := OpenImage(context.Background(), packed, Trust{}, nil); err == nil || !strings.Contains(err.Error(), "unpack: ") {
		t.Errorf("half a packed image: %v, want it to tell of the unpacking", err)
	}
}

// What is free to dumpe2fs is what is left out.
func TestUsedBlocksAsDumpe2fsSeesThem(t *testing.T) {
	b := testBoard()
	b.Layout.DataMiB = 160 // two groups of blocks
	img := openImage(t, makeImageOf(t, b, t.TempDir()))
	part := img.parts[dataPart]
	e, err := openExt4(io.NewSectionReader(img.file, part.at, part.size))
	if err != nil {
		t.Fatal(err)
	}
	used, err := e.used()
	if err != nil {
		t.Fatal(err)
	}
	isUsed := make([]bool, e.blocks)
	for _, s := range used {
		for b := s.at / e.blockSize; b < s.end()/e.blockSize; b++ {
			isUsed[b] = true
		}
	}
	free := int64(0)
	for l := range strings.Lines(tool(t, "dumpe2fs", cut(t, img, img.Path, 4))) {
		list, ok := strings.CutPrefix(strings.TrimSpace(l), "Free blocks: ")
		if !ok || !strings.HasPrefix(l, " ") { // the summary has one, too
			continue
		}
		for r := range strings.SplitSeq(list, ", ") {
			var from, to int64
			if n, _ := fmt.Sscanf(r, "%d-%d", &from, &to); n == 1 {
				to = from
			}
			for b := from; b <= to; b++ {
				free++
				if isUsed[b] {
					t.Fatalf("block %d is free to dumpe2fs, used to us", b)
				}
			}
		}
	}
	usedCount := int64(0)
	for _, u := range isUsed {
		if u {
			usedCount++
		}
	}
	if usedCount+free != e.blocks || free == 0 {
		t.Errorf("%d used to us, %d free to dumpe2fs, together not %d", usedCount, free, e.blocks)
	}
}

// padded is a disk of 20 MiB that begins with some bytes, and else is empty.
type padded []byte

const paddedSize = 20 * mib

func (p padded) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	if at < int64(len(p)) {
		copy(b, p[at:])
	}
	return len(b), nil
}

// FuzzLabel reads what may be on any stick.
func FuzzLabel(f *testing.F) {
	img := openImage(f, makeImage(f, f.TempDir()))
	for _, at := range []int64{0, img.parts[slotPart].at, img.parts[dataPart].at} {
		head := make([]byte, 5<<10)
		if _, err := img.file.ReadAt(head, at); err != nil {
			f.Fatal(err)
		}
		f.Add(head)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := io.NewSectionReader(padded(data), 0, paddedSize)
		labelOf(r, paddedSize)
		if l, err := readLabel(r, [4]span{slotPart: {0, paddedSize}}); err == nil && !labelRE.MatchString(l.Board) {
			t.Errorf("readLabel = %+v", l)
		}
		if fat, err := openFAT(r); err == nil {
			if end, err := fat.usedEnd(); err == nil && (end < 0 || end > paddedSize) {
				t.Errorf("a FAT of %d bytes is in use up to %d", paddedSize, end)
			}
		}
		e, err := openExt4(r)
		if err != nil {
			return
		}
		if used, err := e.used(); err == nil && len(used) > 0 && used[len(used)-1].end() > paddedSize {
			t.Errorf("an ext4 within %d bytes uses %+v", paddedSize, used[len(used)-1])
		}
	})
}
