package source

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/internal/lab"
	"tench/release"
)

func TestCompareVersions(t *testing.T) {
	order := []string{"0.9", "1", "1.0", "1.2", "1.2.9", "1.2.10", "1.2.010a", "1.2.10b", "1.10", "20260101", "20260101.1"}
	for i, a := range order {
		for j, b := range order {
			got := compareVersions(a, b)
			if (i < j) != (got < 0) || (i > j) != (got > 0) {
				t.Errorf("compareVersions(%s, %s) = %d", a, b, got)
			}
		}
	}
}

func TestSpelling(t *testing.T) {
	for name, tc := range map[string]struct {
		pinned, version string // the name that is pinned, and its version
		name, want      string // another name; "" if it is no version of the same thing
	}{
		"archive":          {"bird2_2.0.12.orig.tar.gz", "2.0.12", "bird2_2.0.13.orig.tar.gz", "2.0.13"},
		"longer":           {"bird2_2.0.12.orig.tar.gz", "2.0.12", "bird2_2.1.orig.tar.gz", "2.1"},
		"with a letter":    {"openssl-1.1.1v.tar.gz", "1.1.1v", "openssl-1.1.1w.tar.gz", "1.1.1w"},
		"underscores":      {"R_2_0_12", "2.0.12", "R_2_1_0", "2.1.0"},
		"dots in the like": {"R_2_0_12", "2.0.12", "R_2.1.0", ""},
		"signature":        {"bird2_2.0.12.orig.tar.gz", "2.0.12", "bird2_2.0.13.orig.tar.gz.asc", ""},
		"another program":  {"bird2_2.0.12.orig.tar.gz", "2.0.12", "bard2_2.0.13.orig.tar.gz", ""},
		"before a release": {"v2.0.12", "2.0.12", "v2.0.13-rc1", ""},
		"nothing":          {"v2.0.12", "2.0.12", "v", ""},
	} {
		sp, ok := spelled(tc.pinned, tc.version)
		if !ok {
			t.Errorf("%s: no version in %s", name, tc.pinned)
			continue
		}
		if got, ok := sp.version(tc.name); got != tc.want && ok || ok != (tc.want != "") {
			t.Errorf("%s: version(%s) = %q, %v; want %q", name, tc.name, got, ok, tc.want)
		}
	}
	if sp, ok := spelled("bird-latest.tar.gz", "2.0.12"); ok {
		t.Errorf("spelled = %+v of a name without a version", sp)
	}
}

const listingPage = `<html><body><a href="../">up</a> <a href=bird-6.12.118.tar.gz>bird</a> <a href="/pub/x%2b1.tar?C=1">x</a>
<A HREF="https://elsewhere.example/pub/y.tar">y</A> <a href="sub/z.tar">z</a> <a name="w"></a> <a href="#top">t</a> <a href="?C=N;O=D">n</a> <a href="bird-6.12.99.tar.gz"/>`

func TestLinked(t *testing.T) {
	dir, err := url.Parse("https://a.example/pub/")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"bird-6.12.118.tar.gz", "x+1.tar", "bird-6.12.99.tar.gz"}
	if diff := cmp.Diff(want, linked(strings.NewReader(listingPage), dir)); diff != "" {
		t.Errorf("linked (-want +got)\n%s", diff)
	}
}

func FuzzLinked(f *testing.F) {
	f.Add(listingPage, "6.12.117", "bird-6.12.117.tar.gz")
	f.Add("<a href='%'><a href='//[::1'>", "1", "1")
	dir, err := url.Parse("https://a.example/pub/")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, page, version, name string) {
		names := linked(strings.NewReader(page), dir)
		for _, n := range names {
			if n == "" || path.Base(n) != n {
				t.Errorf("linked = %q", n)
			}
		}
		sp, ok := spelled(name, version)
		if !ok {
			return
		}
		r := release.Recipe{Version: version, Series: version}
		if got := sp.newest(r, names); got != "" && (!releaseRE.MatchString(got) || compareVersions(got, version) <= 0) {
			t.Errorf("newest = %q, newer than %q?", got, version)
		}
	})
}

func FuzzTagsOf(f *testing.F) {
	f.Add("016495e18b9ec24336b466cbebc6e32a01815a56\trefs/tags/v1.2\n")
	f.Fuzz(func(t *testing.T, listing string) {
		for _, tag := range tagsOf(listing) {
			if tag == "" || strings.Contains(tag, "\n") {
				t.Errorf("tagsOf = %q", tag)
			}
		}
	})
}

func TestNewerByHTTP(t *testing.T) {
	page := listingPage
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/pub/" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(page))
	}))
	defer srv.Close()
	ask := func(name string) Candidate {
		r := recipe(fileFor("a", []byte("a"), release.Location{URL: srv.URL + "/pub/" + name}, release.Location{Path: "a"}))
		got := openStore(t, t.TempDir()).Newer(t.Context(), r, "source", Options{})
		if len(got) != 1 || got[0].Location != r.Files[0].Locations[0] {
			t.Fatalf("Newer = %+v, want one for the URL", got)
		}
		return got[0]
	}
	if got := ask("bird-6.12.117.tar.gz"); got.Version != "6.12.118" || got.Err != nil {
		t.Errorf("Newer = %+v, want 6.12.118", got)
	}
	if got := ask("bird-latest.tar.gz"); got.Err == nil || !strings.Contains(got.Err.Error(), "does not have the version 6.12.117 in it") {
		t.Errorf("Newer of a name without a version = %+v", got)
	}
	page = "<html><a href=\"#main\">nothing here</a></html>"
	if got := ask("bird-6.12.117.tar.gz"); got.Err == nil || !strings.Contains(got.Err.Error(), "the server does not list the folder") {
		t.Errorf("Newer where nothing is listed = %+v", got)
	}
	status = http.StatusForbidden
	if got := ask("bird-6.12.117.tar.gz"); got.Err == nil || !strings.Contains(got.Err.Error(), "403 Forbidden") {
		t.Errorf("Newer where nobody may look = %+v", got)
	}
}

// TestPythonHTTPServer downloads from a server that is not ours, and that knows
// no ranges: a resumed file is had anew.
func TestPythonHTTPServer(t *testing.T) {
	lab.Require(t, debianPython)
	root := t.TempDir()
	data := noise(1_000_000)
	for name, content := range map[string][]byte{"bird-6.12.117.tar": data, "bird-6.12.118.tar": nil} {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := lab.Start(t, debianPython, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", root, "0")
	port := c.Expect(t, regexp.QuoteMeta("port ")+`(\d+)`, time.Minute)[1]
	l := release.Location{URL: "http://127.0.0.1:" + port + "/bird-6.12.117.tar"}
	r := recipe(fileFor("bird-6.12.117.tar", data, l))
	s := openStore(t, t.TempDir())
	if err := os.WriteFile(s.partial(pinOf(r.Files[0])), data[:1000], 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := s.Fetch(t.Context(), r, "source", Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, got.Path, data)
	if diff := cmp.Diff([]Candidate{{Location: l, Version: "6.12.118"}}, s.Newer(t.Context(), r, "source", Options{})); diff != "" {
		t.Errorf("Newer (-want +got)\n%s", diff)
	}
}

func TestLocalFile(t *testing.T) {
	data := noise(1000)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "vendor"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "vendor", "x.tar")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"below the recipe": "vendor/x.tar", "absolute": file} {
		r := recipe(fileFor("a.tar", data, release.Location{URL: "https://127.0.0.1:1/none"}, release.Location{Path: path}))
		r.Dir = dir
		s := openStore(t, t.TempDir())
		if _, missing := s.Missing(r, "source", Options{}); missing {
			t.Errorf("%s: Missing = true", name)
		}
		got, err := s.Fetch(t.Context(), r, "source", Options{Offline: true, Strict: true})
		if err != nil || got.From != file {
			t.Errorf("%s: Fetch = %+v, %v", name, got, err)
		}
	}
	if err := os.WriteFile(file, append(data[1:], 'x'), 0o644); err != nil {
		t.Fatal(err)
	}
	r := recipe(fileFor("a.tar", data, release.Location{Path: file}))
	_, err := openStore(t, t.TempDir()).Fetch(t.Context(), r, "source", Options{Strict: true})
	if err == nil || !strings.Contains(err.Error(), "from file "+file+":\n      its SHA-256 is") {
		t.Errorf("Fetch of a changed file = %v", err)
	}
}
