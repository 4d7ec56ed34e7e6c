package source

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tench/release"
)

// devTree makes a small tree of files.
func devTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "linux")
	for name, mode := range map[string]fs.FileMode{"Makefile": 0o644, "scripts/run.sh": 0o755, "net/a b.c": 0o600, ".git/HEAD": 0o644, "sub/.git": 0o644, "sub/read-only": 0o444} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, testTime, testTime); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../none", filepath.Join(dir, "net", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "net"), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func devRecipe(dir string) release.Recipe {
	return recipe(release.File{Part: "source", Dir: dir})
}

func TestDevelop(t *testing.T) {
	dir := devTree(t)
	s := openStore(t, t.TempDir())
	r := devRecipe("linux")
	r.Dir = filepath.Dir(dir)
	got, err := s.Fetch(t.Context(), r, "source", Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	if !got.Development || got.Name != "linux" || got.From != dir || got.Version != "6.12.117" {
		t.Errorf("Fetch = %+v", got)
	}
	if list := s.Newer(t.Context(), r, "source", Options{}); list != nil {
		t.Errorf("Newer = %+v, want nothing", list)
	}
	tree := filepath.Join(t.TempDir(), "tree")
	if err := Unpack(t.Context(), got, tree, Options{}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("diff", "--recursive", "--no-dereference", "--exclude=.git", dir, tree).CombinedOutput()
	if err != nil {
		t.Errorf("diff: %v: %s", err, out)
	}
	if stat(t, dir) != stat(t, tree) {
		t.Errorf("the copy differs\n%s\nfrom\n%s", stat(t, tree), stat(t, dir))
	}
	for _, name := range []string{".git", "sub/.git"} {
		if _, err := os.Lstat(filepath.Join(tree, name)); err == nil {
			t.Errorf("%s was copied", name)
		}
	}
}

// stat lists names, kinds, modes and times of files as find(1) sees them.
func stat(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", `find . -name .git -prune -o -type l -printf '%p %l\n' -o -type d -printf '%p %m\n' -o -printf '%p %m %s %t %n\n' | sort`)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Whatever makes a difference to a build makes a difference to the hash.
func TestDevelopHash(t *testing.T) {
	hash := func(dir string) (string, error) {
		got, err := openStore(t, t.TempDir()).Fetch(t.Context(), devRecipe(dir), "source", Options{})
		return got.SHA256, err
	}
	for name, tc := range map[string]struct {
		change func(dir string) error
		same   bool
		err    string
	}{
		"nothing":      {func(string) error { return nil }, true, ""},
		"time":         {func(dir string) error { return os.Chtimes(dir+"/Makefile", time.Time{}, time.Unix(1, 0)) }, true, ""},
		"git's data":   {func(dir string) error { return os.WriteFile(dir+"/.git/HEAD", nil, 0o644) }, true, ""},
		"content":      {func(dir string) error { return os.WriteFile(dir+"/Makefile", []byte("makefile"), 0o644) }, false, ""},
		"mode":         {func(dir string) error { return os.Chmod(dir+"/Makefile", 0o755) }, false, ""},
		"folder mode":  {func(dir string) error { return os.Chmod(dir+"/net", 0o700) }, false, ""},
		"name":         {func(dir string) error { return os.Rename(dir+"/Makefile", dir+"/makefile") }, false, ""},
		"empty folder": {func(dir string) error { return os.Mkdir(dir+"/empty", 0o755) }, false, ""},
		"link": {func(dir string) error {
			if err := os.Remove(dir + "/net/link"); err != nil {
				return err
			}
			return os.Symlink("../nine", dir+"/net/link")
		}, false, ""},
		"pipe":      {func(dir string) error { return syscall.Mkfifo(dir+"/pipe", 0o644) }, false, "pipe is neither file, folder nor link"},
		"empty":     {os.RemoveAll, false, "no such file"},
		"no folder": {func(dir string) error { return replaceByFile(dir) }, false, "is no folder, or an empty one"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := devTree(t)
			before, err := hash(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := tc.change(dir); err != nil {
				t.Fatal(err)
			}
			after, err := hash(dir)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("Fetch = %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || (before == after) != tc.same {
				t.Errorf("hashes %s and %s, %v", before, after, err)
			}
		})
	}
}

func replaceByFile(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.WriteFile(dir, nil, 0o644)
}

// A tree that is edited between the hash and the copy is not built.
func TestDevelopIsEditedMeanwhile(t *testing.T) {
	dir := devTree(t)
	got, err := openStore(t, t.TempDir()).Fetch(t.Context(), devRecipe(dir), "source", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte("edited"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(t.TempDir(), "tree")
	err = Unpack(t.Context(), got, tree, Options{})
	if want := fmt.Sprintf("unpack linux: %s was changed while it was copied\nhint: build again", dir); err == nil || err.Error() != want {
		t.Errorf("Unpack = %v, want %s", err, want)
	}
	if _, err := os.Stat(tree); err == nil {
		t.Error("the tree is there")
	}
}
