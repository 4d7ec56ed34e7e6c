package dist

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tench/release"
	"tench/release/sbom"
	"tench/release/signify"
)

var update = flag.Bool("update", false, "write testdata anew")

var epoch = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

// built is a board as its build leaves it.
type built struct {
	release string
	name    string
	image   string
	kernel  string
	bird    string            // its version
	netlink string            // version of a Go module
	patches map[string]string // name: content
	config  string
	mtree   string
}

func testBuilt() built {
	return built{release: "2026.11", name: "alix2d3", image: strings.Repeat("image", 1000), kernel: "kernel", bird: "2.0.12", netlink: "v1.3.1",
		patches: map[string]string{"0001-our-own.patch": "a", "bird debian/CVE-2026-2.patch": "b", "bird debian/CVE-2026-1.patch": "c"},
		config:  "# CONFIG_SMP is not set\nCONFIG_NET=y\nCONFIG_HZ=100\n",
		mtree:   "#mtree\n/set uid=0 gid=0\n. type=dir mode=0755\n./bin/bird type=file mode=0755 size=1 sha256=00\n./init type=link mode=0777 link=bin/tenchd\n"}
}

func hexOf(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

// board writes what a build would leave, into a folder of the test's.
func (b built) board(t *testing.T) Board {
	t.Helper()
	bom, err := sbom.Write(sbom.Image{Board: b.name, Release: b.release,
		Sources: []sbom.Source{{Recipe: release.Recipe{Name: "bird", Licence: "GPL-2.0-or-later"}, Type: sbom.Application,
			Files: []sbom.SourceFile{{Name: "bird.tar", Version: b.bird, SHA256: hexOf(b.bird)}}}},
		Programs: []sbom.Program{{Name: "tenchd", Version: b.release, Licence: "BSD-3-Clause", SHA256: hexOf("tenchd"), Go: "go1.26.8",
			Modules: []debug.Module{{Path: "github.com/vishvananda/netlink", Version: b.netlink}}}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := release.Manifest{Board: b.name, Release: b.release, Epoch: epoch.Unix(),
		Inputs: []release.Used{{Name: "bird source", Kind: "source", Version: b.bird, SHA256: hexOf(b.bird), From: "mirror " + dir}},
		Steps:  []release.Ran{{Name: "kernel", Key: "k", Hit: len(dir)%2 == 0}}}
	for _, name := range slices.Sorted(maps.Keys(b.patches)) {
		m.Inputs = append(m.Inputs, release.Used{Name: name, Kind: "patch", SHA256: hexOf(b.patches[name])})
	}
	for name, data := range map[string]string{
		release.ImageName(b.name): b.image, release.SlotName(b.name): b.kernel + "initrd", release.KernelName(b.name): b.kernel, release.InitrdName(b.name): "initrd",
		release.SBOMName(b.name): string(bom), release.ConfigName(b.name): b.config, release.FilesName(b.name): b.mtree,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		m.Products = append(m.Products, release.Product{File: name, Size: int64(len(data)), SHA256: hexOf(data)})
	}
	if err := m.Write(filepath.Join(dir, release.ManifestFile)); err != nil {
		t.Fatal(err)
	}
	return Board{Name: b.name, Title: "PC Engines " + strings.ToUpper(b.name), Dir: dir, Built: m}
}

func testOptions(t *testing.T) Options {
	t.Helper()
	return Options{Name: "2026.11", Epoch: epoch, Out: filepath.Join(t.TempDir(), "release", "2026.11")}
}

func mustWrite(t *testing.T, boards []Board, o Options) {
	t.Helper()
	if err := Write(t.Context(), boards, o); err != nil {
		t.Fatal(err)
	}
}

// read returns the content of every file in dir.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

// in runs a program in dir.
func in(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestDirectory(t *testing.T) {
	o := testOptions(t)
	second := testBuilt()
	second.name = "apu2"
	mustWrite(t, []Board{testBuilt().board(t), second.board(t)}, o)
	got := read(t, o.Out)
	var want []string
	for _, b := range []string{"alix2d3", "apu2"} {
		want = append(want, release.PackedImageName(b), release.SlotName(b), release.KernelName(b), release.InitrdName(b), release.SBOMName(b),
			release.ConfigName(b), release.FilesName(b), release.ManifestName(b))
	}
	want = append(want, release.NotesFile, release.ManifestFile, release.ListingFile, release.SumsFile)
	slices.Sort(want)
	var names []string
	for name := range got {
		names = append(names, name)
		info, err := os.Stat(filepath.Join(o.Out, name))
		if err != nil {
			t.Fatal(err)
		}
		if !info.ModTime().Equal(epoch) || info.Mode() != 0o644 {
			t.Errorf("%s has time %v and mode %v", name, info.ModTime(), info.Mode())
		}
	}
	if info, err := os.Stat(o.Out); err != nil || info.ModTime().Equal(epoch) {
		t.Errorf("the directory does not tell when it was made: %v", err)
	}
	slices.Sort(names)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Fatalf("files (-want +got)\n%s", diff)
	}
	if out, err := in(t, o.Out, "sha256sum", "--check", "--strict", release.SumsFile); err != nil {
		t.Errorf("sha256sum --check: %v\n%s", err, out)
	}
	sums, err := release.ParseSums(release.SumsFile, []byte(got[release.SumsFile]))
	if err != nil || len(sums) != len(want)-1 {
		t.Errorf("SHA256 has %d lines (%v), want all of %d files but itself", len(sums), err, len(want))
	}
	if out, err := in(t, o.Out, "zstd", "-dqc", release.PackedImageName("apu2")); err != nil || out != second.image {
		t.Errorf("zstd does not give the image back: %v", err)
	}
	x, err := release.ReadIndex(filepath.Join(o.Out, release.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]release.IndexBoard{{Name: "alix2d3", Title: "PC Engines ALIX2D3"}, {Name: "apu2", Title: "PC Engines APU2"}}, x.Boards); diff != "" {
		t.Errorf("boards of the index (-want +got)\n%s", diff)
	}
	for _, f := range x.Files {
		if hexOf(got[f.File]) != f.SHA256 || int64(len(got[f.File])) != f.Size {
			t.Errorf("%s has another hash or size than the index says", f.File)
		}
	}
	m, err := release.ReadManifest(filepath.Join(o.Out, release.ManifestName("apu2")))
	if err != nil {
		t.Fatal(err)
	}
	if m.Product(release.ImageName("apu2")).SHA256 != hexOf(second.image) {
		t.Error("the board's manifest does not have the hash of the unpacked image")
	}
}

// A listing of the real directory by ls is the independent writer.
func TestListingIsAsLsWritesIt(t *testing.T) {
	o := testOptions(t)
	mustWrite(t, []Board{testBuilt().board(t)}, o)
	cmd := exec.Command("sh", "-c", "TZ=UTC LC_ALL=C ls -ln --time-style='+%b %e %H:%M:%S %Y' tench-* NOTES.md manifest.json")
	cmd.Dir = o.Out
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		f := strings.Fields(line)
		f[2], f[3] = "0", "0" // whoever runs the test
		want[f[8]] = f
	}
	got := map[string][]string{}
	listed := read(t, o.Out)[release.ListingFile]
	for _, line := range strings.Split(strings.TrimSpace(listed), "\n") {
		f := strings.Fields(line)
		got[f[8]] = f
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("index.txt (-ls +got)\n%s", diff)
	}
}

func TestEqualBuildsGiveEqualBytes(t *testing.T) {
	_, secret, err := signify.Generate(rand.Reader, "test")
	if err != nil {
		t.Fatal(err)
	}
	var first map[string]string
	for range 2 {
		o := testOptions(t)
		o.Sign = secret.SignInside
		mustWrite(t, []Board{testBuilt().board(t)}, o)
		got := read(t, o.Out)
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("two releases of equal builds (-first +second)\n%s", diff)
		}
	}
}

// OpenBSD's signify, as Debian has it, is the independent reader.
func TestSignatureIsReadBySignify(t *testing.T) {
	if _, err := exec.LookPath("signify-openbsd"); err != nil {
		t.Fatal("signify-openbsd is not installed\nhint: bin/tench doctor --install --for test")
	}
	public, secret, err := signify.Generate(rand.Reader, "test")
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "test.pub")
	if err := os.WriteFile(key, public.Marshal(), 0o644); err != nil {
		t.Fatal(err)
	}
	o := testOptions(t)
	o.Sign = secret.SignInside
	mustWrite(t, []Board{testBuilt().board(t)}, o)
	check := func() (string, error) {
		return in(t, o.Out, "signify-openbsd", "-C", "-q", "-p", key, "-x", release.SignatureFile)
	}
	if out, err := check(); err != nil {
		t.Errorf("signify -C: %v\n%s", err, out)
	}
	if out, err := in(t, o.Out, "signify-openbsd", "-V", "-q", "-p", key, "-m", release.SumsFile, "-x", release.SignatureFile); err != nil {
		t.Errorf("signify -V: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(o.Out, release.NotesFile), []byte("forged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := check(); err == nil {
		t.Error("signify -C accepts a changed file")
	}
}

func TestWriteRefuses(t *testing.T) {
	damaged := func(name string) func(t *testing.T, b *Board, o *Options) {
		return func(t *testing.T, b *Board, o *Options) {
			if err := os.WriteFile(filepath.Join(b.Dir, name), []byte("other"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, b *Board, o *Options)
		want  string
	}{
		"changed kernel": {damaged("tench-alix2d3.vmlinuz"), "tench-alix2d3.vmlinuz is not what was built for the release\nhint: did another tench build alix2d3"},
		"changed image":  {damaged("tench-alix2d3.img"), "tench-alix2d3.img is not what was built for the release"},
		"another build since, with somebody's router.toml": {func(t *testing.T, b *Board, o *Options) {
			other := testBuilt()
			other.image = "my password is tench"
			b.Dir = other.board(t).Dir
		}, "tench-alix2d3.img is not what was built for the release"},
		"never built":     {func(t *testing.T, b *Board, o *Options) { b.Dir = t.TempDir() }, "no such file"},
		"another release": {func(t *testing.T, b *Board, o *Options) { o.Name = "2026.12" }, "holds board alix2d3 of release 2026.11\nhint: "},
		"another board":   {func(t *testing.T, b *Board, o *Options) { b.Name = "apu2" }, "holds board alix2d3 of release"},
		"older tench": {func(t *testing.T, b *Board, o *Options) {
			b.Built.Products = slices.DeleteFunc(b.Built.Products, func(p release.Product) bool { return p.File == "tench-alix2d3.mtree" })
		}, "has no tench-alix2d3.mtree\nhint: tench image alix2d3"},
		"since nothing": {func(t *testing.T, b *Board, o *Options) { o.Since = t.TempDir() }, "compare with the last release: "},
	} {
		t.Run(name, func(t *testing.T) {
			b, o := testBuilt().board(t), testOptions(t)
			tc.spoil(t, &b, &o)
			err := Write(t.Context(), []Board{b}, o)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Write = %v, want %q", err, tc.want)
			}
			if left := read(t, filepath.Dir(o.Out)); len(left) > 0 {
				t.Errorf("Write left %v", left)
			}
		})
	}
}

func TestAnInterruptedReleaseLeavesNothing(t *testing.T) {
	boards := []Board{testBuilt().board(t)}
	for _, at := range []string{"tench-alix2d3.cdx.json", "tench-alix2d3.img", release.NotesFile} {
		o := testOptions(t)
		ctx, cancel := context.WithCancel(t.Context())
		o.Start = func(file string) {
			if file == at {
				cancel()
			}
		}
		if err := Write(ctx, boards, o); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted at %s: Write = %v, want context.Canceled", at, err)
		}
		left, err := os.ReadDir(filepath.Dir(o.Out))
		if err != nil || len(left) > 0 {
			t.Errorf("interrupted at %s: %v (%v) is left", at, left, err)
		}
	}
	// A process that was killed could not clean up.
	o := testOptions(t)
	half := filepath.Join(filepath.Dir(o.Out), ".2026.11.new")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "tench-alix2d3.img.zst"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, boards, o)
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", half, err)
	}
}

func TestReplace(t *testing.T) {
	o := testOptions(t)
	b := testBuilt()
	mustWrite(t, []Board{b.board(t)}, o)
	before := read(t, o.Out)
	b.kernel = "newer kernel"
	err := Write(t.Context(), []Board{b.board(t)}, o)
	if err == nil || !strings.Contains(err.Error(), "is there already\nhint: --replace") {
		t.Errorf("Write over a release = %v, want an error", err)
	}
	if diff := cmp.Diff(before, read(t, o.Out)); diff != "" {
		t.Errorf("the refused release changed the old one:\n%s", diff)
	}
	o.Replace = true
	mustWrite(t, []Board{b.board(t)}, o)
	if got := read(t, o.Out)["tench-alix2d3.vmlinuz"]; got != "newer kernel" {
		t.Errorf("the replaced release has kernel %q", got)
	}
	entries, err := os.ReadDir(filepath.Dir(o.Out))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the release is something: %v (%v)", entries, err)
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "thesis.tex"), []byte("dear"), 0o644); err != nil {
		t.Fatal(err)
	}
	o.Out = home
	if err := Write(t.Context(), []Board{b.board(t)}, o); err == nil || !strings.Contains(err.Error(), "is not a release, so it is not replaced") {
		t.Errorf("Write over a folder that is no release = %v", err)
	}
	if read(t, home)["thesis.tex"] != "dear" {
		t.Error("the folder that is no release lost its file")
	}
}

func TestTwoAtOnce(t *testing.T) {
	o := testOptions(t)
	if err := os.MkdirAll(filepath.Dir(o.Out), 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(filepath.Dir(o.Out))
	if err != nil {
		t.Fatal(err)
	}
	boards := []Board{testBuilt().board(t)}
	if err := Write(t.Context(), boards, o); err == nil || !strings.Contains(err.Error(), "another process writes a release") {
		t.Errorf("Write beside another = %v, want an error", err)
	}
	unlock()
	mustWrite(t, boards, o)
}

// golden compares with testdata; go test -update writes it anew.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}

func TestNotes(t *testing.T) {
	old, gone, last := testBuilt(), testBuilt(), testOptions(t)
	old.release, old.bird, old.netlink = "2026.10", "2.0.11", "v1.3.0"
	old.config = "CONFIG_NET=y\nCONFIG_HZ=250\nCONFIG_PPP=y\n"
	old.patches = map[string]string{"0001-our-own.patch": "a", "bird debian/CVE-2026-1.patch": "d", "bird debian/old.patch": "e"}
	old.kernel = strings.Repeat("k", 200_000)
	old.mtree = strings.Replace(old.mtree, "bird", "birdcl", 1)
	gone.release, gone.name = "2026.10", "net5501"
	same := old
	same.name = "apu2"
	last.Name = "2026.10"
	mustWrite(t, []Board{old.board(t), same.board(t), gone.board(t)}, last)

	now, like, added, o := testBuilt(), testBuilt(), testBuilt(), testOptions(t)
	like.name, added.name = "apu2", "nanopi-neo"
	added.bird = "2.0.13"
	_, secret, err := signify.Generate(bytes.NewReader(make([]byte, 64)), "test")
	if err != nil {
		t.Fatal(err)
	}
	o.Since, o.Sign = last.Out, secret.SignInside
	mustWrite(t, []Board{now.board(t), like.board(t), added.board(t)}, o)
	golden(t, "next.md", read(t, o.Out)[release.NotesFile])

	o = testOptions(t)
	mustWrite(t, []Board{now.board(t), added.board(t)}, o)
	golden(t, "first.md", read(t, o.Out)[release.NotesFile])

	again := testOptions(t)
	again.Since = o.Out
	mustWrite(t, []Board{now.board(t), added.board(t)}, again)
	notes := read(t, again.Out)[release.NotesFile]
	for _, want := range []string{"## Software\n\nThe same versions.\n", "## Kernel options\n\nThe same.\n"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes of an equal release lack %q:\n%s", want, notes)
		}
	}
}

func TestLineChanges(t *testing.T) {
	lines := func(text string) map[string]bool {
		all := map[string]bool{}
		for _, l := range strings.Fields(text) {
			all[l] = true
		}
		return all
	}
	for name, tc := range map[string]struct{ before, after, want string }{
		"equal":   {"A=y B=y", "B=y A=y", ""},
		"came":    {"A=y", "A=y B=y", "+B=y"},
		"went":    {"A=y B=y", "A=y", "-B=y"},
		"changed": {"A=1 B=y", "A=2 B=y", "-A=1 +A=2"},
		"sorted":  {"A=1 C=y", "A=2 B=y", "-A=1 +A=2 +B=y -C=y"},
	} {
		got := strings.Join(lineChanges(lines(tc.before), lines(tc.after)), " ")
		if got != tc.want {
			t.Errorf("%s: lineChanges = %q, want %q", name, got, tc.want)
		}
	}
}

// What of the last release is not there is told before the boards are built.
func TestCheckReadsAllOfTheLastRelease(t *testing.T) {
	last := testOptions(t)
	mustWrite(t, []Board{testBuilt().board(t)}, last)
	o := Options{Since: last.Out, Out: filepath.Join(t.TempDir(), "new")}
	if err := Check(o); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(last.Out, release.SBOMName("alix2d3"))); err != nil {
		t.Fatal(err)
	}
	if err := Check(o); err == nil || !strings.Contains(err.Error(), "compare with the last release: ") {
		t.Errorf("Check = %v, want what is missing", err)
	}
}

// Servers read a release, whatever the umask of whoever made it.
func TestDirectoryIsReadable(t *testing.T) {
	o := testOptions(t)
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	mustWrite(t, []Board{testBuilt().board(t)}, o)
	if info, err := os.Stat(o.Out); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the directory has mode %v, %v; want 0755", info.Mode(), err)
	}
	t.Chdir(o.Out)
	o.Out, o.Replace = ".", true
	mustWrite(t, []Board{testBuilt().board(t)}, o)
}
