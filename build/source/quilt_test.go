package source

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/release"
)

// debianTree is the folder debian/ of a source package: files by their path.
func debianTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// quilted is a recipe that takes the patches with these texts.
func quilted(skip []string, taken map[string]string) release.Recipe {
	r := recipe()
	r.Quilt = release.Quilt{Part: "debian", Skip: skip, SHA256: map[string]string{}}
	for name, text := range taken {
		r.Quilt.SHA256[name] = pinFor("", []byte(text)).SHA256
	}
	return r
}

func TestQuilt(t *testing.T) {
	const a, b = "patch a", "patch b"
	files := map[string]string{"patches/series": "# for security\nz.patch\n\nsub/b.patch -p1 # backported\nmanual.patch\n",
		"patches/z.patch": a, "patches/sub/b.patch": b, "patches/manual.patch": "m"}
	both := map[string]string{"z.patch": a, "sub/b.patch": b}
	for name, tc := range map[string]struct {
		recipe   release.Recipe
		files    map[string]string // beside or instead of those above
		followed bool
		want     string // names in their order
		err      string
	}{
		"as the series has them": {recipe: quilted([]string{"manual.patch"}, both), want: "z.patch sub/b.patch"},
		"only some":              {recipe: quilted([]string{"*.patch"}, map[string]string{"z.patch": a, "sub/b.patch": b}), want: "z.patch sub/b.patch"},
		"neither":                {recipe: quilted(nil, both), err: "neither taken nor skipped: \"manual.patch\" = \"" + pinFor("", []byte("m")).SHA256},
		"another content": {recipe: quilted([]string{"manual.patch"}, map[string]string{"z.patch": a, "sub/b.patch": "x"}),
			err: "sub/b.patch: its SHA-256 is " + pinFor("", []byte(b)).SHA256},
		"gone": {recipe: quilted([]string{"manual.patch"}, map[string]string{"z.patch": a, "sub/b.patch": b, "c.patch": "c"}),
			err: "c.patch: it is not in the series"},
		"skips what is not there": {recipe: quilted([]string{"manual.patch", "c*"}, both), err: `skip "c*": nothing in the series`},
		"followed": {recipe: quilted([]string{"manual.patch", "c*"}, map[string]string{"z.patch": "was another", "old.patch": "o"}), followed: true,
			want: "z.patch sub/b.patch"},
		"no series":        {recipe: quilted(nil, both), files: map[string]string{"patches/series": ""}, err: "z.patch: it is not in the series"},
		"no patch":         {recipe: quilted(nil, both), files: map[string]string{"patches/series": "y.patch\n"}, err: "read patch: "},
		"outside":          {recipe: quilted(nil, both), files: map[string]string{"patches/series": "z.patch\n../../etc/passwd\n"}, err: `line 2: "../../etc/passwd" is not the name of a patch`},
		"option":           {recipe: quilted(nil, both), files: map[string]string{"patches/series": "z.patch -R\n"}, err: `line 1: options "-R"; only -p1`},
		"twice":            {recipe: quilted(nil, both), files: map[string]string{"patches/series": "z.patch\nz.patch\n"}, err: "line 2: z.patch is named twice"},
		"followed, folder": {recipe: quilted(nil, both), files: map[string]string{"patches/series": "sub\n"}, followed: true, err: "it is no file"},
	} {
		t.Run(name, func(t *testing.T) {
			all := map[string]string{}
			for _, m := range []map[string]string{files, tc.files} {
				for name, text := range m {
					all[name] = text
				}
			}
			tree := debianTree(t, all)
			got, err := Quilt(tc.recipe, Fetched{Name: "x.debian.tar.xz", Followed: tc.followed}, tree)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("Quilt = %v\nwant %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Fields(tc.want), patchNames(got)); diff != "" {
				t.Errorf("Quilt (-want +got)\n%s", diff)
			}
			out := t.TempDir()
			if err := KeepPatches(got, out); err != nil {
				t.Fatal(err)
			}
			kept, err := Kept(out, "debian")
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range kept {
				if p.Name != got[i].Name || p.SHA256 != got[i].SHA256 || p.Part != "debian" {
					t.Errorf("Kept has %+v, want %+v", p, got[i])
				}
				wantContent(t, p.Path, []byte(files["patches/"+p.Name]))
			}
		})
	}
}

func patchNames(patches []release.Patch) []string {
	var names []string
	for _, p := range patches {
		names = append(names, p.Name)
	}
	return names
}

// A link in the package must not make a file of this machine a patch.
func TestQuiltFollowsNoLinks(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string]func(tree string) error{
		"patch":  func(tree string) error { return os.Symlink(secret, filepath.Join(tree, "patches/a.patch")) },
		"folder": func(tree string) error { return os.Symlink(filepath.Dir(secret), filepath.Join(tree, "patches/sub")) },
		"patches": func(tree string) error {
			if err := os.Rename(filepath.Join(tree, "patches"), secret+".d"); err != nil {
				return err
			}
			return os.Symlink(secret+".d", filepath.Join(tree, "patches"))
		},
	} {
		series := map[string]string{"patch": "a.patch\n", "folder": "sub/secret\n", "patches": "a.patch\n"}[name]
		tree := debianTree(t, map[string]string{"patches/series": series})
		if err := link(tree); err != nil {
			t.Fatal(err)
		}
		if got, err := Quilt(quilted(nil, nil), Fetched{Followed: true}, tree); err == nil {
			t.Errorf("%s: Quilt = %v, want an error", name, got)
		}
	}
}

// TestQuiltAsDebian applies the series of a source package that dpkg-source
// made, and compares the tree with the one that dpkg-source makes of it.
func TestQuiltAsDebian(t *testing.T) {
	need(t, "dpkg-source", "patch", "xz")
	dir := t.TempDir()
	original := map[string]string{"version": "one\n", "b.c": "1\n2\n3\n"}
	orig := archive(t, entry{name: "x/", kind: '5', mode: 0o755}, entry{name: "x/version", text: original["version"], mode: 0o644}, entry{name: "x/b.c", text: original["b.c"], mode: 0o644})
	if err := os.WriteFile(filepath.Join(dir, "x_1.orig.tar.xz"), pipe(t, orig, "xz"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree := debianTree(t, map[string]string{
		"version": "one\n", "b.c": "1\n2\n3\n",
		"debian/control":              "Source: x\nMaintainer: nobody <nobody@localhost>\n\nPackage: x\nArchitecture: any\nDescription: a\n",
		"debian/changelog":            "x (1-1) bookworm; urgency=low\n\n  * a\n\n -- nobody <nobody@localhost>  Sat, 21 Nov 2026 00:00:00 +0000\n",
		"debian/source/format":        "3.0 (quilt)\n",
		"debian/patches/series":       "# in this order\nsecond.patch\nfirst.patch\n",
		"debian/patches/second.patch": "--- a/version\n+++ b/version\n@@ -1 +1 @@\n-one\n+two\n",
		"debian/patches/first.patch":  "--- a/version\n+++ b/version\n@@ -1 +1,2 @@\n two\n+three\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1 @@\n+new\n",
	})
	for _, args := range [][]string{{"--build", tree}, {"--extract", "x_1-1.dsc", "theirs"}} {
		cmd := exec.Command("dpkg-source", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dpkg-source %s: %v\n%s", args[0], err, out)
		}
	}
	packed, err := os.ReadFile(filepath.Join(dir, "x_1-1.debian.tar.xz"))
	if err != nil {
		t.Fatal(err)
	}
	ours, debian := filepath.Join(t.TempDir(), "ours"), filepath.Join(t.TempDir(), "debian")
	for to, data := range map[string][]byte{ours: orig, debian: packed} {
		if err := Unpack(t.Context(), file(t, "a.tar", data, release.Unpack{}), to, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	patches, err := Quilt(quilted(nil, nil), Fetched{Followed: true}, debian)
	if err != nil {
		t.Fatal(err)
	}
	if err := Patch(t.Context(), patches, ours, nil); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(dir, "theirs")
	for _, extra := range []string{"debian", ".pc"} {
		if err := os.RemoveAll(filepath.Join(theirs, extra)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(contents(t, theirs), contents(t, ours)); diff != "" {
		t.Errorf("the patched tree (-dpkg-source +ours)\n%s", diff)
	}
}

func FuzzSeriesNames(f *testing.F) {
	f.Add("# a\na.patch\n\nsub/b.patch -p1 # why\n")
	f.Add("../a\n-R\n\x00\n/a -p0\n")
	f.Fuzz(func(t *testing.T, text string) {
		names, err := seriesNames(text)
		if err != nil {
			return
		}
		for _, name := range names {
			if !release.PatchName(name) || !filepath.IsLocal(name) {
				t.Errorf("seriesNames lets through %q", name)
			}
		}
	})
}
