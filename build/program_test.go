package build

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/build/cache"
	"tench/release"
	"tench/release/signify"
)

// tarOf is an archive with one top folder.
func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: "top/" + name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func hexOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// quiltPlan is a build without the network of a release with the recipe "x",
// whose source and patches are upstream's 1.0 and Debian's 1.0-1.
type quiltPlan struct {
	*plan
	reports       *reports
	source, patch []byte // the pinned files
}

const (
	patchOne = "--- a/version\n+++ b/version\n@@ -1 +1 @@\n-1.0\n+1.0 mended\n"
	patchTwo = "--- a/version\n+++ b/version\n@@ -1 +1 @@\n-1.1\n+1.1 mended\n"
	ownPatch = "--- /dev/null\n+++ b/own\n@@ -0,0 +1 @@\n+own\n"
)

func newQuiltPlan(t *testing.T, order string) quiltPlan {
	t.Helper()
	q := quiltPlan{source: tarOf(t, map[string]string{"version": "1.0\n"}),
		patch: tarOf(t, map[string]string{"patches/series": "one.patch\nmanual.patch\n", "patches/one.patch": patchOne, "patches/manual.patch": "m"})}
	file := func(part, name string, data []byte) string {
		return fmt.Sprintf("[[file]]\npart=%q\nfile=%q\nsize=%d\nsha256=%q\nunpack=\"tar\"\nlocations=[{debian-source=\"xx\",version=\"1.0-1\"}]\n",
			part, name, len(data), hexOf(data))
	}
	root := t.TempDir()
	dir := filepath.Join(root, "release/recipes/x")
	if err := os.MkdirAll(filepath.Join(dir, "patches"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"../../release.toml": "name = \"x\"\nepoch = 2026-11-21T00:00:00Z\n[recipes]\nx = \"1.0\"\n",
		"recipe.toml": "name=\"x\"\nversion=\"1.0\"\nseries=\"1\"\nlicence=\"MIT\"\n" + file("source", "x_1.0.orig.tar.xz", q.source) + file("debian", "x_1.0-1.debian.tar.xz", q.patch) +
			fmt.Sprintf("[quilt]\npart=\"debian\"\norder=%q\nskip=[\"manual*\"]\n[quilt.sha256]\n\"one.patch\"=%q\n[build]\nsteps=[[\"make\"]]\n", order, hexOf([]byte(patchOne))),
		"patches/series":         "0001-own.patch\n",
		"patches/0001-own.patch": ownPatch,
	} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, r := newTestPlan(t)
	loaded, err := release.LoadRelease(filepath.Join(root, "release"), "")
	if err != nil {
		t.Fatal(err)
	}
	p.release = loaded
	p.b.Daemons = []string{"x"}
	q.plan, q.reports = p, r
	return q
}

// keep puts a file into the store.
func (q quiltPlan) keep(t *testing.T, data []byte) {
	t.Helper()
	path := filepath.Join(q.o.Cache, "dl/sha256", hexOf(data)[:2], hexOf(data))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// follow has the store note that a file of Debian's version stands in for a pin.
func (q quiltPlan) follow(t *testing.T, part, name, version string, data []byte) {
	t.Helper()
	q.keep(t, data)
	pinned := map[string][]byte{"source": q.source, "debian": q.patch}[part]
	upstream, _, _ := strings.Cut(version, "-")
	note, err := json.Marshal(map[string]any{"name": name, "size": len(data), "sha256": hexOf(data), "version": upstream, "debian": version,
		"from": "Debian source package x=" + version, "pins": []string{hexOf(pinned)}, "unpack": release.Unpack{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(q.o.Cache, "dl/followed/x-"+part+"-"+hexOf(pinned)[:12]), note, 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree patches the recipe's source, and returns its files and what of it the
// manifest has.
func (q quiltPlan) tree(t *testing.T) (files map[string]string, inputs []string, err error) {
	t.Helper()
	r, err := q.recipe("x")
	if err != nil {
		t.Fatal(err)
	}
	src, quilt, err := q.sourceAndQuilt(t.Context(), r)
	if err != nil {
		return nil, nil, err
	}
	patches, err := q.patchesOf(t.Context(), r, quilt)
	if err != nil {
		return nil, nil, err
	}
	d := daemonBuild{p: q.plan}
	if _, err := d.inputs(r, src, patches); err != nil {
		return nil, nil, err
	}
	var log bytes.Buffer
	dir, err := q.patchedTree(t.Context(), src, patches, cache.Work{Scratch: t.TempDir(), Log: &log, Progress: func(int64, int64, string) {}})
	if err != nil {
		return nil, nil, err
	}
	files = map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	for _, in := range q.inputs {
		line := in.Kind + " " + in.Name
		if in.Version != "" {
			line += " " + in.Version
		}
		if in.Followed {
			line += " followed"
		}
		inputs = append(inputs, line)
	}
	return files, inputs, nil
}

func TestQuiltIsApplied(t *testing.T) {
	for order, want := range map[string][]string{
		"before": {"source x source 1.0", "source x debian 1.0", "patch x debian/one.patch", "patch x 0001-own.patch"},
		"after":  {"source x source 1.0", "source x debian 1.0", "patch x 0001-own.patch", "patch x debian/one.patch"},
	} {
		q := newQuiltPlan(t, order)
		q.keep(t, q.source)
		q.keep(t, q.patch)
		files, inputs, err := q.tree(t)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"version": "1.0 mended\n", "own": "own\n"}, files); diff != "" {
			t.Errorf("%s: the tree (-want +got)\n%s", order, diff)
		}
		if diff := cmp.Diff(want, inputs); diff != "" {
			t.Errorf("%s: inputs of the manifest (-want +got)\n%s", order, diff)
		}
		var l release.Lock
		if err := lockRecipes(&l, q.release); err != nil {
			t.Fatal(err)
		}
		if got := l.Patch["x/debian/one.patch"]; got != hexOf([]byte(patchOne)) || len(l.Patch) != 2 {
			t.Errorf("%s: the lock has the patches %v", order, l.Patch)
		}
	}
}

// A bundle has the signature of the patches, too: without it no machine takes them.
func TestSignatureOfPatchesComesAlong(t *testing.T) {
	q := newQuiltPlan(t, "before")
	public, secret, err := signify.Generate(rand.Reader, "test")
	if err != nil {
		t.Fatal(err)
	}
	signature := secret.Sign(q.patch)
	recipe := &q.release.Recipes[0]
	recipe.Files[1].Signature = &release.Signature{Format: release.Signify, Key: "x.pub", Name: "x.sig", Size: int64(len(signature)), SHA256: hexOf(signature)}
	writeFile(t, filepath.Join(recipe.Dir, "x.pub"), string(public.Marshal()))
	for _, data := range [][]byte{q.source, q.patch, signature} {
		q.keep(t, data)
	}
	files, err := q.withSignature(t.Context(), part{*recipe, "source"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"x_1.0.orig.tar.xz", "x_1.0-1.debian.tar.xz", "x.sig"}, names); diff != "" {
		t.Errorf("files for the bundle (-want +got)\n%s", diff)
	}
}

// Patches go with the version that they are for: where one file of a source
// package was followed, the other is of the same version.
func TestSourceAndQuiltMoveTogether(t *testing.T) {
	newSource := tarOf(t, map[string]string{"version": "1.1\n"})
	newPatch := tarOf(t, map[string]string{"patches/series": "manual.patch\ntwo.patch\n", "patches/two.patch": patchTwo, "patches/manual.patch": "m"})
	newRevision := tarOf(t, map[string]string{"patches/series": "one.patch\nmore.patch\n", "patches/one.patch": patchOne,
		"patches/more.patch": "--- a/version\n+++ b/version\n@@ -1 +1,2 @@\n 1.0 mended\n+twice\n"})
	for name, tc := range map[string]struct {
		pinned, followed string // parts that the store has
		version          string // that the followed ones are of
		want             string // in the file version; "" for an error
		marked           []string
	}{
		"patches of a new revision": {"source debian", "debian", "1.0-2", "1.0 mended\n", nil}, // the pinned file is there yet
		"patches gone":              {"source", "debian", "1.0-2", "1.0 mended\ntwice\n", []string{"source x debian 1.0 followed"}},
		"patches gone, new version": {"source", "source debian", "1.1-1", "1.1 mended\n", []string{"source x source 1.1 followed", "source x debian 1.1 followed"}},
		"source gone":               {"debian", "source debian", "1.1-1", "1.1 mended\n", []string{"source x source 1.1 followed", "source x debian 1.1 followed"}},
		"both gone":                 {"", "source debian", "1.1-1", "1.1 mended\n", []string{"source x source 1.1 followed", "source x debian 1.1 followed"}},
		"patches without a source":  {"source", "debian", "1.1-1", "", nil},
		"source without patches":    {"debian", "source", "1.1-1", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQuiltPlan(t, "before")
			for _, part := range strings.Fields(tc.pinned) {
				q.keep(t, map[string][]byte{"source": q.source, "debian": q.patch}[part])
			}
			for _, part := range strings.Fields(tc.followed) {
				data := map[string][]byte{"source": newSource, "debian": newPatch}[part]
				if tc.version == "1.0-2" {
					data = newRevision
				}
				q.follow(t, part, "x_"+tc.version+"."+part+".tar.xz", tc.version, data)
			}
			files, inputs, err := q.tree(t)
			if tc.want == "" {
				if err == nil || !strings.Contains(err.Error(), "offline: the archive's 1.1-1 is not in the store") {
					t.Errorf("it was built of %q, %v; want an error", inputs, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"version": tc.want, "own": "own\n"}, files); diff != "" {
				t.Errorf("the tree (-want +got)\n%s", diff)
			}
			var marked []string
			for _, in := range inputs {
				if strings.HasSuffix(in, " followed") {
					marked = append(marked, in)
				}
			}
			if diff := cmp.Diff(tc.marked, marked); diff != "" {
				t.Errorf("marked in the manifest (-want +got)\n%s", diff)
			}
			if len(q.reports.warns) != len(tc.marked) {
				t.Errorf("warnings = %q", q.reports.warns)
			}
			// tench fetch gets what the build will take.
			r, err := q.recipe("x")
			if err != nil {
				t.Fatal(err)
			}
			var fetched []string
			for _, name := range []string{"debian", "source"} {
				files, err := q.withSignature(t.Context(), part{r, name})
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range files {
					fetched = append(fetched, f.Version)
				}
			}
			if version := q.inputs[0].Version; !cmp.Equal(fetched, []string{version, version}) {
				t.Errorf("fetch gets versions %q, the build takes %s", fetched, version)
			}
			q.o.Strict = true
			if _, _, err := q.tree(t); (err == nil) != (tc.marked == nil) {
				t.Errorf("strict: %v", err)
			}
		})
	}
}

// A step that was interrupted begins anew, and says again what was wrong.
func TestQuiltFailsAlikeTwice(t *testing.T) {
	q := newQuiltPlan(t, "before")
	q.keep(t, q.source)
	q.keep(t, q.patch)
	q.release.Recipes[0].Quilt.SHA256 = map[string]string{"one.patch": strings.Repeat("0", 64)}
	for range 2 {
		if _, _, err := q.tree(t); err == nil || !strings.Contains(err.Error(), "its series is not what the recipe says") {
			t.Errorf("error %v", err)
		}
	}
}

// The order of patches counts, and so it is in the key.
func TestOrderOfPatchesIsInTheKey(t *testing.T) {
	keys := map[string]string{}
	for _, order := range []string{"before", "after"} {
		q := newQuiltPlan(t, order)
		q.keep(t, q.source)
		q.keep(t, q.patch)
		recipe := q.release.Recipes[0]
		src, quilt, err := q.sourceAndQuilt(t.Context(), recipe)
		if err != nil {
			t.Fatal(err)
		}
		patches, err := q.patchesOf(t.Context(), recipe, quilt)
		if err != nil {
			t.Fatal(err)
		}
		inputs, err := (&daemonBuild{p: q.plan}).inputs(recipe, src, patches)
		if err != nil {
			t.Fatal(err)
		}
		key := cache.Step{Name: recipe.Name, Inputs: inputs}.Key()
		if keys[key] != "" {
			t.Errorf("%s and %s have one key", keys[key], order)
		}
		keys[key] = order
	}
}
