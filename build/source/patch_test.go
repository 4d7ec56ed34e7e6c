package source

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/release"
)

func TestPatchOnAFullDisk(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\necho 'patch: **** write error : No space left on device' >&2\nexit 2\n"
	if err := os.WriteFile(filepath.Join(bin, "patch"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	err := Patch(t.Context(), series(t, newFile), t.TempDir(), nil)
	if !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "rebase") {
		t.Errorf("Patch = %v, want ENOSPC", err)
	}
}

// twenty lines of text, in two files.
func patchTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"a.c", "b.c"} {
		var b strings.Builder
		for i := range 20 {
			b.WriteString("line " + string(rune('a'+i)) + "\n")
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents are the files of dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

// hunk changes line e, the fifth, of a file; at is where it says that its
// context, lines b to h, begins.
func hunk(file, at, context string) string {
	return "--- a/" + file + "\n+++ b/" + file + "\n@@ -" + at + ",7 +" + at + ",7 @@\n line b\n " + context +
		"\n line d\n-line e\n+line E\n line f\n line g\n line h\n"
}

const (
	newFile = "--- /dev/null\n+++ b/new.c\n@@ -0,0 +1 @@\n+new\n"
	// second changes what hunk made of a.c.
	second = "--- a/a.c\n+++ b/a.c\n@@ -3,5 +3,5 @@\n line c\n line d\n-line E\n+line EE\n line f\n line g\n"
)

func TestPatch(t *testing.T) {
	for name, tc := range map[string]struct {
		patches []string
		changed map[string]string // file: what its line e became
		log     string
		err     string
	}{
		"applies":            {[]string{hunk("a.c", "2", "line c")}, map[string]string{"a.c": "line E"}, "patch 0001-x.patch: applied\n", ""},
		"one upon the other": {[]string{hunk("a.c", "2", "line c"), second}, map[string]string{"a.c": "line EE"}, "patch 0001-x.patch: applied\npatch 0002-x.patch: applied\n", ""},
		"offset":             {[]string{hunk("a.c", "5", "line c")}, map[string]string{"a.c": "line E"}, "patch 0001-x.patch: a.c: Hunk #1 succeeded at 2 (offset -3 lines).\npatch 0001-x.patch: applied\n", ""},
		"fuzz":               {[]string{hunk("a.c", "2", "line x")}, nil, "", "patch 0001-x.patch: does not apply: a.c: Hunk #1 FAILED at 2."},
		"reject in the second file": {[]string{hunk("a.c", "2", "line c") + hunk("b.c", "2", "line x")}, nil, "",
			"patch 0001-x.patch: does not apply: b.c: Hunk #1 FAILED at 2."},
		"second patch fails":    {[]string{newFile + hunk("a.c", "2", "line c"), hunk("b.c", "2", "line x")}, nil, "patch 0001-x.patch: applied\n", "patch 0002-x.patch: does not apply: b.c: Hunk #1 FAILED at 2."},
		"third patch fails":     {[]string{hunk("a.c", "2", "line c"), second, second}, nil, "patch 0001-x.patch: applied\npatch 0002-x.patch: applied\n", "patch 0003-x.patch: does not apply: a.c: Reversed (or previously applied) patch detected!"},
		"the same patch twice":  {[]string{hunk("a.c", "2", "line c"), hunk("a.c", "2", "line c")}, nil, "patch 0001-x.patch: applied\n", "patch 0002-x.patch: does not apply: a.c: Reversed (or previously applied) patch detected!"},
		"file is not there":     {[]string{hunk("c.c", "2", "line c")}, nil, "", "patch 0001-x.patch: does not apply: can't find file to patch at input line 3"},
		"file above the tree":   {[]string{hunk("../../evil.c", "2", "line c")}, nil, "", "patch 0001-x.patch: does not apply: "},
		"not a patch":           {[]string{"hello\n"}, nil, "", "patch 0001-x.patch: does not apply: patch: **** Only garbage was found in the patch input."},
		"cut off in the middle": {[]string{hunk("a.c", "2", "line c")[:70]}, nil, "", "patch 0001-x.patch: does not apply: patch: **** "},
	} {
		t.Run(name, func(t *testing.T) {
			need(t, "patch")
			dir := patchTree(t)
			want := contents(t, dir)
			for file, line := range tc.changed {
				want[file] = strings.Replace(want[file], "line e", line, 1)
			}
			var log bytes.Buffer
			err := Patch(t.Context(), series(t, tc.patches...), dir, &log)
			if (err != nil) != (tc.err != "") || err != nil && (!strings.HasPrefix(err.Error(), tc.err) || !strings.Contains(err.Error(), "\nhint: rebase ")) {
				t.Errorf("Patch = %v\nwant %s", err, tc.err)
			}
			if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
				t.Errorf("files (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(tc.log, log.String()); diff != "" {
				t.Errorf("log (-want +got)\n%s", diff)
			}
		})
	}
}

func series(t *testing.T, patches ...string) []release.Patch {
	t.Helper()
	dir := t.TempDir()
	var list []release.Patch
	for i, text := range patches {
		p := release.Patch{Name: "000" + string(rune('1'+i)) + "-x.patch"}
		p.Path = filepath.Join(dir, p.Name)
		if err := os.WriteFile(p.Path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func TestPatchInterrupted(t *testing.T) {
	need(t, "patch")
	dir := patchTree(t)
	want := contents(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	log := writerFunc(func(p []byte) (int, error) {
		cancel() // after the first patch
		return len(p), nil
	})
	err := Patch(ctx, series(t, hunk("a.c", "2", "line c"), second), dir, log)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Patch = %v, want context.Canceled", err)
	}
	if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
		t.Errorf("files (-want +got)\n%s", diff)
	}
}
