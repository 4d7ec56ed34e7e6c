package source

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/release"
)

// addSources puts source packages "bird2", one for each Debian version, into the
// archive, made by Debian's own tools, and returns their upstream archives.
func (a *archiveServer) addSources(t *testing.T, versions ...string) map[string][]byte {
	t.Helper()
	need(t, "dpkg-source", "apt-ftparchive", "xz")
	dir := t.TempDir()
	pool := filepath.Join(dir, "pool")
	if err := os.Mkdir(pool, 0o755); err != nil {
		t.Fatal(err)
	}
	origs := map[string][]byte{}
	for _, v := range versions {
		orig := archive(t, entry{name: "bird2/", kind: '5', mode: 0o755}, entry{name: "bird2/version", text: v, mode: 0o644})
		orig = pipe(t, orig, "xz")
		origs[v] = orig
		tree := filepath.Join(dir, "bird2-"+v)
		control := "Source: bird2\nMaintainer: nobody <nobody@localhost>\n\nPackage: bird2\nArchitecture: any\nDescription: a\n"
		changelog := "bird2 (" + v + ") bookworm; urgency=low\n\n  * a\n\n -- nobody <nobody@localhost>  Sat, 21 Nov 2026 00:00:00 +0000\n"
		for name, text := range map[string]string{"debian/control": control, "debian/changelog": changelog, "debian/source/format": "3.0 (quilt)\n", "version": v} {
			path := filepath.Join(tree, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(pool, origName(v)), orig, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("dpkg-source", "--build", tree)
		cmd.Dir = pool
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dpkg-source: %v: %s", err, out)
		}
	}
	cmd := exec.Command("apt-ftparchive", "sources", "pool")
	cmd.Dir = dir
	index, err := cmd.Output()
	if err != nil {
		t.Fatalf("apt-ftparchive: %v", err)
	}
	a.sources = index
	paths, _ := filepath.Glob(filepath.Join(pool, "*"))
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		a.files["pool/"+filepath.Base(p)] = data
	}
	return origs
}

func origName(version string) string { return "bird2_" + upstream(version) + ".orig.tar.xz" }

func pipe(t *testing.T, in []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// birdRecipe pins the upstream archive of one version of the source package.
func birdRecipe(version string, orig []byte) release.Recipe {
	r := recipe(fileFor(origName(version), orig, release.Location{DebianSource: &release.DebianSource{Package: "bird2", Version: version}}))
	r.Name, r.Version, r.Series = "bird", upstream(version), "2.0"
	return r
}

func TestDebianSource(t *testing.T) {
	key := newSigner(t)
	const version = "2.0.12-7"
	for name, tc := range map[string]struct {
		change func(a *archiveServer, r *release.Recipe)
		err    string
	}{
		"directly": {func(*archiveServer, *release.Recipe) {}, ""},
		"by apt":   {func(a *archiveServer, _ *release.Recipe) { a.onlyApt = true }, ""},
		"another file of it": {func(a *archiveServer, r *release.Recipe) {
			const dsc = "bird2_" + version + ".dsc"
			l := r.Files[0].Locations
			r.Files[0] = fileFor(dsc, a.files["pool/"+dsc], l...)
		}, ""},
		"no such version": {func(_ *archiveServer, r *release.Recipe) {
			r.Files[0].Locations[0].DebianSource.Version = "2.0.13-1"
		}, "Unable to find a source package"},
		"no such file": {func(_ *archiveServer, r *release.Recipe) { r.Files[0].Name = "bird.tar.gz" },
			"the source package has no file bird.tar.gz; it has bird2_2.0.12-7.dsc, bird2_2.0.12.orig.tar.xz, bird2_2.0.12-7.debian.tar.xz"},
		"another hash": {func(_ *archiveServer, r *release.Recipe) { r.Files[0].SHA256 = strings.Repeat("0", 64) },
			"its SHA-256 is "},
		"file was changed": {func(a *archiveServer, _ *release.Recipe) { a.files["pool/"+origName(version)] = noise(100) },
			"has unexpected size"},
		"index was changed": {func(a *archiveServer, _ *release.Recipe) {
			path := "dists/bookworm/" + sourcesPath
			a.files[path] = bytes.ReplaceAll(a.files[path], []byte("bird2"), []byte("bard2"))
		}, "Hash Sum mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t, key)
			orig := a.addSources(t, version, "2.0.13-2")[version]
			a.publish(t, key)
			r := birdRecipe(version, orig)
			tc.change(a, &r)
			s := openStore(t, filepath.Join(t.TempDir(), "a cache"))
			got, err := s.Fetch(t.Context(), r, "source", Options{Strict: true, Archive: a.Archive})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("Fetch = %v\nwant %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantContent(t, got.Path, a.files["pool/"+r.Files[0].Name])
			if got.From != "Debian source package bird2=2.0.12-7" {
				t.Errorf("From = %s", got.From)
			}
			if left, _ := filepath.Glob(filepath.Join(s.dir, "apt/source/download/*")); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestNewerInArchive(t *testing.T) {
	key := newSigner(t)
	a := newArchive(t, key)
	deb := a.add(t, "6.12.117-1~deb12u1")
	a.add(t, "6.12.119-1~deb12u1")
	a.add(t, "6.12.99-1~deb12u1")
	a.add(t, "6.120.1-1~deb12u1") // another series
	orig := a.addSources(t, "2.0.12-7", "2.0.13-2", "2.1-1")
	a.publish(t, key)
	s := openStore(t, t.TempDir())
	for name, tc := range map[string]struct {
		recipe release.Recipe
		want   string
	}{
		"package":                  {aptRecipe("6.12.117-1~deb12u1", deb), "6.12.119-1~deb12u1"},
		"package of its series":    {aptRecipe("6.12.119-1~deb12u1", deb), "6.120.1-1~deb12u1"},
		"source package":           {birdRecipe("2.0.12-7", orig["2.0.12-7"]), "2.0.13-2"},
		"source package, newest":   {birdRecipe("2.1-1", orig["2.1-1"]), ""},
		"source package not there": {birdRecipe("2.2-1", orig["2.1-1"]), ""},
	} {
		got := s.Newer(t.Context(), tc.recipe, "source", Options{Archive: a.Archive})
		if diff := cmp.Diff([]Candidate{{Location: tc.recipe.Files[0].Locations[0], Version: tc.want}}, got); diff != "" {
			t.Errorf("%s: Newer (-want +got)\n%s", name, diff)
		}
	}
	got := s.Newer(t.Context(), birdRecipe("2.0.12-7", nil), "source", Options{Offline: true})
	if len(got) != 1 || got[0].Err == nil {
		t.Errorf("Newer offline = %+v, want an error", got)
	}
}

func FuzzPrintedURIs(f *testing.F) {
	f.Add("Reading package lists...\n'http://x/a.dsc' a.dsc 12 SHA256:016495e18b9ec24336b466cbebc6e32a01815a56c4dfbb77d4791b791910f11b\n")
	f.Add("'http://x/a' ../a 12 SHA512:0\n")
	f.Fuzz(func(t *testing.T, out string) {
		for _, file := range printedURIs(out) {
			if file.uri == "" || filepath.Base(file.name) != file.name || file.name[0] == '.' {
				t.Errorf("printedURIs lets through %+v", file)
			}
		}
	})
}

func FuzzStanzas(f *testing.F) {
	f.Add("Package: bird2\nVersion: 2.0.12-7\nFiles:\n db 1 a.dsc\n\nPackage: bird2\nVersion: 1:2.1-1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range stanzas(text) {
			if len(s) == 0 {
				t.Error("an empty stanza")
			}
			for key := range s {
				if strings.HasPrefix(key, " ") || strings.Contains(key, "\n") {
					t.Errorf("%q is no field", key)
				}
			}
			_ = upstream(s["Version"])
		}
	})
}

// What a killed run left in apt's folder is in nobody's way.
func TestSourceLeftByAKilledRun(t *testing.T) {
	key := newSigner(t)
	a := newArchive(t, key)
	const version = "2.0.12-7"
	orig := a.addSources(t, version)[version]
	a.publish(t, key)
	s := openStore(t, t.TempDir())
	dir := filepath.Join(s.dir, "apt/source/download")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, origName(version)), orig, 0o644)); err != nil {
		t.Fatal(err)
	}
	got, err := s.Fetch(t.Context(), birdRecipe(version, orig), "source", Options{Strict: true, Archive: a.Archive})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, got.Path, orig)
}
