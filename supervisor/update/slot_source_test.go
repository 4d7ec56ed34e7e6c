package update

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/internal/slottest"
)

// fetchWith puts another program in the place of the image's wget.
func fetchWith(t *testing.T, argv ...string) {
	t.Helper()
	old := fetcher
	fetcher = argv
	t.Cleanup(func() { fetcher = old })
}

// cat prints what is below dir in the place of http://host.
func cat(dir string) []string {
	return []string{"sh", "-c", `f="` + dir + `/${0#http://host/}"; test -f "$f" || { echo "404 Not Found" >&2; exit 1; }; cat "$f"`}
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	_, secret := slottest.Key(t, 1)
	slottest.Release(t, dir, secret, newImage)
	fetchWith(t, cat(dir)...)
	for _, from := range []string{dir, filepath.Join(dir, "tench-apu2.slot"), "http://host", "http://host/"} {
		b := newBox(t)
		src, err := OpenSource(context.Background(), from, "apu2", dir)
		if err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		j, err := b.u.Begin(src.Ticket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Install(context.Background(), src.Image); err != nil || !bytes.HasPrefix(b.slots["b"].flash, newImage.Bytes()) {
			t.Errorf("%s: Install: %v", from, err)
		}
		if err := src.Image.Close(); err != nil {
			t.Errorf("%s: Close: %v", from, err)
		}
		j.Close()
	}
}

func TestSourcesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	_, secret := slottest.Key(t, 1)
	slottest.Release(t, dir, secret, newImage)
	unsigned := t.TempDir()
	write(t, filepath.Join(unsigned, "tench-apu2.slot"), "x")
	long := t.TempDir()
	write(t, filepath.Join(long, "SHA256.sig"), strings.Repeat("x", 300<<10))
	fetchWith(t, cat(dir)...)
	for from, want := range map[string]string{
		dir + "/x":         "update: stat " + dir + "/x: no such file or directory",
		unsigned:           "update: open " + unsigned + "/SHA256.sig: no such file or directory\nhint: an update must be signed: SHA256.sig lies beside the slot image",
		long:               "update: SHA256.sig has more than 262144 bytes",
		"http://host/gone": "update: fetch http://host/gone/SHA256.sig: exit status 1: 404 Not Found\nhint: `tenchd status` says whether the line is up",
	} {
		if _, err := OpenSource(context.Background(), from, "apu2", dir); err == nil || err.Error() != want {
			t.Errorf("%s: error %v\nwant %s", from, err, want)
		}
	}
	if _, err := OpenSource(context.Background(), dir, "vm", dir); err == nil || !strings.HasSuffix(err.Error(), "\nhint: is this a release for board vm?") {
		t.Errorf("another board's release: %v", err)
	}
	fetchWith(t, "no-such-program")
	if _, err := OpenSource(context.Background(), "http://host", "apu2", dir); err == nil {
		t.Error("a fetcher that is not there gives no error")
	}
}

// A download that breaks in the middle is no shorter image.
func TestBrokenDownload(t *testing.T) {
	fetchWith(t, "sh", "-c", "echo half; echo connection reset >&2; exit 1")
	r, err := fetch(context.Background(), "http://host/x")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if string(got) != "half\n" || err == nil || !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("read %q, error %v", got, err)
	}
	fetchWith(t, "sleep", "1000000")
	if r, err = fetch(context.Background(), "1"); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close of a fetcher that runs: %v", err)
	}
}

// The real program's command line is understood by wget of Debian, too.
func TestFetcherIsWget(t *testing.T) {
	lab.Require(t, "wget")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "content of "+r.URL.Path) }))
	defer s.Close()
	r, err := fetch(context.Background(), s.URL+"/a")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "content of /a" {
		t.Errorf("wget fetches %q, %v", got, err)
	}
}

func TestPulledOutStick(t *testing.T) {
	// Nothing is mapped at 0: the kernel answers as for a stick that is gone.
	f, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = mediumReader{f}.Read(make([]byte, 1))
	if err == nil || !strings.HasSuffix(err.Error(), "\nhint: was the stick pulled out? put it back and start again; the box runs on as before") {
		t.Errorf("error %v", err)
	}
}

func TestSteps(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	s := Steps{Out: &out, Now: func() time.Time { return now }}
	s.Step("wipe slot b", 0, 0)
	for i := range int64(21) {
		s.Step("write slot b", i<<19, 10<<20)
		now = now.Add(500 * time.Millisecond)
	}
	s.Step("arm slot b", 0, 0)
	got := out.String()
	if !strings.HasPrefix(got, "wipe slot b\nwrite slot b\n   10 % of 10.0 MiB, 1.0 MiB/s, 9 s left\n   20 % of") || !strings.HasSuffix(got, "  100 % of 10.0 MiB, 1.0 MiB/s, 0 s left\narm slot b\n") {
		t.Errorf("Steps printed\n%s", got)
	}
}
