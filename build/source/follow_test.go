package source

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"tench/release"
)

// sourceOf pins a file of a version of the source package "bird2" that the
// archive has no more; of 2.0.12 unless another version is given.
func sourceOf(name string, version ...string) release.Recipe {
	v := "2.0.12-7"
	if len(version) > 0 {
		v = version[0]
	}
	r := birdRecipe(v, noise(100))
	r.Files[0].Name = name
	return r
}

func TestFollowSource(t *testing.T) {
	key := newSigner(t)
	a := newArchive(t, key)
	a.addSources(t, "2.0.11-1", "2.0.13-2", "2.0.14-1", "2.1-1")
	a.publish(t, key)
	whole := a.files
	const orig, debian = "bird2_2.0.12.orig.tar.xz", "bird2_2.0.12-7.debian.tar.xz"
	for name, tc := range map[string]struct {
		recipe release.Recipe
		gone   string                 // from the pool
		o      Options                // beside the archive
		change func(a *archiveServer) // of the archive
		want   string                 // the file that was had
		err    string
	}{
		"upstream's archive":        {recipe: sourceOf(orig), want: "bird2_2.0.14.orig.tar.xz"},
		"Debian's patches":          {recipe: sourceOf(debian), want: "bird2_2.0.14-1.debian.tar.xz"},
		"the newest is only listed": {recipe: sourceOf(orig), gone: "bird2_2.0.14.orig.tar.xz", want: "bird2_2.0.13.orig.tar.xz"},
		"none older than the pin":   {recipe: sourceOf("bird2_2.0.14.orig.tar.xz", "2.0.14-0"), gone: "bird2_2.0.14.orig.tar.xz", err: "404"},
		"only older ones":           {recipe: sourceOf("bird2_2.0.15.orig.tar.xz", "2.0.15-1"), err: "the archive's newest bird2 is 2.0.14-1, older than the pinned 2.0.15-1"},
		"this one, please":          {recipe: sourceOf(debian), o: Options{Follow: "2.0.13-2"}, want: "bird2_2.0.13-2.debian.tar.xz"},
		"one that is not there": {recipe: sourceOf(debian), o: Options{Follow: "2.0.15-1"},
			err: "the archive's version 2.0.15-1, which another file of it calls for, cannot be had"},
		"strict":                           {recipe: sourceOf(orig), o: Options{Strict: true}, err: "no location has the pinned version 2.0.12"},
		"no such series":                   {recipe: func() release.Recipe { r := sourceOf(orig); r.Series = "2.0.12"; return r }(), err: "the archive has no bird2 of series 2.0.12"},
		"another file":                     {recipe: sourceOf("bird2_2.0.12-7.dsc"), err: "what stands for bird2_2.0.12-7.dsc in another version"},
		"pinned version with another hash": {recipe: sourceOf("bird2_2.0.14.orig.tar.xz", "2.0.14-1"), err: "one of the two was tampered with"},
		"index was changed": {recipe: sourceOf(orig), change: func(a *archiveServer) {
			path := "dists/bookworm/" + sourcesPath
			a.files[path] = bytes.ReplaceAll(a.files[path], []byte("2.0.14"), []byte("2.0.99"))
		}, err: "Hash Sum mismatch"},
		"file was changed": {recipe: sourceOf(orig, "2.0.14-0"), change: func(a *archiveServer) {
			data := bytes.Clone(a.files["pool/bird2_2.0.14.orig.tar.xz"])
			data[len(data)-1] ^= 1
			a.files["pool/bird2_2.0.14.orig.tar.xz"] = data
		}, err: "Hash Sum mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			a.mu.Lock()
			a.files = map[string][]byte{}
			for path, data := range whole {
				a.files[path] = data
			}
			delete(a.files, "pool/"+tc.gone)
			if tc.change != nil {
				tc.change(a)
			}
			a.mu.Unlock()
			dir := t.TempDir()
			var log bytes.Buffer
			tc.o.Archive, tc.o.Log = a.Archive, &log
			got, err := openStore(t, dir).Fetch(t.Context(), tc.recipe, "source", tc.o)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("Fetch = %+v, %v\nwant %q", got, err, tc.err)
				}
				if files, _ := filepath.Glob(filepath.Join(dir, "dl/sha256/*/*")); files != nil {
					t.Errorf("the store has %v", files)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, &log)
			}
			version := strings.TrimPrefix(got.From, "Debian source package bird2=")
			if got.Name != tc.want || !got.Followed || got.Debian != version || got.Version != upstream(version) {
				t.Errorf("Fetch = %+v, want %s, followed", got, tc.want)
			}
			wantContent(t, got.Path, whole["pool/"+tc.want])
			if !strings.Contains(log.String(), "warning: bird 2.0.12 is pinned, "+got.Version+" is used") {
				t.Errorf("the log has no warning:\n%s", &log)
			}
			again, err := openStore(t, dir).Fetch(t.Context(), tc.recipe, "source", Options{Offline: true, Follow: tc.o.Follow})
			if err != nil || again != got {
				t.Errorf("offline: Fetch = %+v, %v; want the same as before", again, err)
			}
			if other, err := openStore(t, dir).Fetch(t.Context(), tc.recipe, "source", Options{Offline: true, Follow: "2.0.98-1"}); err == nil {
				t.Errorf("another version: Fetch = %+v, want an error", other)
			}
		})
	}
}

// Debian's new revision of the same upstream version has the pinned file still.
func TestNewRevisionHasThePinnedFile(t *testing.T) {
	key := newSigner(t)
	a := newArchive(t, key)
	orig := a.addSources(t, "2.0.12-9")["2.0.12-9"]
	a.publish(t, key)
	r := birdRecipe("2.0.12-9", orig)
	r.Files[0].Locations[0].DebianSource.Version = "2.0.12-7"
	got, err := openStore(t, t.TempDir()).Fetch(t.Context(), r, "source", Options{Archive: a.Archive})
	if err != nil {
		t.Fatal(err)
	}
	if got.Followed || got.Version != "2.0.12" || got.From != "Debian source package bird2=2.0.12-9" {
		t.Errorf("Fetch = %+v, want the pinned file out of the new revision", got)
	}
}
