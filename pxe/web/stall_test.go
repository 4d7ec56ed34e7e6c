package web

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tench/pxe/event"
	"tench/release/netboot"
)

// hurry is how much faster the time to take an answer passes in these tests.
const hurry = 100

// hurried is a listener whose connections keep little on their way, and on which
// writes have a hurry-th of the time that the server gives them.
type hurried struct {
	net.Listener
	conns chan *hurriedConn
}

func newHurried(t *testing.T) *hurried {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &hurried{Listener: l, conns: make(chan *hurriedConn, 1)}
}

func (h *hurried) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if err := c.(*net.TCPConn).SetWriteBuffer(4096); err != nil {
		return nil, err
	}
	hc := &hurriedConn{Conn: c, closed: make(chan struct{})}
	h.conns <- hc
	return hc, nil
}

type hurriedConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}

	mu    sync.Mutex
	given []time.Duration // what the server gave for writing, each time
	since int             // bytes written since then
	most  int             // of since
}

func (c *hurriedConn) SetWriteDeadline(at time.Time) error {
	if at.IsZero() {
		return c.Conn.SetWriteDeadline(at)
	}
	given := time.Until(at)
	c.mu.Lock()
	c.given, c.since = append(c.given, given), 0
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(time.Now().Add(given / hurry))
}

func (c *hurriedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.since += len(p)
	c.most = max(c.most, c.since)
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *hurriedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// times checks what the server gave: stall, each time.
func (c *hurriedConn) times(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	const busy = 5 * time.Second // what a busy machine may take to come to it
	for _, d := range c.given {
		if d > stall || d < stall-busy {
			t.Errorf("a write has %v, want %v", d, stall)
		}
	}
	if len(c.given) == 0 {
		t.Error("a write has all the time there is")
	}
}

// TestClientsThatTakeNothing asks for more than is on its way at once and reads
// none of it. The server must end that, and say so.
func TestClientsThatTakeNothing(t *testing.T) {
	const large = 8 << 20
	tests := []struct {
		name, events string
		ask          func(*bench) (path string, h http.Handler)
	}{
		{"a kernel", "transfer aborted", func(b *bench) (string, http.Handler) {
			b.files["vmlinuz"] = make([]byte, large)
			return "/vmlinuz", b.server.Config.Handler
		}},
		{"an image", "aborted", func(b *bench) (string, http.Handler) {
			b.image = make([]byte, large)
			return b.arm(netboot.Install) + image, b.server.Config.Handler
		}},
		{"the page's events", "", func(b *bench) (string, http.Handler) {
			for n := range 2000 {
				b.table.Event(event.Event{Box: event.MAC{2, 0, 0, 0, byte(n >> 8), byte(n)}, Kind: event.Discover, Text: strings.Repeat("x", 200)})
			}
			return "/events", Desk(DeskOptions{Table: b.table})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			path, h := tt.ask(b)
			l := newHurried(t)
			c := dial(t, serveOn(t, l, h, Limits{}))
			if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
				t.Fatal(err)
			}
			conn := <-l.conns
			select {
			case <-conn.closed:
			case <-time.After(time.Minute):
				t.Fatal("the server keeps the connection")
			}
			conn.times(t)
			if got, _ := io.Copy(io.Discard, c); got >= large/8 {
				t.Errorf("%d bytes were on their way to a client that reads none", got)
			}
			for _, e := range b.events {
				if e.Kind == event.Aborted && (!strings.HasPrefix(e.Text, "the line broke: ") || !strings.Contains(e.Text, "timeout")) {
					t.Errorf("it says %q, want that the line broke, by a time-out", e.Text)
				}
			}
			// How often a transfer is reported is a matter of speed.
			if got := strings.Join(slices.Compact(strings.Fields(b.kinds())), " "); got != tt.events {
				t.Errorf("events %q, want %q", got, tt.events)
			}
		})
	}
}

// TestEveryPieceHasItsTime: a client may be slow as long as it takes some, because
// the time begins anew with every piece of a file.
func TestEveryPieceHasItsTime(t *testing.T) {
	b := newBench(t)
	want := bytes.Repeat([]byte("tench"), 400_000)
	b.files["vmlinuz"] = want
	l := newHurried(t)
	c := dial(t, serveOn(t, l, b.server.Config.Handler, Limits{}))
	if _, err := io.WriteString(c, "GET /vmlinuz HTTP/1.0\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	conn := <-l.conns
	got, err := io.ReadAll(c)
	if err != nil || !bytes.HasSuffix(got, append([]byte("\r\n\r\n"), want...)) {
		t.Errorf("%d bytes came, %v, want the %d of the file behind a header", len(got), err, len(want))
	}
	conn.times(t)
	const piece = 64 << 10
	if conn.most > piece {
		t.Errorf("%d bytes have %v together, want %d at most", conn.most, stall, piece)
	}
}
