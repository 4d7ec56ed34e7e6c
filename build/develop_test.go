package build

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/build/cache"
	"tench/release"
)

func TestFolderUnderDevelopment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my-musl")
	if err := os.MkdirAll(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "configure")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, r := newTestPlan(t)
	p.o.Sources = map[string]string{"musl": dir}
	src, err := p.source(t.Context(), "musl", "source")
	if err != nil {
		t.Fatal(err)
	}
	want := release.Used{Name: "musl source", Kind: "source", Version: "1.2.3", SHA256: src.SHA256, Size: 10, From: dir, Development: true}
	if diff := cmp.Diff([]release.Used{want}, p.inputs); diff != "" {
		t.Errorf("inputs of the manifest (-want +got)\n%s", diff)
	}
	if len(r.warns) != 1 || !strings.Contains(r.warns[0], "musl: built from the folder "+dir) {
		t.Errorf("warnings = %q", r.warns)
	}
	work := cache.Work{Scratch: t.TempDir(), Log: io.Discard, Progress: func(int64, int64, string) {}}
	tree, err := p.patchedTree(t.Context(), src, nil, work)
	if err != nil {
		t.Fatal(err)
	}
	// What the build does to its copy is not done to the folder.
	if err := os.WriteFile(filepath.Join(tree, "configure"), []byte("changed\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); string(text) != "#!/bin/sh\n" || err != nil {
		t.Errorf("the folder has %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(tree, ".git")); err == nil {
		t.Error("git's own data was copied")
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if edited, err := p.source(t.Context(), "musl", "source"); err != nil || edited.SHA256 == src.SHA256 {
		t.Errorf("source after an edit = %+v, %v; want another hash", edited, err)
	}
	// With the rest from elsewhere, it is not missing offline.
	if err := p.prepare(t.Context()); err == nil || strings.Contains(err.Error(), "musl source") {
		t.Errorf("prepare = %v", err)
	}
	p.o.Strict = true
	if _, err := p.source(t.Context(), "musl", "source"); err == nil || !strings.Contains(err.Error(), "hint: build without --strict") {
		t.Errorf("strict: source = %v, want it refused", err)
	}
	p.o.Sources = map[string]string{"grub": dir}
	if _, err := p.recipe("grub"); err == nil || !strings.Contains(err.Error(), `it has no part "source"`) {
		t.Errorf("recipe grub = %v", err)
	}
}
