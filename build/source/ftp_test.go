package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/internal/lab"
	"tench/release"
)

// ftpServer speaks as much FTP as our client does, badly where it is told to.
type ftpServer struct {
	answer  func(verb, arg string) string                // to a command, instead of the good one; "" for the good one
	data    func(n int, from int64, conn net.Conn) error // sends the file of the n-th RETR
	names   string                                       // what LIST sends
	passive string                                       // host in the answer to PASV, "" for EPSV

	mu    sync.Mutex
	asked []string // RETR with its REST, one each
}

func serveFTP(t *testing.T, s *ftpServer) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	t.Cleanup(func() { l.Close(); sessions.Wait() })
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { defer conn.Close(); s.session(conn) })
		}
	})
	return "ftp://" + l.Addr().String()
}

func (s *ftpServer) session(conn net.Conn) {
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 ready")
	data, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	defer data.Close()
	port := data.Addr().(*net.TCPAddr).Port
	from := int64(0)
	for lines := textproto.NewReader(bufio.NewReader(conn)); ; {
		line, err := lines.ReadLine()
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(line, " ")
		if s.answer != nil {
			if text := s.answer(verb, arg); text != "" {
				say("%s", text)
				continue
			}
		}
		switch verb {
		case "USER":
			say("331 and the password?")
		case "PASS":
			say("230 hello")
		case "TYPE":
			say("200 ok")
		case "EPSV":
			if s.passive == "" {
				say("229 passive (|||%d|)", port)
			} else {
				say("500 unknown")
			}
		case "PASV":
			say("227 passive (%s,%d,%d)", s.passive, port>>8, port&255)
		case "REST":
			fmt.Sscan(arg, &from)
			say("350 go on")
		case "RETR", "LIST":
			s.mu.Lock()
			s.asked = append(s.asked, fmt.Sprintf("%s %d", line, from))
			n := len(s.asked)
			s.mu.Unlock()
			say("150 here it comes")
			c, err := data.Accept()
			if err != nil {
				return
			}
			if verb == "LIST" {
				fmt.Fprint(c, s.names)
			} else {
				err = s.data(n, from, c)
			}
			c.Close()
			if err != nil {
				say("426 broken")
			} else {
				say("226 done")
			}
			from = 0
		case "QUIT":
			return
		default:
			say("500 unknown")
		}
	}
}

func TestBadFTPServers(t *testing.T) {
	data := noise(100_000)
	all := func(_ int, from int64, c net.Conn) error { _, err := c.Write(data[from:]); return err }
	cutOnce := func(n int, from int64, c net.Conn) error {
		if n == 1 {
			_, _ = c.Write(data[:40_000])
			return errors.New("cut")
		}
		return all(n, from, c)
	}
	whole, resumed := []string{"RETR /x/a.tar 0"}, []string{"RETR /x/a.tar 0", "RETR /x/a.tar 40000"}
	for name, tc := range map[string]struct {
		server *ftpServer
		asked  []string
		err    string // "" where the file is had in the end
	}{
		"a good one":             {&ftpServer{data: all}, whole, ""},
		"connection breaks once": {&ftpServer{data: cutOnce}, resumed, ""},
		"resumes nothing": {&ftpServer{data: cutOnce, answer: func(verb, _ string) string {
			return map[string]string{"REST": "502 unknown"}[verb]
		}}, []string{"RETR /x/a.tar 0", "RETR /x/a.tar 0"}, ""},
		"data from another host": {&ftpServer{data: all, passive: "192,0,2,1"}, whole, ""},
		"sends too much": {&ftpServer{data: func(_ int, _ int64, c net.Conn) error {
			_, _ = c.Write(bytes.Repeat(data, 2))
			return nil
		}}, whole, "the server sends more than the 100000 bytes of the recipe"},
		"sends another file": {&ftpServer{data: func(_ int, _ int64, c net.Conn) error {
			_, err := c.Write(bytes.Repeat([]byte("x"), 100_000))
			return err
		}}, whole, "its SHA-256 is"},
		"another size": {&ftpServer{data: all, answer: func(verb, _ string) string {
			return map[string]string{"SIZE": "213 99"}[verb]
		}}, nil, "the server's file has 99 bytes, not the 100000 of the recipe"},
		"no such file": {&ftpServer{data: all, answer: func(verb, _ string) string {
			return map[string]string{"RETR": "550 no such file"}[verb]
		}}, nil, "no such file"},
		"no guests": {&ftpServer{data: all, answer: func(verb, _ string) string {
			return map[string]string{"PASS": "530 go away"}[verb]
		}}, nil, "go away"},
		"busy for ever": {&ftpServer{data: all, answer: func(verb, _ string) string {
			return map[string]string{"USER": "421 too many users"}[verb]
		}}, nil, "too many users"},
	} {
		t.Run(name, func(t *testing.T) {
			server := tc.server
			address := serveFTP(t, server) + "/x/a.tar"
			s := openStore(t, t.TempDir())
			p := pinFor("a.tar", data)
			err := s.fromURL(t.Context(), address, p, address, Options{})
			server.mu.Lock()
			defer server.mu.Unlock()
			if diff := cmp.Diff(tc.asked, server.asked); diff != "" {
				t.Errorf("asked (-want +got)\n%s", diff)
			}
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("fromURL = %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantContent(t, s.path(p), data)
		})
	}
}

func TestFTPServerThatStalls(t *testing.T) {
	data := noise(100_000)
	for name, ctrlC := range map[string]bool{"for ever": false, "until ctrl-C": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			server := &ftpServer{data: func(_ int, from int64, c net.Conn) error {
				if _, err := c.Write(data[from : from+100]); err != nil {
					return err
				}
				_, err := c.Read(make([]byte, 1)) // until the client is gone
				return err
			}}
			address := serveFTP(t, server) + "/a.tar"
			s := openStore(t, t.TempDir())
			s.idle = 200 * time.Millisecond
			o := Options{}
			if ctrlC {
				s.idle = time.Hour
				o.Progress = func(int64, int64, string) { cancel() }
			}
			err := s.fromURL(ctx, address, pinFor("a.tar", data), address, o)
			if ctrlC && !errors.Is(err, context.Canceled) || !ctrlC && (err == nil || !strings.Contains(err.Error(), "the server sent nothing for 200ms")) {
				t.Errorf("fromURL = %v", err)
			}
		})
	}
}

func TestNewerByFTP(t *testing.T) {
	server := &ftpServer{names: "-rw-r--r--    1 0        0              12 Jan 01  2026 linux-6.12.118.tar.xz\r\n" +
		"-rw-r--r--    1 0        0              12 Jan 01  2026 linux-6.12.20.tar.xz\r\nthis is no entry\r\n"}
	l := release.Location{URL: serveFTP(t, server) + "/pub/linux-6.12.117.tar.xz"}
	got := openStore(t, t.TempDir()).Newer(t.Context(), recipe(fileFor("a", []byte("a"), l)), "source", Options{})
	if diff := cmp.Diff([]Candidate{{Location: l, Version: "6.12.118"}}, got); diff != "" {
		t.Errorf("Newer (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"LIST /pub/ 0"}, server.asked); diff != "" {
		t.Errorf("asked (-want +got)\n%s", diff)
	}
}

// debianPython is the one that Debian's modules are for.
const debianPython = "/usr/bin/python3"

// TestPythonFTPServer downloads from a server that is not ours.
func TestPythonFTPServer(t *testing.T) {
	lab.Require(t, debianPython)
	root := t.TempDir()
	data := noise(3_000_000)
	for name, content := range map[string][]byte{"bird-6.12.117.tar": data, "bird-6.12.200.tar": nil, "bird-6.12.99.tar": nil} {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	console := lab.Start(t, debianPython, "-u", "-m", "pyftpdlib", "--interface=127.0.0.1", "--port=0", "--directory="+root)
	port := console.Expect(t, `127\.0\.0\.1:(\d+)`, time.Minute)[1]
	address := "ftp://127.0.0.1:" + port + "/bird-6.12.117.tar"
	s := openStore(t, t.TempDir())
	p := pinFor("bird-6.12.117.tar", data)
	if err := os.WriteFile(s.partial(p), data[:1_000_000], 0o644); err != nil {
		t.Fatal(err)
	}
	first := int64(-1)
	l := release.Location{URL: address}
	got, err := s.Fetch(t.Context(), recipe(fileFor(p.Name, data, l)), "source", Options{Progress: func(done, _ int64, _ string) {
		if first < 0 {
			first = done
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, got.Path, data)
	if first <= 1_000_000 {
		t.Errorf("progress began at %d: it was not resumed", first)
	}
	newer := s.Newer(t.Context(), recipe(fileFor(p.Name, data, l)), "source", Options{})
	if diff := cmp.Diff([]Candidate{{Location: l, Version: "6.12.200"}}, newer); diff != "" {
		t.Errorf("Newer (-want +got)\n%s", diff)
	}
	gone := pinFor("none.tar", data[1:])
	if err := s.fromURL(t.Context(), strings.Replace(address, "bird", "none", 1), gone, "", Options{}); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("fromURL of no file = %v", err)
	}
}
