package pxe

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"tench/pxe/view"
	"tench/release"
	"tench/release/audit"
	"tench/release/signify"
)

// writeBuild is what a build of a board leaves, with a kernel and an initramfs
// of these texts. It is signed if there is a key.
func writeBuild(t *testing.T, board, kernel, initrd string, key *signify.SecretKey) string {
	t.Helper()
	dir := t.TempDir()
	var list []release.Product
	for name, text := range map[string]string{
		release.ImageName(board): "image", release.KernelName(board): kernel, release.InitrdName(board): initrd,
		release.SBOMName(board): `{"bomFormat":"CycloneDX","components":[{"name":"linux","version":"6.12"}]}`,
	} {
		sum := sha256.Sum256([]byte(text))
		list = append(list, release.Product{File: name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])})
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := release.Manifest{Board: board, Release: "2026.11", Products: list}
	if err := errors.Join(m.Write(filepath.Join(dir, release.ManifestFile)), release.WriteSums(filepath.Join(dir, release.SumsFile), list)); err != nil {
		t.Fatal(err)
	}
	if key != nil {
		sums, err := os.ReadFile(filepath.Join(dir, release.SumsFile))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, release.SignatureFile), key.SignInside(sums), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func text(t *testing.T, f view.File, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestProducts(t *testing.T) {
	dir := writeBuild(t, "b", "kernel", "initrd", nil)
	p, err := OpenProducts(t.Context(), dir, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Release != "2026.11" || !p.Has("b") || p.Has("c") {
		t.Errorf("release %q, has b: %v, has c: %v", p.Release, p.Has("b"), p.Has("c"))
	}
	f, err := p.Kernel("b")
	if got := text(t, f, err); got != "kernel" {
		t.Errorf("the kernel is %q", got)
	}
	f, err = p.Initrd("b")
	if got := text(t, f, err); got != "initrd" {
		t.Errorf("the initramfs is %q", got)
	}
	if path, _, err := p.Image("b"); err != nil || path != filepath.Join(dir, "tench-b.img") {
		t.Errorf("Image = %q, %v", path, err)
	}
	if _, _, err := p.Image("c"); err == nil {
		t.Error("Image of a board that is not there is no error")
	}
}

// A release's directory has other names than what a build leaves.
func TestProductsOfARelease(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) release.Product {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(text))
		return release.Product{File: name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	image := put("tench-b.img", "image")
	files := []release.Product{put("tench-b.vmlinuz", "kernel"), put("tench-b.initrd", "initrd"), put("tench-b.slot", "s"), put("tench-b.config", "c"),
		put("tench-b.mtree", "m"), put("tench-b.cdx.json", `{"bomFormat":"CycloneDX","components":[{"name":"linux","version":"6.12"}]}`)}
	m := release.Manifest{Board: "b", Release: "2026.12", Products: append(slices.Clone(files), image)}
	if err := errors.Join(os.Remove(filepath.Join(dir, image.File)), m.Write(filepath.Join(dir, "tench-b.json"))); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "tench-b.json"))
	if err != nil {
		t.Fatal(err)
	}
	packed := put("tench-b.img.zst", string(z.EncodeAll([]byte("image"), nil)))
	files = append(files, put("tench-b.json", string(text)), put("NOTES.md", "notes"), packed)
	x := release.Index{Release: "2026.12", Boards: []release.IndexBoard{{Name: "b"}}, Files: files}
	if err := x.Write(filepath.Join(dir, release.ManifestFile)); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(filepath.Join(dir, release.ManifestFile)); err != nil {
		t.Fatal(err)
	}
	files = append(files, put(release.ManifestFile, string(text)), put(release.ListingFile, "listing"))
	if err := release.WriteSums(filepath.Join(dir, release.SumsFile), files); err != nil {
		t.Fatal(err)
	}
	p, err := OpenProducts(t.Context(), dir, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path, sum, err := p.Image("b")
	if p.Release != "2026.12" || !p.Has("b") || err != nil || path != filepath.Join(dir, packed.File) || sum != packed.SHA256 {
		t.Errorf("release %q, has b: %v, image %s %s, %v", p.Release, p.Has("b"), path, sum, err)
	}
}

// A file that somebody changed is refused, whether it was served before or not,
// and one that is written anew with the same content is not.
func TestProductsThatChange(t *testing.T) {
	dir := writeBuild(t, "b", "kernel", "initrd", nil)
	p, err := OpenProducts(t.Context(), dir, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tench-b.vmlinuz")
	write := func(text string) {
		t.Helper()
		// The clock of a file system is coarse; a file in its place has another number.
		if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))); err != nil {
			t.Fatal(err)
		}
	}
	f, err := p.Kernel("b")
	if got := text(t, f, err); got != "kernel" {
		t.Errorf("the kernel is %q", got)
	}
	write("KERNEL")
	if _, err := p.Kernel("b"); !errors.Is(err, errChanged) || !strings.Contains(err.Error(), path) {
		t.Errorf("Kernel of another hash = %v, want it refused by name", err)
	}
	write("kernel")
	f, err = p.Kernel("b")
	if got := text(t, f, err); got != "kernel" {
		t.Errorf("the kernel is %q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Kernel("b"); err == nil {
		t.Error("a kernel that is gone is served")
	}
}

func TestProductsThatAreNotWhole(t *testing.T) {
	public, secret, err := signify.Generate(rand.New(rand.NewSource(1)), "test")
	if err != nil {
		t.Fatal(err)
	}
	stranger, _, err := signify.Generate(rand.New(rand.NewSource(2)), "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenProducts(t.Context(), writeBuild(t, "b", "k", "i", &secret), audit.Options{Key: &public}); err != nil {
		t.Errorf("what the key signed: %v", err)
	}
	for name, tc := range map[string]struct {
		key   *signify.PublicKey
		spoil func(dir string) error
		want  string
	}{
		"no directory":   {nil, os.RemoveAll, "hint: tench image BOARD"},
		"another kernel": {nil, func(dir string) error { return os.WriteFile(filepath.Join(dir, "tench-b.vmlinuz"), nil, 0o644) }, "is not whole: tench-b.vmlinuz: its SHA-256"},
		"another key":    {&stranger, func(string) error { return nil }, "is not whole: SHA256.sig"},
		"a file more":    {nil, func(dir string) error { return os.WriteFile(filepath.Join(dir, "x"), nil, 0o644) }, "is not whole: x: is not listed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeBuild(t, "b", "k", "i", &secret)
			if err := tc.spoil(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenProducts(t.Context(), dir, audit.Options{Key: tc.key}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("OpenProducts = %v, want %q", err, tc.want)
			}
		})
	}
}
