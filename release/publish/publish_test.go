package publish

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/release"
)

// heard is a Reporter that remembers.
type heard struct {
	lines []string
	sent  int64 // the last count of bytes sent
	step  string
}

func (h *heard) Start(step, detail string) { h.step = step; h.add(step, detail) }
func (h *heard) Note(step, text string)    { h.add(step, text) }
func (h *heard) Warn(text string)          { h.add("warning", text) }
func (h *heard) add(step, text string)     { h.lines = append(h.lines, step+" "+text) }
func (h *heard) Progress(done, _ int64, _ string) {
	if h.step == "send" {
		h.sent = done
	}
}

// options are those of a process that is no more when the next one looks at its
// lock, as after a kill.
func options(h *heard) Options {
	return Options{
		Keep:   3,
		Owner:  Owner{User: "anna", Host: "desk", PID: 1 << 30, Boot: "1/1"}, // above any pid_max
		Now:    func() time.Time { return time.Unix(1_800_000_000, 0) },
		Report: h,
	}
}

// content is size bytes that no other seed has.
func content(seed string, size int) []byte {
	return bytes.Repeat([]byte(seed+"\n"), size/(len(seed)+1)+1)[:size]
}

// makeRelease writes a release's directory; its SHA256 is by Debian's sha256sum.
func makeRelease(t *testing.T, name string, files map[string][]byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for f, data := range files {
		if err := os.WriteFile(filepath.Join(dir, f), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sha256sum", append([]string{"--tag"}, slices.Sorted(maps.Keys(files))...)...)
	cmd.Dir = dir
	sums, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, release.SumsFile), sums, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// source is a release of three files: a large one, a small one, none at all.
func source(t *testing.T, name string) *Source {
	t.Helper()
	return read(t, makeRelease(t, name, map[string][]byte{
		"a.img.zst": content(name, 5*block+123),
		"NOTES.md":  content(name, 40),
		"empty":     {},
	}))
}

func read(t *testing.T, dir string) *Source {
	t.Helper()
	s, err := ReadSource(t.Context(), dir, options(&heard{}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// treeDir is an empty folder for a tree. Releases in it are read-only, which
// keeps others than root from removing them.
func treeDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(path, 0o755)
			}
			return nil
		})
	})
	return dir
}

func publish(t *testing.T, tree *Tree, src *Source, keep int) *heard {
	t.Helper()
	h := &heard{}
	o := options(h)
	o.Keep = keep
	if err := tree.Publish(t.Context(), src, o); err != nil {
		t.Fatalf("Publish(%s) = %v", src.Name, err)
	}
	return h
}

// served checks, with Debian's sha256sum, that what a server shows is whole, and
// returns which release it is.
func served(t *testing.T, dir string) string {
	t.Helper()
	target, err := os.Readlink(filepath.Join(dir, "current"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "--quiet", release.SumsFile)
	cmd.Dir = filepath.Join(dir, "current")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sha256sum --check in %s: %v\n%s", target, err, out)
	}
	return filepath.Base(target)
}

// show is a tree's list in short: the newest first, * current, - the one before.
func show(t *testing.T, tree *Tree) string {
	t.Helper()
	list, err := tree.List()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range list {
		mark := ""
		switch {
		case e.Current:
			mark = "*"
		case e.Previous:
			mark = "-"
		case e.Partial:
			mark = "…"
		}
		all = append(all, e.Name+mark)
	}
	return strings.Join(all, " ")
}

func TestPublishKeepsAndRollsBack(t *testing.T) {
	dir := treeDir(t)
	tree := &Tree{local{dir}}
	for i, want := range []string{
		"r1*", "r2* r1-", "r3* r2- r1", "r4* r3- r2", "r5* r4- r3",
	} {
		src := source(t, fmt.Sprintf("r%d", i+1))
		publish(t, tree, src, 3)
		if got := served(t, dir); got != src.Name {
			t.Errorf("served is %s, want %s", got, src.Name)
		}
		if got := show(t, tree); got != want {
			t.Errorf("the tree has %s, want %s", got, want)
		}
	}
	for _, want := range []string{"r5 r4* r3-", "r5 r4 r3*"} {
		if _, err := tree.Rollback(t.Context(), options(&heard{})); err != nil {
			t.Fatal(err)
		}
		served(t, dir)
		if got := show(t, tree); got != want {
			t.Errorf("after a rollback the tree has %s, want %s", got, want)
		}
	}
	if name, err := tree.Rollback(t.Context(), options(&heard{})); err == nil {
		t.Errorf("Rollback to r2, which was removed, gives %s", name)
	}
	// An old release that is there needs nothing sent, and keep counts from here.
	h := publish(t, tree, source(t, "r5"), 1)
	if got := show(t, tree); got != "r5* r3-" || h.sent != 0 {
		t.Errorf("after r5 again with keep 1 the tree has %s, and %d bytes were sent", got, h.sent)
	}
	left, err := filepath.Glob(filepath.Join(dir, "releases", ".*"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".r3.before", ".r5.before"} // r3's names r2: harmless
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("dot names in the tree (-want +got)\n%s", diff)
	}
}

func TestPublishedReleaseIsReadOnly(t *testing.T) {
	dir := treeDir(t)
	publish(t, &Tree{local{dir}}, source(t, "r1"), 3)
	for name, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o555, "NOTES.md": 0o444, "SHA256": 0o444} {
		info, err := os.Stat(filepath.Join(dir, "releases/r1", name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%q has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestPublishedReleaseNeverChanges(t *testing.T) {
	dir := treeDir(t)
	tree := &Tree{local{dir}}
	publish(t, tree, source(t, "r1"), 3)
	other := read(t, makeRelease(t, "r1", map[string][]byte{"NOTES.md": []byte("other\n")}))
	for _, dry := range []bool{false, true} {
		o := options(&heard{})
		o.DryRun = dry
		err := tree.Publish(t.Context(), other, o)
		if err == nil || !strings.Contains(err.Error(), "never changes") {
			t.Errorf("Publish of another r1, dry run %v, = %v", dry, err)
		}
	}
	served(t, dir)
}

func TestRollbackVerifies(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"changed": func(dir string) error { return os.WriteFile(dir+"/NOTES.md", content("x", 40), 0o644) },
		"missing": func(dir string) error { return os.Remove(dir + "/empty") },
		"more":    func(dir string) error { return os.WriteFile(dir+"/stray", nil, 0o644) },
		"no sums": func(dir string) error { return os.Remove(dir + "/SHA256") },
		"link": func(dir string) error {
			return errors.Join(os.Remove(dir+"/empty"), os.Symlink("/dev/null", dir+"/empty"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := treeDir(t)
			tree := &Tree{local{dir}}
			publish(t, tree, source(t, "r1"), 3)
			publish(t, tree, source(t, "r2"), 3)
			old := filepath.Join(dir, "releases/r1")
			if err := errors.Join(os.Chmod(old, 0o755), os.Chmod(old+"/NOTES.md", 0o644), harm(old)); err != nil {
				t.Fatal(err)
			}
			_, err := tree.Rollback(t.Context(), options(&heard{}))
			if err == nil || !strings.Contains(err.Error(), "r2 stays current") {
				t.Errorf("Rollback = %v", err)
			}
			if got := served(t, dir); got != "r2" {
				t.Errorf("served is %s", got)
			}
		})
	}
}

// A dry run refuses what the real one would.
func TestStrayFile(t *testing.T) {
	dir := treeDir(t)
	tree := &Tree{local{dir}}
	publish(t, tree, source(t, "r1"), 3)
	folder := filepath.Join(dir, whole("r1"))
	if err := errors.Join(os.Chmod(folder, 0o755), os.WriteFile(filepath.Join(folder, "stray"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		o := options(&heard{})
		o.DryRun = dry
		if err := tree.Publish(t.Context(), source(t, "r1"), o); err == nil || !strings.Contains(err.Error(), "is not of the release") {
			t.Errorf("dry run %v: Publish = %v", dry, err)
		}
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	dir := treeDir(t)
	tree := &Tree{local{filepath.Join(dir, "new")}}
	h := &heard{}
	o := options(h)
	o.DryRun = true
	if err := tree.Publish(t.Context(), source(t, "r1"), o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dry run made the tree: %v", err)
	}
	want := []string{"to send 320 KiB of 320 KiB in 4 files", "dry run r1 would become current"}
	if diff := cmp.Diff(want, h.lines); diff != "" {
		t.Errorf("dry run says (-want +got)\n%s", diff)
	}
	lost := &Tree{local{filepath.Join(dir, "no", "tree")}}
	if err := lost.Publish(t.Context(), source(t, "r1"), o); err == nil || !strings.Contains(err.Error(), "hint: the folder above it must be there") {
		t.Errorf("a dry run of what cannot be = %v", err)
	}
	for _, r := range []string{"r1", "r2", "r3"} {
		publish(t, tree, source(t, r), 3)
	}
	h.lines = nil
	if err := tree.Publish(t.Context(), source(t, "r4"), o); err != nil {
		t.Fatal(err)
	}
	want = append(want[:1], "dry run r4 would become current, was r3", "dry run r1 would be removed")
	if diff := cmp.Diff(want, h.lines); diff != "" {
		t.Errorf("dry run says (-want +got)\n%s", diff)
	}
	if got := show(t, tree); got != "r3* r2- r1" {
		t.Errorf("after a dry run the tree has %s", got)
	}
}

// A reader goes through current while releases change under it: it must never
// miss a file.
func TestReaderNeverMissesAFile(t *testing.T) {
	dir := treeDir(t)
	tree := &Tree{local{dir}}
	publish(t, tree, source(t, "r0"), 3)
	stop, done := make(chan struct{}), make(chan error)
	reads := 0
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := os.Readlink(filepath.Join(dir, "current")); err != nil {
				done <- err
				return
			}
			for _, f := range []string{"SHA256", "NOTES.md", "a.img.zst"} {
				data, err := os.ReadFile(filepath.Join(dir, "current", f))
				if err != nil || len(data) == 0 {
					done <- fmt.Errorf("%s: %d bytes, %v", f, len(data), err)
					return
				}
				reads++
			}
		}
	}()
	for i := range 30 {
		publish(t, tree, source(t, fmt.Sprintf("r%d", i+1)), 3)
		if i%5 == 4 {
			if _, err := tree.Rollback(t.Context(), options(&heard{})); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("a reader missed a file: %v", err)
	}
	if reads == 0 {
		t.Error("the reader read nothing")
	}
}

func TestForeignTreesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		lay  func(dir string) error
		want string
	}{
		"current is a folder":       {func(d string) error { return os.Mkdir(d+"/current", 0o755) }, "laid by other means"},
		"current leads elsewhere":   {func(d string) error { return os.Symlink("/etc", d+"/current") }, "laid by other means"},
		"current leads up":          {func(d string) error { return os.Symlink("releases/..", d+"/current") }, "laid by other means"},
		"releases is a file":        {func(d string) error { return os.WriteFile(d+"/releases", nil, 0o644) }, "is not a folder"},
		"no folder above":           {os.RemoveAll, "the folder above it must be there"},
		"the tree itself is a file": {func(d string) error { return errors.Join(os.RemoveAll(d), os.WriteFile(d, nil, 0o644)) }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := treeDir(t)
			if err := tc.lay(dir); err != nil {
				t.Fatal(err)
			}
			at := dir
			if name == "no folder above" {
				at = dir + "/tree"
			}
			err := (&Tree{local{at}}).Publish(t.Context(), source(t, "r1"), options(&heard{}))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Publish = %v, want …%s…", err, tc.want)
			}
		})
	}
}
