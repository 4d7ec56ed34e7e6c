package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tench/release"
)

// head sends the status and the first n bytes of data; the client sees that
// more should come.
func head(w http.ResponseWriter, data []byte, n int) {
	w.Header().Set("ETag", `"`+pinFor("", data).SHA256[:8]+`"`)
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(data[:n])
	w.(http.Flusher).Flush()
}

// cut sends the first n bytes and breaks the connection.
func cut(w http.ResponseWriter, data []byte, n int) {
	head(w, data, n)
	panic(http.ErrAbortHandler)
}

func TestBadServers(t *testing.T) {
	data, other := noise(100_000), bytes.Repeat([]byte("other"), 20_000)
	tag := `"` + pinFor("", data).SHA256[:8] + `"`
	none := []string{" "}
	resumed := []string{" ", "bytes=40000- " + tag}
	for name, tc := range map[string]struct {
		serve func(attempt int, w http.ResponseWriter, r *http.Request)
		asked []string // Range and If-Range of each request
		err   string   // "" where the file is had in the end
	}{
		"a good one": {func(_ int, w http.ResponseWriter, r *http.Request) { content(data)(w, r) }, none, ""},
		"connection breaks once": {func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				cut(w, data, 40_000)
			}
			content(data)(w, r)
		}, resumed, ""},
		"ranges are ignored": {func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				cut(w, data, 40_000)
			}
			head(w, data, len(data))
		}, resumed, ""},
		"file changes to ours": {func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				cut(w, other, 40_000)
			}
			content(data)(w, r) // If-Range no longer matches: all of it
		}, []string{" ", `bytes=40000- "` + pinFor("", other).SHA256[:8] + `"`}, ""},
		"file changes, and the server does not say so": {func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.Header().Set("Content-Length", "100000")
				_, _ = w.Write(other[:40_000])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			r.Header.Del("If-Range")
			content(data)(w, r)
		}, []string{" ", "bytes=40000- ", " "}, ""},
		"another range than asked for": {func(n int, w http.ResponseWriter, r *http.Request) {
			switch n {
			case 1:
				cut(w, data, 40_000)
			case 2:
				w.Header().Set("Content-Range", "bytes 0-99999/100000")
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(data)
			default:
				content(data)(w, r)
			}
		}, append(resumed[:2:2], " "), ""},
		"range of a longer file": {func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				cut(w, data, 40_000)
			}
			w.Header().Set("Content-Range", "bytes 40000-99999/100001")
			w.WriteHeader(http.StatusPartialContent)
		}, resumed, "the server's file has 100001 bytes, not the 100000 of the recipe"},
		"file got shorter": {func(n int, w http.ResponseWriter, r *http.Request) {
			switch n {
			case 1:
				cut(w, data, 40_000)
			case 2:
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			default:
				content(data)(w, r)
			}
		}, append(resumed[:2:2], " "), ""},
		"sends too much": {func(_ int, w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(data); err != nil {
					return // the client went away in time
				}
			}
		}, none, "the server sends more than the 100000 bytes of the recipe"},
		"length of another file": {func(_ int, w http.ResponseWriter, r *http.Request) { content(other[:99_000])(w, r) },
			none, "the server's file has 99000 bytes, not the 100000 of the recipe"},
		"another file of that length": {func(_ int, w http.ResponseWriter, r *http.Request) { content(other)(w, r) },
			none, "its SHA-256 is " + pinFor("", other).SHA256 + ", not " + pinFor("", data).SHA256},
		"web page with status 200": {func(_ int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<html>please log in to this network</html>")
		}, none, "the server answers with a web page instead of the file"},
		"gone": {func(_ int, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, none, "404 Not Found"},
		"busy once": {func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			content(data)(w, r)
		}, []string{" ", " "}, ""},
		"busy for ever": {func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Error(w, "busy", http.StatusServiceUnavailable)
		}, []string{" ", " ", " ", " "}, "503 Service Unavailable"},
		"says nothing": {func(_ int, w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			none, "the server sent nothing for 1s"},
		"says nothing after its head": {func(_ int, w http.ResponseWriter, r *http.Request) {
			head(w, data, 0)
			<-r.Context().Done()
		}, none, "the server sent nothing for 1s"},
		"stalls in the middle once": {func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				head(w, data, 40_000)
				<-r.Context().Done()
				return
			}
			content(data)(w, r)
		}, resumed, ""},
		"redirects to plain http": {func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/x", http.StatusFound)
		}, none, "the server redirects to http://127.0.0.1:1/x, which is not https"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			if strings.Contains(name, "nothing") || strings.Contains(name, "stalls") {
				s.idle = time.Second // the others may be slow where the machine is busy
			}
			var mu sync.Mutex // a request that stalled may end after the client's
			var asked []string
			url := serve(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				asked = append(asked, r.Header.Get("Range")+" "+r.Header.Get("If-Range"))
				n := len(asked)
				mu.Unlock()
				tc.serve(n, w, r)
			}))
			p := pinFor("a.tar", data)
			last := int64(-1)
			err := s.fromURL(t.Context(), url, p, url, Options{Progress: func(done, total int64, unit string) {
				last = done
				if total != p.Size || done > total || unit != "B" {
					t.Errorf("progress %d of %d %s", done, total, unit)
				}
			}})
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(tc.asked, asked); diff != "" {
				t.Errorf("requests (-want +got)\n%s", diff)
			}
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("fromURL = %v, want %q", err, tc.err)
				}
				if _, err := os.Stat(s.path(p)); err == nil {
					t.Error("a bad file is in the store")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if last != p.Size {
				t.Errorf("the last progress is %d of %d", last, p.Size)
			}
			wantContent(t, s.path(p), data)
			if left, _ := filepath.Glob(filepath.Join(s.dir, "partial", "*")); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A build that is interrupted keeps what it has, and the next asks for the rest.
func TestInterruptedDownloadIsResumed(t *testing.T) {
	data := noise(100_000)
	dir := t.TempDir()
	s := openStore(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	var ranges []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		if len(ranges) == 1 {
			head(w, data, 40_000)
			<-r.Context().Done()
			return
		}
		content(data)(w, r)
	})
	url := serve(t, s, handler)
	r := recipe(fileFor("a.tar", data, release.Location{URL: url}, release.Location{URL: url + "/again"}))
	_, err := s.Fetch(ctx, r, "source", Options{Progress: func(done, _ int64, _ string) {
		if done == 40_000 {
			cancel() // ctrl-C
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Fetch = %v, want context.Canceled", err)
	}
	later := openStore(t, dir)
	later.client = s.client
	got, err := later.Fetch(t.Context(), r, "source", Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, got.Path, data)
	if diff := cmp.Diff([]string{"", "bytes=40000-"}, ranges); diff != "" {
		t.Errorf("ranges (-want +got)\n%s", diff)
	}
}

// TestFullDisk downloads to a file system that is too small, in a mount
// namespace of its own, and again after it has grown.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv("TENCH_TEST_FULL"); dir != "" {
		downloadToFullDisk(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), "TENCH_TEST_FULL="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		skip(t, "no user namespace: "+err.Error())
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFullDisk")) {
		t.Errorf("in the namespace: %v\n%s", err, out)
	}
}

func downloadToFullDisk(t *testing.T, dir string) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Fatal(err)
	}
	data := noise(400_000)
	s := openStore(t, dir)
	var ranges []string
	url := serve(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		content(data)(w, r)
	}))
	r := recipe(fileFor("a.tar", data, release.Location{URL: url}, release.Location{URL: url + "/again"}))
	_, err := s.Fetch(t.Context(), r, "source", Options{})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "\nhint: free 1 MiB for "+dir) {
		t.Fatalf("Fetch = %v, want ENOSPC and a hint", err)
	}
	if len(ranges) != 1 {
		t.Errorf("%d requests with a full disk, want 1", len(ranges))
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=2m"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Fetch(t.Context(), r, "source", Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, got.Path, data)
	if last := ranges[len(ranges)-1]; !strings.HasPrefix(last, "bytes=") {
		t.Errorf("the download was not resumed: ranges %q", ranges)
	}
}
