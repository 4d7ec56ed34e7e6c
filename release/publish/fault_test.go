package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var errFault = errors.New("injected fault")

// faulty is a store whose operations fail from the one with the number at on.
type faulty struct {
	store
	at    int  // 0 is the first; -1 never
	once  bool // only that one fails
	late  bool // … after it was done, as when its answer is lost
	count int
	log   []string
}

// fault does an operation, or fails in its place.
func (f *faulty) fault(name string, do func() error) error {
	n := f.count
	f.count++
	f.log = append(f.log, name)
	if f.at < 0 || n < f.at || f.once && n > f.at {
		return do()
	}
	if f.late && n == f.at {
		return errors.Join(do(), errFault)
	}
	return errFault
}

func try[T any](f *faulty, name string, do func() (T, error)) (v T, err error) {
	err = f.fault(name, func() error { v, err = do(); return err })
	return v, err
}

func (f *faulty) Lstat(name string) (fs.FileInfo, error) {
	return try(f, "lstat", func() (fs.FileInfo, error) { return f.store.Lstat(name) })
}
func (f *faulty) List(name string) ([]fs.FileInfo, error) {
	return try(f, "list", func() ([]fs.FileInfo, error) { return f.store.List(name) })
}
func (f *faulty) Readlink(name string) (string, error) {
	return try(f, "readlink", func() (string, error) { return f.store.Readlink(name) })
}
func (f *faulty) Read(name string) ([]byte, error) {
	return try(f, "read", func() ([]byte, error) { return f.store.Read(name) })
}
func (f *faulty) Sum(ctx context.Context, p span, moved func(int64)) (string, error) {
	return try(f, "sum", func() (string, error) { return f.store.Sum(ctx, p, moved) })
}
func (f *faulty) Symlink(target, name string) error {
	return f.fault("symlink", func() error { return f.store.Symlink(target, name) })
}
func (f *faulty) Mkdir(name string) error {
	return f.fault("mkdir", func() error { return f.store.Mkdir(name) })
}
func (f *faulty) Chmod(name string, mode fs.FileMode) error {
	return f.fault("chmod", func() error { return f.store.Chmod(name, mode) })
}
func (f *faulty) Rename(from, to string) error {
	return f.fault("rename", func() error { return f.store.Rename(from, to) })
}
func (f *faulty) Remove(name string) error {
	return f.fault("remove", func() error { return f.store.Remove(name) })
}

// Write counts each chunk of writeChunk bytes as an operation of its own.
func (f *faulty) Write(name string, from int64, r io.Reader) error {
	err := f.fault("open", func() error { return nil })
	if err != nil {
		return err
	}
	return errors.Join(f.store.Write(name, from, faultyReader{f, r}), f.fault("close", func() error { return nil }))
}

const writeChunk = 40_000 // bytes, so that a file is cut in the middle of a block

type faultyReader struct {
	f *faulty
	r io.Reader
}

func (r faultyReader) Read(p []byte) (int, error) {
	if err := r.f.fault("write", func() error { return nil }); err != nil {
		return 0, err
	}
	return r.r.Read(p[:min(len(p), writeChunk)])
}

// Whatever operation fails, and however: a whole release is served before and
// after, and the next run completes. The run replaces r3 by r4, removes r1, and
// finds half of r4 and half-removed r0 from earlier runs.
func TestEveryFault(t *testing.T) {
	inMemory(t)
	src := map[string]*Source{}
	for _, r := range []string{"r0", "r1", "r2", "r3", "r4"} {
		src[r] = source(t, r)
	}
	template := treeDir(t)
	{
		tree := &Tree{local{template}}
		for _, r := range []string{"r0", "r1", "r2", "r3"} {
			publish(t, tree, src[r], 4)
		}
		must(t, tree.store.Rename(whole("r0"), gone("r0")))
		must(t, tree.store.Mkdir(partial("r4")))
		must(t, tree.store.Write(partial("r4")+"/a.img.zst", 0, strings.NewReader(string(content("r4", 2*block)))))
		must(t, tree.store.Write(partial("r4")+"/stranger", 0, strings.NewReader("x")))
	}
	lay := func(t *testing.T) string { return copyTree(t, template) }
	sound := &faulty{store: local{lay(t)}, at: -1}
	must(t, (&Tree{sound}).Publish(t.Context(), src["r4"], options(&heard{})))
	t.Logf("%d operations: %s", sound.count, strings.Join(sound.log, " "))

	for _, kind := range []faulty{{}, {once: true}, {once: true, late: true}} {
		for at := range sound.count {
			t.Run(fmt.Sprintf("%s %d once %v late %v", sound.log[at], at, kind.once, kind.late), func(t *testing.T) {
				dir := lay(t)
				f := kind
				f.store, f.at = local{dir}, at
				err := (&Tree{&f}).Publish(t.Context(), src["r4"], options(&heard{}))
				now := served(t, dir)
				switch {
				case now != "r3" && now != "r4":
					t.Errorf("after the fault %s is served", now)
				case err == nil && now != "r4":
					t.Errorf("Publish = nil, but %s is served", now)
				case err != nil && !errors.Is(err, errFault):
					t.Errorf("Publish = %v, want the injected fault", err)
				}
				completes(t, dir, src["r4"])
			})
		}
	}
}

// completes runs once more, without faults.
func completes(t *testing.T, dir string, src *Source) {
	t.Helper()
	tree := &Tree{local{dir}}
	publish(t, tree, src, 3)
	if now := served(t, dir); now != "r4" {
		t.Errorf("after the next run %s is served", now)
	}
	if got := show(t, tree); got != "r4* r3- r2" {
		t.Errorf("after the next run the tree has %s", got)
	}
	left, err := filepath.Glob(filepath.Join(dir, "releases", ".*"))
	must(t, err)
	for _, l := range left {
		if !strings.HasSuffix(l, ".before") {
			t.Errorf("after the next run there is %s", l)
		}
	}
	if tops, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(tops) != 0 {
		t.Errorf("after the next run there is %v, %v", tops, err)
	}
	if name, err := tree.Rollback(t.Context(), options(&heard{})); err != nil || name != "r3" {
		t.Errorf("Rollback = %s, %v; want r3", name, err)
	}
	served(t, dir)
}

func TestEveryFaultOfARollback(t *testing.T) {
	inMemory(t)
	src := []*Source{source(t, "r1"), source(t, "r2")}
	template := treeDir(t)
	for _, s := range src {
		publish(t, &Tree{local{template}}, s, 3)
	}
	lay := func(t *testing.T) string { return copyTree(t, template) }
	sound := &faulty{store: local{lay(t)}, at: -1}
	if _, err := (&Tree{sound}).Rollback(t.Context(), options(&heard{})); err != nil {
		t.Fatal(err)
	}
	for at := range sound.count {
		dir := lay(t)
		_, err := (&Tree{&faulty{store: local{dir}, at: at}}).Rollback(t.Context(), options(&heard{}))
		if now := served(t, dir); now == "r1" {
			continue // the switch was done; only the lock is left
		} else if !errors.Is(err, errFault) {
			t.Errorf("fault %d: Rollback = %v", at, err)
		}
		if name, err := (&Tree{local{dir}}).Rollback(t.Context(), options(&heard{})); err != nil || name != "r1" {
			t.Errorf("after fault %d: Rollback = %s, %v", at, name, err)
		}
	}
}

// inMemory puts the test's folders where fsync costs nothing, if there is such a
// place: the test makes thousands of them.
func inMemory(t *testing.T) {
	t.Helper()
	if dir, err := os.MkdirTemp("/dev/shm", "tench"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		t.Setenv("TMPDIR", dir)
	}
}

// copyTree copies a tree with its times and links.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	dir := treeDir(t)
	if out, err := exec.Command("cp", "-a", from+"/.", dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
