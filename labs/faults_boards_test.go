package labs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/internal/lab"
)

// TestFaultsBoardsStopped stops a build of two boards from each of two releases at
// points that chance draws. Each image that is there is the right one, and the
// same command goes on until all four are.
func TestFaultsBoardsStopped(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	random, tree := seededRandom(t), newTinyTree(t)
	tree.write(t, map[string]string{
		"boards/other/board.toml":    strings.Replace(tinyBoard, "data-mib = 16", "data-mib = 18", 1),
		"boards/other/router.toml":   "hostname = \"other\"\n",
		"boards/other/kernel.config": "CONFIG_NET=y\nCONFIG_OTHER=y\n",
		"release/next/release.toml":  "name = \"next\"\nepoch = 2026-12-01T00:00:00Z\n[recipes]\nlinux = \"1\"\nhello = \"1\"\ngrub = \"1\"\n",
	})
	all := []string{"build", "--all-boards", "--all-releases", "--offline"}
	whole := func(b tinyBuild) map[string]string {
		t.Helper()
		cmd, said := tree.tench(t, b, all...)
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, said)
		}
		return tree.images(t)
	}
	anew := func() tinyBuild {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(tree.dir, "out")); err != nil {
			t.Fatal(err)
		}
		return tinyBuild{cache: t.TempDir()}
	}
	want := whole(anew()) // and Go's own cache is filled
	if len(want) != 4 {
		t.Fatalf("it built %v, want four images", want)
	}
	began := time.Now()
	whole(anew())
	most := time.Since(began) / 3
	b := anew()
	for stops := 0; stops < faultStops; {
		cmd, said := tree.tench(t, b, all...)
		signal := []syscall.Signal{syscall.SIGINT, syscall.SIGKILL}[random.IntN(2)]
		if (stoppable{cmd, said, b.cache}).stop(t, signal, time.Duration(random.Int64N(int64(most)))) {
			stops++
		} else {
			if got := tree.images(t); len(got) != len(want) {
				t.Errorf("it ended well with %d of %d images", len(got), len(want))
			}
			b = anew()
		}
		checkCache(t, b.cache)
		for path, hash := range tree.images(t) {
			if hash != want[path] {
				t.Errorf("%s has the hash %s, not %s", path, hash, want[path])
			}
		}
	}
	if diff := cmp.Diff(want, whole(b)); diff != "" {
		t.Errorf("the images in the end (-want +got):\n%s", diff)
	}
	checkCache(t, b.cache)
}

// images are the hashes of the images that are there, by their paths below out/.
func (tree tinyTree) images(t *testing.T) map[string]string {
	t.Helper()
	out := filepath.Join(tree.dir, "out")
	found := map[string]string{}
	for _, pattern := range []string{"[^.]*/tench-*.img", "[^.]*/[^.]*/tench-*.img"} {
		paths, err := filepath.Glob(filepath.Join(out, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			found[strings.TrimPrefix(path, out)] = hashOf(t, path)
		}
	}
	return found
}

// TestFaultsDownloadKilled kills tench when half a source has come. Nothing has
// the source's name then, and the next run asks for the other half alone.
func TestFaultsDownloadKilled(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	tree, b := newTinyTree(t), tinyBuild{cache: t.TempDir()}
	source := filepath.Join(tree.mirror, "linux-source.tar")
	data, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	half, ranges := make(chan bool, 1), make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ranges <- r.Header.Get("Range")
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("Range") != "" {
			http.ServeContent(w, r, "", time.Unix(1e9, 0), strings.NewReader(string(data)))
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Header().Set("Last-Modified", time.Unix(1e9, 0).UTC().Format(http.TimeFormat))
		if _, err := w.Write(data[:len(data)/2]); err == nil {
			w.(http.Flusher).Flush()
			half <- true
		}
		<-r.Context().Done() // until the client is gone
	}))
	defer server.Close()
	recipe := filepath.Join(tree.dir, "release/recipes/linux/recipe.toml")
	text, err := os.ReadFile(recipe)
	if err != nil {
		t.Fatal(err)
	}
	tree.write(t, map[string]string{"release/recipes/linux/recipe.toml": strings.Replace(string(text), "https://tiny.test", server.URL, 1)})
	if err := os.Remove(source); err != nil {
		t.Fatal(err)
	}

	cmd, _ := tree.tench(t, b, "image", "tiny")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-half
	for partialSize(b.cache) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	checkCache(t, b.cache)
	if made := tree.images(t); len(made) > 0 {
		t.Errorf("there are images: %v", made)
	}
	got := partialSize(b.cache)

	cmd, said := tree.tench(t, b, "image", "tiny")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, said)
	}
	<-ranges // of the first run
	if want := fmt.Sprintf("bytes=%d-", got); <-ranges != want {
		t.Errorf("the second run did not ask for %s", want)
	}
	checkCache(t, b.cache)
}

// partialSize is how much of a download is there.
func partialSize(cache string) int64 {
	var size int64
	paths, _ := filepath.Glob(filepath.Join(cache, "dl", "partial", "*"))
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && len(filepath.Base(path)) == 2*sha256.Size {
			size += info.Size()
		}
	}
	return size
}

// TestFaultsBundleKilled kills tench while it writes a bundle. The bundle has its
// name only when it is whole.
func TestFaultsBundleKilled(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	random, tree, b := seededRandom(t), newTinyTree(t), tinyBuild{cache: t.TempDir()}
	tree.write(t, map[string]string{"cmd/tench/main.go": "package main\n\nfunc main() {}\n"}) // whose modules are in a bundle
	bundle := filepath.Join(t.TempDir(), "tench.tar")
	// Of the modules this machine may have those alone that its builds called for.
	online := b
	online.env = []string{"GOPROXY=" + os.Getenv("GOPROXY")}
	if cmd, said := tree.tench(t, online, "fetch", "tiny", "--bundle", bundle); cmd.Run() != nil {
		t.Fatalf("%v:\n%s", cmd, said)
	}
	fetch := []string{"fetch", "tiny", "--offline", "--bundle", bundle}
	whole := func() (string, time.Duration) {
		t.Helper()
		began := time.Now()
		cmd, said := tree.tench(t, b, fetch...)
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, said)
		}
		return hashOf(t, bundle), time.Since(began)
	}
	want, took := whole()
	for range faultStops {
		if err := os.Remove(bundle); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		cmd, said := tree.tench(t, b, fetch...)
		(stoppable{cmd, said, b.cache}).stop(t, syscall.SIGKILL, time.Duration(random.Int64N(int64(took))))
		if _, err := os.Stat(bundle); err == nil && hashOf(t, bundle) != want {
			t.Error("a bundle that is not whole has its name")
		}
	}
	if got, _ := whole(); got != want {
		t.Errorf("in the end the bundle has the hash %s, not %s", got, want)
	}
	tree.buildsOutOf(t, bundle)
}

// buildsOutOf builds where nothing is but the checkout, the machine's programs and
// a bundle, and wants the image of a build with all there is.
func (tree tinyTree) buildsOutOf(t *testing.T, bundle string) {
	t.Helper()
	want := tree.build(t, tinyBuild{cache: t.TempDir()})
	if err := os.RemoveAll(filepath.Join(tree.dir, "out")); err != nil {
		t.Fatal(err)
	}
	bare := tinyBuild{cache: t.TempDir(), env: []string{"TENCH_MIRROR=", "GOMODCACHE=" + t.TempDir(), "GOFLAGS=-modcacherw"}}
	tree.fails(t, bare, "offline: these files are not in the store")
	cmd, said := tree.tench(t, bare, "fetch", "--unbundle", bundle)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, said)
	}
	tree.rebuild(t, bare, want)
}
