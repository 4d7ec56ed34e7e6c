package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"tench/release"
	"tench/release/signify"
)

const bom = `{"bomFormat":"CycloneDX","components":[{"name":"linux","version":"6.12"}]}`

// dir is a directory under construction.
type dir struct {
	t    *testing.T
	path string
}

func (d dir) put(name, text string) release.Product {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.path, name), []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	return release.Product{File: name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
}

func (d dir) get(name string) string {
	d.t.Helper()
	data, err := os.ReadFile(filepath.Join(d.path, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(data)
}

func (d dir) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// sums writes SHA256 of all files but itself and those named.
func (d dir) sums(but ...string) {
	d.t.Helper()
	entries, err := os.ReadDir(d.path)
	d.must(err)
	var list []release.Product
	for _, e := range entries {
		if e.Name() != release.SumsFile && !slices.Contains(but, e.Name()) {
			list = append(list, d.put(e.Name(), d.get(e.Name())))
		}
	}
	d.must(release.WriteSums(filepath.Join(d.path, release.SumsFile), list))
}

func (d dir) sign(key signify.SecretKey) {
	d.put(release.SignatureFile, string(key.SignInside([]byte(d.get(release.SumsFile)))))
}

func keys(t *testing.T, seed int64) (signify.PublicKey, signify.SecretKey) {
	t.Helper()
	p, s, err := signify.Generate(rand.New(rand.NewSource(seed)), "test")
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

// newBuild is what a build leaves.
func newBuild(t *testing.T) dir {
	t.Helper()
	d := dir{t, t.TempDir()}
	m := release.Manifest{Board: "b", Release: "1", Products: []release.Product{
		d.put("tench-b.img", "image"), d.put("tench-b.cdx.json", bom)}}
	d.sums()
	d.must(m.Write(filepath.Join(d.path, release.ManifestFile)))
	return d
}

// newRelease is a signed release of one board.
func newRelease(t *testing.T) dir {
	t.Helper()
	d := dir{t, t.TempDir()}
	z, err := zstd.NewWriter(nil)
	d.must(err)
	image := d.put("tench-b.img", "image")
	d.must(os.Remove(filepath.Join(d.path, image.File)))
	files := []release.Product{d.put("tench-b.vmlinuz", "k"), d.put("tench-b.slot", "s"), d.put("tench-b.initrd", "i"), d.put("tench-b.config", "c"),
		d.put("tench-b.mtree", "m"), d.put("tench-b.cdx.json", bom)}
	m := release.Manifest{Board: "b", Release: "1", Epoch: 7, Products: append(slices.Clone(files), image)}
	d.must(m.Write(filepath.Join(d.path, "tench-b.json")))
	files = append(files, d.put("tench-b.json", d.get("tench-b.json")), d.put("NOTES.md", "notes"),
		d.put("tench-b.img.zst", string(z.EncodeAll([]byte("image"), nil))))
	x := release.Index{Release: "1", Epoch: 7, Boards: []release.IndexBoard{{Name: "b"}}, Files: files}
	d.must(x.Write(filepath.Join(d.path, release.ManifestFile)))
	d.put(release.ListingFile, "listing")
	d.sums()
	_, secret := keys(t, 1)
	d.sign(secret)
	return d
}

func TestDirectory(t *testing.T) {
	public, secret := keys(t, 1)
	other, otherSecret := keys(t, 2)
	hash := func(text string) string { return dir{t, t.TempDir()}.put("x", text).SHA256 }
	for name, tc := range map[string]struct {
		build  bool // what a build leaves, else a release
		key    *signify.PublicKey
		change func(d dir)
		want   []string
	}{
		"release":                {key: &public},
		"build":                  {build: true},
		"another key":            {key: &other, want: []string{"SHA256.sig: signature: made by key " + public.Number.String() + ", but this is key " + other.Number.String()}},
		"signed by somebody":     {key: &public, change: func(d dir) { d.sign(otherSecret) }, want: []string{"SHA256.sig: signature: made by key " + other.Number.String() + ", but this is key " + public.Number.String()}},
		"signature is of others": {key: &public, change: func(d dir) { d.put("SHA256.sig", string(secret.Sign([]byte("x")))) }, want: []string{"SHA256.sig: bad signature: the file is not what was signed"}},
		"signature is text":      {change: func(d dir) { d.put("SHA256.sig", "x") }, want: []string{`SHA256.sig: signature: line 1: "x" does not begin with "untrusted comment: "`}},
		"not signed, with a key": {build: true, key: &public, want: []string{"SHA256.sig: no such file or directory"}},
		"file changed": {key: &public, change: func(d dir) { d.put("tench-b.vmlinuz", "x") },
			want: []string{"tench-b.vmlinuz: its SHA-256 is " + hash("x") + ", SHA256 has " + hash("k")}},
		"several at once": {build: true, change: func(d dir) {
			d.put("tench-b.img", "imagf")
			d.must(os.Remove(filepath.Join(d.path, "tench-b.cdx.json")))
			d.put("more", "")
			d.must(os.Mkdir(filepath.Join(d.path, "sub"), 0o755))
		}, want: []string{"tench-b.cdx.json: no such file or directory", "tench-b.img: its SHA-256 is " + hash("imagf") + ", SHA256 has " + hash("image"),
			"more: is not listed in SHA256", "sub: is not listed in SHA256"}},
		"beside a build that goes on": {build: true, change: func(d dir) { d.must(os.Mkdir(filepath.Join(d.path, ".new"), 0o755)) }},
		"a file of that name":         {build: true, change: func(d dir) { d.put(".new", "") }, want: []string{".new: is not listed in SHA256"}},
		"that folder in a release":    {change: func(d dir) { d.must(os.Mkdir(filepath.Join(d.path, ".new"), 0o755)) }, want: []string{".new: is not listed in SHA256"}},
		"link instead of a file": {build: true, change: func(d dir) {
			d.must(os.Rename(filepath.Join(d.path, "tench-b.img"), filepath.Join(d.t.TempDir(), "elsewhere")))
			d.must(os.Symlink("/dev/zero", filepath.Join(d.path, "tench-b.img")))
		}, want: []string{"tench-b.img: is no plain file (L---------)"}},
		"no SHA256": {build: true, change: func(d dir) { d.must(os.Remove(filepath.Join(d.path, "SHA256"))) },
			want: []string{"SHA256: no such file or directory", "tench-b.cdx.json: is not listed in SHA256", "tench-b.img: is not listed in SHA256",
				`manifest.json: names "tench-b.cdx.json", which SHA256 does not list`, `manifest.json: names "tench-b.img", which SHA256 does not list`,
				"tench-b.img: is missing: board b should have it", "tench-b.cdx.json: is missing: board b should have it"}},
		"no manifest":           {build: true, change: func(d dir) { d.must(os.Remove(filepath.Join(d.path, "manifest.json"))) }, want: []string{"manifest.json: no such file or directory"}},
		"manifest of the later": {build: true, change: func(d dir) { d.put("manifest.json", `{"schema":2}`) }, want: []string{"manifest.json: manifest: DIR/manifest.json has schema 2, this tench reads schema 1"}},
		"manifest of another build": {build: true, change: func(d dir) {
			m := release.Manifest{Board: "b", Products: []release.Product{{File: "tench-b.img", Size: 6, SHA256: hash("image")}, {File: "tench-b.cdx.json", SHA256: hash("x")}}}
			d.must(m.Write(filepath.Join(d.path, "manifest.json")))
		}, want: []string{"manifest.json: has another SHA-256 of tench-b.cdx.json than SHA256", "manifest.json: says that tench-b.img has 6 bytes, it has 5"}},
		"manifest knows less": {build: true, change: func(d dir) { d.put("more", ""); d.sums("manifest.json") }, want: []string{"manifest.json: does not know more, which SHA256 lists"}},
		"no bill of materials": {change: func(d dir) {
			d.must(os.Remove(filepath.Join(d.path, "tench-b.cdx.json")))
			d.sums("SHA256.sig")
			d.sign(secret)
		}, key: &public, want: []string{`manifest.json: names "tench-b.cdx.json", which SHA256 does not list`,
			"tench-b.cdx.json: is missing: board b should have it", `tench-b.json: names "tench-b.cdx.json", which SHA256 does not list`}},
		"bill of other materials": {build: true, change: func(d dir) {
			p := []release.Product{d.put("tench-b.img", "image"), d.put("tench-b.cdx.json", "{}")}
			d.must(release.Manifest{Board: "b", Products: p}.Write(filepath.Join(d.path, "manifest.json")))
			d.sums("manifest.json")
		}, want: []string{`tench-b.cdx.json: sbom: DIR/tench-b.cdx.json has bomFormat "", not "CycloneDX"`}},
		"packed image is another": {change: func(d dir) {
			z, err := zstd.NewWriter(nil)
			d.must(err)
			d.put("tench-b.img.zst", string(z.EncodeAll([]byte("imagf"), nil)))
			d.sums("SHA256.sig")
			d.must(os.Remove(filepath.Join(d.path, "SHA256.sig")))
		}, want: []string{"manifest.json: has another SHA-256 of tench-b.img.zst than SHA256",
			"tench-b.img.zst: unpacks to an image with the SHA-256 " + hash("imagf") + ", tench-b.img should have " + hash("image")}},
	} {
		t.Run(name, func(t *testing.T) {
			make := newRelease
			if tc.build {
				make = newBuild
			}
			d := make(t)
			if tc.change != nil {
				tc.change(d)
			}
			r, err := Directory(context.Background(), d.path, Options{Key: tc.key})
			if err != nil {
				t.Fatal(err)
			}
			for i := range r.Findings {
				r.Findings[i] = strings.ReplaceAll(r.Findings[i], d.path, "DIR")
			}
			if diff := cmp.Diff(tc.want, r.Findings); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotesSayWhoSigned(t *testing.T) {
	public, _ := keys(t, 1)
	for name, tc := range map[string]struct {
		make func(t *testing.T) dir
		key  *signify.PublicKey
		want string
	}{
		"with the key":    {newRelease, &public, "signed by key " + public.Number.String() + " (test public key)"},
		"without the key": {newRelease, nil, "SHA256.sig says that key " + public.Number.String() + " signed, which proves nothing without that key: --key FILE.pub"},
		"not signed":      {newBuild, nil, "not signed: the hashes show that nothing was damaged, not who made it"},
	} {
		r, err := Directory(context.Background(), tc.make(t).path, Options{Key: tc.key})
		if diff := cmp.Diff([]string{tc.want}, r.Notes); diff != "" || err != nil {
			t.Errorf("%s: %v, notes (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestDirectoryEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Directory(ctx, newRelease(t).path, Options{Progress: func(string, int64, int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Directory = %v, want context.Canceled", err)
	}
	if _, err := Directory(context.Background(), "/nowhere", Options{}); err == nil {
		t.Error("Directory of no directory = nil")
	}
}
