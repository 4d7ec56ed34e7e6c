package install

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/release/netboot"
)

// Go's own server understands the client, and hides nothing from it.
func TestClientAndRealHTTP(t *testing.T) {
	var got []string
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.String()+" "+r.Host+" "+string(body))
		switch r.URL.Path {
		case "/b/" + token + "/plan":
			io.WriteString(w, `{"disk":"sda"}`)
		case "/b/" + token + "/image":
			for range 100 { // without a length
				io.WriteString(w, strings.Repeat("tench", 1000))
				w.(http.Flusher).Flush()
			}
		case "/b/" + token + "/done":
			w.WriteHeader(http.StatusNoContent)
		default:
			http.Error(w, "no such\x1b[2J thing\n\nat all", http.StatusNotFound)
		}
	}))
	defer h.Close()
	c := Client{File: netboot.File{Server: h.URL, Token: token}, Dial: (&net.Dialer{}).DialContext}
	var plan netboot.Plan
	if err := c.Post(t.Context(), "plan", netboot.Question{}, &plan); err != nil || plan.Disk != "sda" {
		t.Errorf("plan = %+v, %v", plan, err)
	}
	if err := c.Post(t.Context(), "done", netboot.Done{SHA256: "12"}, nil); err != nil {
		t.Errorf("done: %v", err)
	}
	r, err := c.Get(t.Context(), "image?disk=sda&size=512", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); err != nil || len(data) != 500_000 {
		t.Errorf("image: %d bytes, %v", len(data), err)
	}
	err = c.Post(t.Context(), "else", 1, nil)
	var refusal *Refusal
	if !errors.As(err, &refusal) || !final(err) || err.Error() != "post else: the server refuses (404): no such[2J thing at all" {
		t.Errorf("a refusal: %v", err)
	}
	host := strings.TrimPrefix(h.URL, "http://")
	want := []string{"POST /b/" + token + "/plan " + host + ` {"disks":null}`, "POST /b/" + token + "/done " + host + ` {"sha256":"12"}`,
		"GET /b/" + token + "/image?disk=sda&size=512 " + host + " ", "POST /b/" + token + "/else " + host + " 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the server saw (-want +got):\n%s", diff)
	}
}

// answering is a client whose server says the same to everything.
func answering(t *testing.T, answer string) Client {
	return Client{File: netboot.File{Server: "http://192.0.2.1", Token: token},
		Dial: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				defer there.Close()
				buf := make([]byte, 4096)
				if _, err := there.Read(buf); err == nil {
					io.WriteString(there, answer) // the client may hang up before
				}
			}()
			return here, nil
		}}
}

func TestAnswers(t *testing.T) {
	for name, tc := range map[string]struct{ answer, want string }{
		"well":                     {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more", ""},
		"bare newlines":            {"HTTP/1.0 200 OK\n\n{}", ""},
		"silent":                   {"", "unexpected EOF"},
		"no HTTP":                  {"220 ftp.lan FTP\r\n", "which is not HTTP"},
		"an odd code":              {"HTTP/1.1 2x0 OK\r\n\r\n", "which is not HTTP"},
		"chunks":                   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", `comes as "chunked"`},
		"a length that is none":    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", `a length of "-1"`},
		"cut in the head":          {"HTTP/1.1 200 OK\r\nContent-", "unexpected EOF"},
		"a head without an end":    {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 2000), "more than 8192 bytes of headers"},
		"a line without an end":    {"HTTP/1.1 200 " + strings.Repeat("x", 40000), "more than 8192 bytes of headers"},
		"an answer without an end": {"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", maxAnswer+1), "it has more than 65536 bytes"},
		"no JSON":                  {"HTTP/1.1 200 OK\r\n\r\n<html>", "read the answer: invalid character '<'"},
		"no, without a word":       {"HTTP/1.1 403 Forbidden\r\n\r\n", "the server refuses (403): it does not say why"},
		"no, and no end":           {"HTTP/1.1 500 No\r\n\r\n" + strings.Repeat("long ", 10000), "the server refuses (500): long long"},
	} {
		t.Run(name, func(t *testing.T) {
			var answer struct{}
			err := answering(t, tc.answer).Post(t.Context(), "plan", 1, &answer)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Post = %v; want %q", err, tc.want)
			}
			if err != nil && (strings.Contains(err.Error(), token) || len(err.Error()) > 2000) {
				t.Errorf("the error has the token, or is too long: %v", err)
			}
		})
	}
}

// A server that says nothing is left when the context ends.
func TestClientEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := answering(t, "")
	c.Dial = func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			io.ReadFull(there, make([]byte, 20)) // the request has come
			cancel()
		}()
		t.Cleanup(func() { there.Close() })
		return here, nil
	}
	if err := c.Post(ctx, "plan", 1, nil); err == nil {
		t.Error("Post = nil")
	}
}

// A server that sends drop by drop does not keep a request alive, nor does the
// context end in between unnoticed.
func TestClientEndsBetweenReads(t *testing.T) {
	c := answering(t, "")
	c.Dial = func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { there.Close() })
		go func() {
			io.ReadFull(there, make([]byte, 20))
			go io.Copy(io.Discard, there)
			io.WriteString(there, "HTTP/1.1 200 OK\r\n\r\ndrop")
		}()
		return here, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := c.Get(ctx, "image", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 4)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v; want that the context has ended", err)
	}
}

// Where an answer begins is the server's word, and what was asked for, or its
// start.
func TestAnswersOfTheRest(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		at     int64
		want   string // error
	}{
		"the rest":                      {"HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\nContent-Range: bytes 3-9/10\r\n\r\n", 3, ""},
		"all of it":                     {"HTTP/1.1 200 OK\r\nETag: \"x\"\r\n\r\n", 0, ""},
		"a part that is not named":      {"HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\n\r\n", 0, ""},
		"another part":                  {"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-9/10\r\n\r\n", 0, "the answer begins at byte 4, not 3"},
		"a range that is none":          {"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes -9/10\r\n\r\n", 0, `a range of "bytes -9/10"`},
		"no range that it has, it says": {"HTTP/1.1 416 No\r\nContent-Range: bytes */2\r\n\r\nends before", 0, "the server refuses (416): ends before"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := answering(t, tc.answer).Get(t.Context(), "image?disk=sda", 3, `"x"`)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("Get = %v, want %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if a.At != tc.at || a.Tag != `"x"` {
				t.Errorf("it begins at %d of %s, want at %d", a.At, a.Tag, tc.at)
			}
		})
	}
}

func FuzzReadHead(f *testing.F) {
	f.Add("HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\nContent-Range: bytes 3-9/10\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	f.Add("HTTP/1.0 404\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := readHead(bufio.NewReader(strings.NewReader(text)))
		if err == nil && (h.status < 200 || h.status > 599 || h.length < -1 || h.at < 0) {
			t.Errorf("readHead(%q) = %+v", text, h)
		}
	})
}
