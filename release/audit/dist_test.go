package audit

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/release"
	"tench/release/dist"
)

// What tench release writes is as it should be, and damage to any file of it is
// found.
func TestReleaseThatDistWrites(t *testing.T) {
	built := dir{t, t.TempDir()}
	m := release.Manifest{Board: "b", Release: "1", Epoch: 1_000_000_000}
	for name, text := range map[string]string{"tench-b.img": "image", "tench-b.vmlinuz": "k", "tench-b.slot": "s", "tench-b.initrd": "i",
		"tench-b.config": "CONFIG_A=y\n", "tench-b.mtree": "#mtree\n", "tench-b.cdx.json": bom} {
		m.Products = append(m.Products, built.put(name, text))
	}
	public, secret := keys(t, 1)
	made := dir{t, filepath.Join(t.TempDir(), "1")}
	made.must(dist.Write(t.Context(), []dist.Board{{Name: "b", Title: "a board", Dir: built.path, Built: m}},
		dist.Options{Name: "1", Epoch: time.Unix(1_000_000_000, 0), Out: made.path, Sign: secret.SignInside}))
	audited := func() []string {
		r, err := Directory(t.Context(), made.path, Options{Key: &public})
		made.must(err)
		return r.Findings
	}
	if diff := cmp.Diff([]string(nil), audited()); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	entries, err := os.ReadDir(made.path)
	made.must(err)
	for _, e := range entries {
		before := made.get(e.Name())
		made.put(e.Name(), before+"x")
		if len(audited()) == 0 {
			t.Errorf("a byte more in %s is not found", e.Name())
		}
		made.put(e.Name(), before)
	}
	if len(entries) != 13 {
		t.Errorf("%d files were looked at, want 13", len(entries))
	}
}
