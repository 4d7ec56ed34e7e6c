package labs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
)

// TestFaultsInputs spoils one input after the other. Each build must fail and
// say why, leave no product of what was spoilt, and be done when it is mended.
func TestFaultsInputs(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	tree := newTinyTree(t)
	want := tree.build(t, tinyBuild{cache: t.TempDir()})
	linux := filepath.Join(tree.mirror, "linux-source.tar")
	for name, tc := range map[string]struct {
		path  string
		spoil func(whole []byte) []byte // nil removes the file
		want  string
	}{
		"truncated source":      {linux, func(w []byte) []byte { return w[:len(w)/2] }, "not from " + linux + ": it has 20480 bytes, not 40960"},
		"wrong source":          {linux, func(w []byte) []byte { return append(bytes.Clone(w[1:]), 'x') }, "not from " + linux + ": its SHA-256 is "},
		"mirror answers a page": {linux, func([]byte) []byte { return []byte("<html><body>not found</body></html>") }, "not from " + linux + ": it has 35 bytes, not 40960"},
		"no source":             {linux, nil, "tench: offline: these files are not in the store:\n  linux source:\n    linux-source.tar  (40960 bytes)"},
		"no Debian patches":     {filepath.Join(tree.mirror, "hello-debian.tar"), nil, "tench: offline: these files are not in the store:\n  hello debian:\n    hello-debian.tar  (10240 bytes)"},
		"patch that needs fuzz": {filepath.Join(tree.dir, "release/recipes/linux/patches/0001-one-more.patch"),
			func(w []byte) []byte { return bytes.ReplaceAll(w, []byte("return a;"), []byte("return b;")) },
			"patch 0001-one-more.patch: does not apply: unit0.c: Hunk #1 FAILED at 1"},
		"symbol that cannot be had": {filepath.Join(tree.dir, "release/recipes/linux/fragments/base.config"),
			func(w []byte) []byte { return append(bytes.Clone(w), "CONFIG_UNKNOWN=y\n"...) },
			"UNKNOWN=y is wanted by base.config:2 but is n: there is no such symbol"},
	} {
		t.Run(name, func(t *testing.T) {
			b := tinyBuild{cache: t.TempDir()}
			whole, err := os.ReadFile(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			if err = os.Remove(tc.path); err == nil && tc.spoil != nil {
				err = os.WriteFile(tc.path, tc.spoil(whole), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			tree.fails(t, b, tc.want, "hint: ")
			checkCache(t, b.cache)
			if made, _ := filepath.Glob(filepath.Join(b.cache, "steps", "kernel", "*")); len(made) > 0 {
				t.Errorf("there is a kernel: %v", made)
			}
			if err := os.WriteFile(tc.path, whole, 0o644); err != nil {
				t.Fatal(err)
			}
			tree.rebuild(t, b, want) // with what the failed build left
		})
	}
}

// TestFaultsPlaces builds where nobody would expect it to go well.
func TestFaultsPlaces(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	tree := newTinyTree(t)
	want := tree.build(t, tinyBuild{cache: t.TempDir()})

	t.Run("spaces in the path", func(t *testing.T) {
		tree.fails(t, tinyBuild{cache: filepath.Join(t.TempDir(), "my cache")}, `my cache: make takes no folder with ' ' in its name`, "hint: set TENCH_CACHE to")
	})
	t.Run("missing mirror", func(t *testing.T) {
		gone := filepath.Join(t.TempDir(), "stick")
		b := tinyBuild{cache: t.TempDir(), env: []string{"TENCH_MIRROR=" + gone}}
		tree.fails(t, b, "tench: offline: these files are not in the store:", "not from "+gone+": there is no such folder", "hint: ")
		checkCache(t, b.cache)
		b.env = nil
		tree.rebuild(t, b, want)
	})
	t.Run("no home", func(t *testing.T) {
		tree.fails(t, tinyBuild{env: []string{"HOME="}}, "tench: find the cache: ", "hint: set TENCH_CACHE to a folder")
	})
	t.Run("a file where the cache should be", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "cache")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		tree.fails(t, tinyBuild{cache: file}, "cache: open: ", "hint: set TENCH_CACHE to a folder")
	})
	t.Run("files from the future", func(t *testing.T) {
		b := tinyBuild{cache: t.TempDir()}
		tree.build(t, b)
		future := time.Now().AddDate(5, 0, 0)
		err := errors.Join(
			filepath.WalkDir(b.cache, func(path string, _ os.DirEntry, err error) error {
				return errors.Join(err, os.Chtimes(path, future, future))
			}),
			os.RemoveAll(tree.out()))
		if err != nil {
			t.Fatal(err)
		}
		tree.rebuild(t, b, want)
	})
}

func TestFaultsReadOnlyCache(t *testing.T) {
	lab.RequireRoot(t, append(tinyNeeds, "mount", "umount")...)
	tree, b := newTinyTree(t), tinyBuild{cache: t.TempDir()}
	mount(t, b.cache, "-o", "ro", "-t", "tmpfs", "tmpfs")
	tree.fails(t, b, "read-only file system", "hint: set TENCH_CACHE to a folder")
}

// TestFaultsTwoAtOnce builds two configurations of one board with one cache at
// the same time: each step is made once, and the checksums are the image's.
func TestFaultsTwoAtOnce(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	tree, b := newTinyTree(t), tinyBuild{cache: t.TempDir()}
	config := filepath.Join(t.TempDir(), "router.toml")
	if err := os.WriteFile(config, []byte("hostname = \"other\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	one, oneSaid := tree.command(t, b)
	two, twoSaid := tree.command(t, b)
	two.Args = append(two.Args, "--config", config)
	if err := errors.Join(one.Start(), two.Start()); err != nil {
		t.Fatal(err)
	}
	for said, cmd := range map[*bytes.Buffer]*exec.Cmd{oneSaid: one, twoSaid: two} {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, said)
		}
	}
	for _, step := range []string{"kernel", "hello", "commands", "tenchd", "grub"} {
		if n := strings.Count(oneSaid.String()+twoSaid.String(), fmt.Sprintf("%-14s built ", step)); n != 1 {
			t.Errorf("%s was built %d times:\n%s%s", step, n, oneSaid, twoSaid)
		}
	}
	tree.check(t, b, tree.imageHash(t))
}
