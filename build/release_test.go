package build

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/build/cache"
	"tench/build/source"
	"tench/release"
)

// copyTree copies what of the real tree a build reads, without our own code but
// that of the quick steps.
func copyTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"boards", "release", "overlays", "build/disk", "build/isa", "build/rootfs", "build/userland/commands", "internal/flist"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join("..", dir))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(root, "release/release.lock")); err != nil { // tests write their own
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum", "build/flist"} {
		data, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(root, name), string(data))
	}
	return root
}

// twoReleases is copyTree with the release "next", which differs in its bird.
func twoReleases(t *testing.T) string {
	t.Helper()
	root := copyTree(t)
	for file, change := range map[string][2]string{
		"release.toml":             {"name = \"2026.11\"", "name = \"next\""},
		"recipes/bird/recipe.toml": {"\"2.0.12\"", "\"2.0.13\""},
	} {
		data, err := os.ReadFile(filepath.Join("../release", file))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(data), change[0], change[1], 1)
		text = strings.Replace(text, `bird         = "2.0.12"`, `bird         = "2.0.13"`, 1)
		writeFile(t, filepath.Join(root, "release/next", file), text)
	}
	return root
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestTwoReleasesOfABoardAreKeptApart(t *testing.T) {
	root, dir := twoReleases(t), t.TempDir()
	b, err := boards.Load(filepath.Join(root, "boards"), "apu2")
	if err != nil {
		t.Fatal(err)
	}
	var keys, lines []string
	disks := map[uint32]bool{}
	for _, name := range []string{"", "next"} {
		p, err := newPlan(b, Options{Root: root, Release: name, Cache: dir, Out: filepath.Join(dir, name), Report: &reports{}})
		if err != nil {
			t.Fatal(err)
		}
		bird, err := p.recipe("bird")
		if err != nil {
			t.Fatal(err)
		}
		linux, err := p.recipe("linux")
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("bird %s, linux of %s", bird.Version, strings.TrimPrefix(linux.Dir, root)))
		disks[p.id.DiskID()] = true
		product, err := p.data(t.Context(), []byte("hostname = \"a\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, product.Key)
		p.saveHistory()

		var out strings.Builder
		if err := Explain(&out, p.release, b, dir); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"": "apu2, built ", "next": "next/apu2, built "}[name]
		if !strings.HasPrefix(out.String(), want) || strings.Count(out.String(), "never built before") != 1 {
			t.Errorf("Explain of release %q prints %q", name, out.String())
		}
	}
	want := []string{"bird 2.0.12, linux of /release/recipes/linux", "bird 2.0.13, linux of /release/recipes/linux"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("recipes (-want +got)\n%s", diff)
	}
	if len(disks) != 2 || keys[0] == keys[1] {
		t.Errorf("disk ids %v and keys %v, want two of each", disks, keys)
	}
}

// fakeTools puts programs of the boards' names, which say that they have this
// version, in front of the machine's own.
func fakeTools(t *testing.T, version string, list ...boards.Board) {
	t.Helper()
	dir := t.TempDir()
	for _, b := range list {
		for _, name := range lockedTools(b) {
			script := fmt.Sprintf("#!/bin/sh\necho '%s %s'\n", name, version)
			if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestStrict(t *testing.T) {
	b, err := boards.Load("../boards", "apu2")
	if err != nil {
		t.Fatal(err)
	}
	qemu, err := boards.Load("../boards", "qemu-amd64")
	if err != nil {
		t.Fatal(err)
	}
	fakeTools(t, "1.0", b)
	type change struct{ file, text string } // below the root; no text removes it
	for name, tc := range map[string]struct {
		board   boards.Board
		changes []change
		want    string // the lines of the error; "" for none
	}{
		"nothing changed": {b, nil, ""},
		"a patch": {b, []change{{"release/recipes/gmp/patches/0001-no-manual.patch", "x"}},
			"patch gmp/0001-no-manual.patch: locked "},
		"a patch of a program that the board has not": {qemu, []change{{"release/recipes/gmp/patches/0001-no-manual.patch", "x"}}, ""},
		"one patch less": {b, []change{{"release/recipes/gmp/patches/0001-no-manual.patch", ""}, {"release/recipes/gmp/patches/series", "# none\n"}},
			"patch gmp/0001-no-manual.patch: locked "},
		"a fragment":              {b, []change{{"release/recipes/linux/fragments/pc.config", "x"}}, "fragment linux/pc.config: locked "},
		"a fragment of others":    {b, []change{{"release/recipes/linux/fragments/sunxi.config", "x"}}, ""},
		"an overlay":              {b, []change{{"overlays/common/etc/hosts", "x"}}, "overlay common: locked "},
		"list of an overlay":      {b, []change{{"overlays/common.flist", "x"}}, "overlay common.flist: locked "},
		"its board file":          {b, []change{{"boards/apu2/router.toml", "x"}}, "board apu2: locked "},
		"another board's file":    {b, []change{{"boards/vm/router.toml", "x"}}, ""},
		"the modules of the box":  {b, []change{{"go.sum", "x"}}, "module go.sum: locked "},
		"several things":          {b, []change{{"go.sum", "x"}, {"overlays/common/etc/hosts", "x"}}, "overlay common: |module go.sum: "},
		"a recipe that is needed": {b, []change{{"release/recipes/bird/recipe.toml", recipeWith(t, "bird", "1307984", "1307985")}}, "recipe bird: |source bird/source/bird2_2.0.12.orig.tar.gz: locked 3ec462a237d0 (1307984 bytes), found 3ec462a237d0 (1307985 bytes)"},
	} {
		t.Run(name, func(t *testing.T) {
			root := twoReleases(t)
			writeLock(t, root, tc.board)
			for _, c := range tc.changes {
				path := filepath.Join(root, c.file)
				if c.text != "" {
					writeFile(t, path, c.text)
				} else if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			err := checkStrict(t, root, tc.board)
			if (err == nil) != (tc.want == "") {
				t.Fatalf("checkLock = %v, want %q", err, tc.want)
			}
			if err == nil {
				return
			}
			lines := strings.Split(err.Error(), "\n")
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "hint: tench lock notes it") {
				t.Errorf("the error ends with %q", last)
			}
			for want := range strings.SplitSeq(tc.want, "|") {
				if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  "+want) }) {
					t.Errorf("%v\nhas no line %q", err, want)
				}
			}
		})
	}
}

// recipeWith is a recipe of the tree with one text instead of another.
func recipeWith(t *testing.T, name, old, new string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../release/recipes", name, release.RecipeFile))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(data), old, new, 1)
}

func writeLock(t *testing.T, root string, list ...boards.Board) {
	t.Helper()
	r, err := release.LoadRelease(filepath.Join(root, "release"), "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := Lock(t.Context(), root, r, list)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Write(r.LockPath()); err != nil {
		t.Fatal(err)
	}
}

func checkStrict(t *testing.T, root string, b boards.Board) error {
	t.Helper()
	p, err := newPlan(b, Options{Root: root, Strict: true, Cache: t.TempDir(), Report: &reports{}})
	if err != nil {
		t.Fatal(err)
	}
	return p.prepare(t.Context())
}

func TestStrictWithAnotherTool(t *testing.T) {
	b, err := boards.Load("../boards", "apu2")
	if err != nil {
		t.Fatal(err)
	}
	root := twoReleases(t)
	fakeTools(t, "1.0", b)
	writeLock(t, root, b)
	fakeTools(t, "2.0", b)
	err = checkStrict(t, root, b)
	for _, tool := range []string{"gcc", "ld", "x86_64-linux-gnu-gcc", "zstd", "xz", "mke2fs", "make", "flex", "bison"} {
		if want := fmt.Sprintf("\n  tool %s: locked %s 1.0, found %s 2.0", tool, tool, tool); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("checkLock = %v\nwant %s", err, want)
		}
	}
}

func TestStrictWithoutALock(t *testing.T) {
	root := twoReleases(t)
	b, err := boards.Load("../boards", "apu2")
	if err != nil {
		t.Fatal(err)
	}
	err = checkStrict(t, root, b)
	if want := root + "/release/release.lock\nhint: tench lock --all-boards writes it"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("checkLock = %v, want …%s", err, want)
	}
	fakeTools(t, "1.0", b)
	writeLock(t, root, b)
	arm, err := boards.Load("../boards", "nanopi-neo")
	if err != nil {
		t.Fatal(err)
	}
	err = checkStrict(t, root, arm)
	if want := "was made for amd64; it names no tools for arm, the CPU of nanopi-neo\nhint: tench lock --all-boards"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("checkLock = %v, want …%s…", err, want)
	}
}

// A release's manifest lists the code of the quick steps: it must be the same in
// every clone, whatever the umask there.
func TestCodeIsThatOfGit(t *testing.T) {
	hash := func(mode os.FileMode, libraries string) string {
		p := &plan{o: Options{Root: t.TempDir()}}
		file := filepath.Join(p.o.Root, "build/disk/disk.go")
		writeFile(t, file, "package disk")
		writeFile(t, filepath.Join(p.o.Root, "go.mod"), libraries)
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		in, err := p.code("build/disk")
		if err != nil {
			t.Fatal(err)
		}
		return in.Hash
	}
	if hash(0o644, "one") != hash(0o600, "one") {
		t.Error("the umask makes another hash")
	}
	if hash(0o644, "one") == hash(0o644, "two") {
		t.Error("other libraries make no other hash")
	}
}

func TestCommitOfALock(t *testing.T) {
	dir := t.TempDir()
	if name, clean := commit(t.Context(), dir); name != "" || clean {
		t.Errorf("commit without git = %q, %v", name, clean)
	}
	git := func(args ...string) {
		args = append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@x.test"}, args...)
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git: %v\n%s", err, out)
		}
	}
	writeFile(t, filepath.Join(dir, "release/release.toml"), "x")
	git("init", "-q")
	git("add", "-A")
	git("commit", "-q", "-m", "x")
	writeFile(t, filepath.Join(dir, "release/release.lock"), "a lock is no change of what it locks")
	writeFile(t, filepath.Join(dir, "release/next/release.lock"), "x")
	if name, clean := commit(t.Context(), dir); len(name) != 40 || !clean {
		t.Errorf("commit = %q, %v; want a hash, clean", name, clean)
	}
	writeFile(t, filepath.Join(dir, "release/release.toml"), "y")
	if _, clean := commit(t.Context(), dir); clean {
		t.Error("a changed tree is clean")
	}
}

// A later fragment of the kernel's configuration goes before an earlier one, so that
// their order is in the key.
func TestOrderOfFragmentsIsInTheKey(t *testing.T) {
	p, _ := newTestPlan(t)
	fakeTools(t, "1.0", p.b)
	logs := map[string][]string{}
	for _, fragments := range [][]string{{"base", "net"}, {"net", "base"}} {
		p.b.Kernel.Fragments = fragments
		_, err := p.kernel(t.Context(), source.Fetched{Name: "x", SHA256: "1", Path: "nothing"})
		var failed *cache.StepError
		if !errors.As(err, &failed) {
			t.Fatalf("a kernel of nothing = %v", err)
		}
		logs[failed.Log] = fragments // its path has the key
	}
	if len(logs) != 2 {
		t.Errorf("both have one key: %v", logs)
	}
}
