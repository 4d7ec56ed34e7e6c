package source

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/release"
)

// need skips a test where a program is missing, and fails it where the tests
// are to leave nothing out.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			skip(t, err.Error())
		}
	}
}

func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("TENCH_LAB") == "yes" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// noise is n bytes that no server sends by chance, the same each time.
func noise(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(data)
	return data
}

func pinFor(name string, data []byte) pin {
	sum := sha256.Sum256(data)
	return pin{name, int64(len(data)), hex.EncodeToString(sum[:])}
}

// fileFor is a recipe's file with this content, at these locations.
func fileFor(name string, data []byte, locations ...release.Location) release.File {
	p := pinFor(name, data)
	return release.File{Part: "source", Name: p.Name, Size: p.Size, SHA256: p.SHA256, Locations: locations}
}

func recipe(files ...release.File) release.Recipe {
	return release.Recipe{Name: "linux", Version: "6.12.117", Series: "6.12", Dir: "recipes/linux", Files: files}
}

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.pause = time.Microsecond
	return s
}

// serve starts an https server and lets the store trust it.
func serve(t *testing.T, s *Store, h http.Handler) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of each connection we break
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s.client.Transport = srv.Client().Transport
	return srv.URL
}

// content serves data as a good server does: with ranges and an ETag.
func content(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+pinFor("", data).SHA256[:8]+`"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

func wantContent(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes, not the %d that were served", path, len(got), len(want))
	}
}

func TestFetchVerifiesTheStore(t *testing.T) {
	data := noise(1000)
	for name, damage := range map[string]func(path string) error{
		"nothing":   func(string) error { return nil },
		"flip":      func(path string) error { return os.WriteFile(path, append([]byte{data[0] ^ 1}, data[1:]...), 0o644) },
		"truncated": func(path string) error { return os.Truncate(path, 10) },
		"longer":    func(path string) error { return os.WriteFile(path, append(bytes.Clone(data), 'x'), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			requests := 0
			url := serve(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				content(data)(w, r)
			}))
			r := recipe(fileFor("a.tar", data, release.Location{URL: url}))
			first, err := s.Fetch(t.Context(), r, "source", Options{})
			if err != nil {
				t.Fatal(err)
			}
			if first.From != url || first.Version != "6.12.117" || first.Followed {
				t.Errorf("Fetch = %+v, want the pinned version from %s", first, url)
			}
			if err := damage(first.Path); err != nil {
				t.Fatal(err)
			}
			second, err := s.Fetch(t.Context(), r, "source", Options{})
			if err != nil {
				t.Fatal(err)
			}
			if second != first {
				t.Errorf("second Fetch = %+v, want %+v", second, first)
			}
			wantContent(t, second.Path, data)
			want := 2
			if name == "nothing" {
				want = 1
			}
			if requests != want {
				t.Errorf("%d requests, want %d", requests, want)
			}
		})
	}
}

func TestFetchOrder(t *testing.T) {
	first, second := noise(1000), noise(2000)
	s := openStore(t, t.TempDir())
	var asked []string
	url := serve(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if r.URL.Path == "/second/b" {
			content(second)(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	r := recipe(
		fileFor("first", first, release.Location{URL: url + "/first/a"}, release.Location{URL: url + "/first/b"}),
		fileFor("second", second, release.Location{URL: url + "/second/a"}, release.Location{URL: url + "/second/b"}),
	)
	r.Files[1].Unpack = release.Unpack{Deb: true}
	got, err := s.Fetch(t.Context(), r, "source", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := "/first/a /first/b /second/a /second/b"; strings.Join(asked, " ") != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if got.Name != "second" || !got.Unpack.Deb || got.SHA256 != r.Files[1].SHA256 {
		t.Errorf("Fetch = %+v, want the second packaging", got)
	}
}

func TestMirror(t *testing.T) {
	data := noise(1000)
	f := fileFor("a.tar", data, release.Location{URL: "https://127.0.0.1:1/none"})
	good, bad, empty := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, content := range map[string][]byte{good: data, bad: noise(1001)} {
		if err := os.WriteFile(filepath.Join(dir, "a.tar"), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	s := openStore(t, t.TempDir())
	o := Options{Offline: true, Mirrors: []string{empty, bad, good}, Log: &log}
	if _, missing := s.Missing(recipe(f), "source", o); missing {
		t.Error("Missing overlooks the mirror")
	}
	got, err := s.Fetch(t.Context(), recipe(f), "source", o)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(good, "a.tar"); got.From != want {
		t.Errorf("From = %s, want %s", got.From, want)
	}
	if !strings.Contains(log.String(), "not from "+filepath.Join(bad, "a.tar")+": it has 1001 bytes, not 1000") || strings.Contains(log.String(), empty) {
		t.Errorf("log = %s", &log)
	}
	// The mirror may go away.
	if err := os.Remove(got.From); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(t.Context(), recipe(f), "source", Options{Offline: true}); err != nil {
		t.Error(err)
	}
}

func TestOffline(t *testing.T) {
	s := openStore(t, t.TempDir())
	r := recipe(
		fileFor("a.deb", []byte("a"), release.Location{Debian: &release.DebianPackage{Package: "linux-source-6.12", Version: "6.12.117-1", Arch: "all"}}),
		fileFor("b.tar", []byte("bb"), release.Location{URL: "https://example.net/b.tar"}),
	)
	_, err := s.Fetch(t.Context(), r, "source", Options{Offline: true})
	want := `fetch linux source: offline: these files are not in the store:
  linux source:
    a.deb  (1 bytes)
      sha256 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb
      from Debian package linux-source-6.12=6.12.117-1 (all)
    or
    b.tar  (2 bytes)
      sha256 3b64db95cb55c763391c707108489ae18b4112d783300de38e033b4c98c3deaf
      from https://example.net/b.tar
hint: build once without --offline; or carry them over from another machine with tench fetch --bundle, or in a folder named in TENCH_MIRROR`
	if err == nil || err.Error() != want {
		t.Errorf("Fetch =\n%v\nwant\n%s", err, want)
	}
	if m, missing := s.Missing(r, "source", Options{}); !missing || len(m.Files) != 2 {
		t.Errorf("Missing = %+v, %v; want both packagings", m, missing)
	}
}

// A mirror that has something else by that name is named, with what it has.
func TestOfflineSaysWhatAMirrorHas(t *testing.T) {
	mirror := t.TempDir()
	path := filepath.Join(mirror, "a.tar")
	if err := os.WriteFile(path, []byte("<html>not found</html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	m, missing := openStore(t, t.TempDir()).Missing(recipe(fileFor("a.tar", []byte("a"))), "source", Options{Mirrors: []string{mirror}})
	if want := "\n    not from " + path + ": it has 22 bytes, not 1\nhint: "; !missing || !strings.Contains(OfflineError([]Missing{m}).Error(), want) {
		t.Errorf("OfflineError = %v\nwant %q in it", OfflineError([]Missing{m}), want)
	}
}

// A mirror that is not there is told of, once for all that it lacks.
func TestOfflineWithoutItsMirror(t *testing.T) {
	o := Options{Mirrors: []string{filepath.Join(t.TempDir(), "stick")}}
	var list []Missing
	for _, name := range []string{"a.tar", "b.tar"} {
		m, missing := openStore(t, t.TempDir()).Missing(recipe(fileFor(name, []byte(name))), "source", o)
		if !missing {
			t.Errorf("%s is not missing", name)
		}
		list = append(list, m)
	}
	err := OfflineError(list)
	if n := strings.Count(err.Error(), "\n    not from "+o.Mirrors[0]+": there is no such folder\n"); n != 1 {
		t.Errorf("OfflineError names the mirror %d times, want once:\n%v", n, err)
	}
}

func TestStrictNamesEveryPlace(t *testing.T) {
	s := openStore(t, t.TempDir())
	url := serve(t, s, http.NotFoundHandler())
	r := recipe(fileFor("a.tar", []byte("a"), release.Location{URL: url + "/x"}, release.Location{URL: url + "/y"}))
	_, err := s.Fetch(t.Context(), r, "source", Options{Strict: true})
	want := "fetch linux source: no location has the pinned version 6.12.117:" +
		"\n  a.tar\n    from " + url + "/x:\n      404 Not Found" +
		"\n  a.tar\n    from " + url + "/y:\n      404 Not Found" +
		"\nhint: put the file into a folder named in TENCH_MIRROR, or pin a version that is still there in recipes/linux/recipe.toml (its first lines say how)"
	if err == nil || err.Error() != want {
		t.Errorf("Fetch =\n%v\nwant\n%s", err, want)
	}
	if _, err := s.Fetch(t.Context(), r, "sauce", Options{}); err == nil || err.Error() != `recipe linux: there is no part "sauce"` {
		t.Errorf("Fetch of no part = %v", err)
	}
	// Nothing to follow: the error still says what was tried.
	_, err = s.Fetch(t.Context(), r, "source", Options{})
	if err == nil || !strings.Contains(err.Error(), url+"/y") || !strings.Contains(err.Error(), "series 6.12 cannot be followed: it has no Debian package") {
		t.Errorf("Fetch without a package = %v", err)
	}
}

func TestFetchWaitsForAnotherProcess(t *testing.T) {
	s := openStore(t, t.TempDir())
	unlock, err := s.lock(t.Context(), filepath.Join("partial", "linux-source"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	stop := writerFunc(func(p []byte) (int, error) {
		cancel() // it waits; it would for ever
		return log.Write(p)
	})
	_, err = s.Fetch(ctx, recipe(fileFor("a.tar", []byte("a"))), "source", Options{Log: stop})
	if !errors.Is(err, context.Canceled) || log.String() != "waiting for another tench that is fetching linux-source\n" {
		t.Errorf("Fetch = %v, log %q", err, &log)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// entry is one entry of a test archive.
type entry struct {
	name, text, link string
	kind             byte // tar type; 0: a file
	mode             int64
}

var testTime = time.Unix(1795219200, 0)

// archive makes a tar archive.
func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	data, err := writeTar(entries)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeTar(entries []entry) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.text)), ModTime: testTime}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}
