package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serve starts a server with limits and returns its address.
func serve(t *testing.T, h http.Handler, limits Limits) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, h, limits)
}

func serveOn(t *testing.T, l net.Listener, h http.Handler, limits Limits) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, h, limits) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute)) // so that a failure is no hang
	return c
}

// ok reads every body and answers.
var ok = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	fmt.Fprintln(w, "ok")
})

// blind reads no body: the server does so itself.
var blind = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })

// TestSlowClients holds a connection with less than a request. The server must
// end it; a test that sees no end hangs until its deadline, and fails.
func TestSlowClients(t *testing.T) {
	const soon = 20 * time.Millisecond
	tests := []struct {
		name, sends string
		handler     http.Handler
		limits      Limits
	}{
		{"says nothing", "", ok, Limits{Header: soon}},
		{"half a line", "GET /vmli", ok, Limits{Header: soon}},
		{"header after header", "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n", ok, Limits{Header: soon}},
		{"half a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx", ok, Limits{Body: soon}},
		{"half a body that nobody reads", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx", blind, Limits{Body: soon}},
		{"half a chunk", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx", ok, Limits{Body: soon}},
		{"no further request", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ok, Limits{Idle: soon}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, serve(t, tt.handler, tt.limits))
			if _, err := io.WriteString(c, tt.sends); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("the server keeps the connection: %v", err)
			}
		})
	}
}

// What a handler does before it answers may take longer than a client has to take a
// piece of an answer.
func TestAnAnswerThatTookLong(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"200": func(w http.ResponseWriter) { fmt.Fprintln(w, "ok") },
		"204": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
		"409": func(w http.ResponseWriter) { http.Error(w, "no", http.StatusConflict) },
	} {
		t.Run(name, func(t *testing.T) {
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)); err != nil { // as if it had passed meanwhile
					t.Error(err)
				}
				answer(w)
			})
			res, err := http.Get("http://" + serve(t, h, Limits{}))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if !strings.HasPrefix(res.Status, name) {
				t.Errorf("the answer is %s, want %s", res.Status, name)
			}
		})
	}
}

func TestLongHeader(t *testing.T) {
	c := dial(t, serve(t, ok, Limits{}))
	go func() { // the server stops reading in the middle
		_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	}()
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 64 kB: %s, want 431", answer.Status)
	}
}

func TestConnectionsOfOneClient(t *testing.T) {
	addr := serve(t, ok, Limits{PerClient: 2, Total: 10})
	get := func(c net.Conn) error {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
		}
		return err
	}
	first, second := dial(t, addr), dial(t, addr)
	for _, c := range []net.Conn{first, second} {
		if err := get(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := get(dial(t, addr)); err == nil {
		t.Error("a third connection is answered, want two of a client")
	}
	if err := first.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, first); err != nil { // until the server has closed it too
		t.Fatal(err)
	}
	if err := get(dial(t, addr)); err != nil {
		t.Errorf("a connection after another has ended: %v", err)
	}
}

// The operator's callers are of one address, share one limit, and hear of it.
func TestConnectionsOfTheDesk(t *testing.T) {
	const total = 20 // more than a client on the cable has
	addr := serve(t, ok, Limits{Desk: true, Total: total, Header: time.Hour})
	status := func(c net.Conn) int {
		t.Helper()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	var last net.Conn
	for n := range total {
		if last = dial(t, addr); status(last) != http.StatusOK {
			t.Fatalf("connection %d of %d is refused", n+1, total)
		}
	}
	over := dial(t, addr)
	if got := status(over); got != http.StatusServiceUnavailable {
		t.Errorf("connection %d is answered %d, want 503", total+1, got)
	}
	for _, c := range []net.Conn{over, last} {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil { // until the server has closed it too
			t.Fatal(err)
		}
	}
	if got := status(dial(t, addr)); got != http.StatusOK {
		t.Errorf("a connection after another has ended is answered %d, want 200", got)
	}
	// Beyond what can be told so there is no answer.
	for range total + spare {
		dial(t, addr)
	}
	if _, err := dial(t, addr).Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a connection far beyond the limit: %v, want it closed", err)
	}
}

func TestSourceOfAConnection(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.10:5000":           "192.0.2.10",
		"[::ffff:192.0.2.10]:5000":  "192.0.2.10",
		"[2001:db8::1:2:3:4]:5000":  "2001:db8::",
		"[2001:db8::ffff]:80":       "2001:db8::",
		"[fe80::5054:ff:fe00:1%e]:": "invalid IP",
		"@":                         "invalid IP",
	} {
		if got := source(remoteConn{remote: remote}).String(); got != want {
			t.Errorf("source of %s = %s, want %s", remote, got, want)
		}
	}
}

type remoteConn struct {
	net.Conn
	remote string
}

func (c remoteConn) RemoteAddr() net.Addr { return address(c.remote) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
