package tftp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"tench/pxe/event"
)

// clock is the real one, which a test sets forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
	due   time.Duration // to be added to that
	last  time.Time     // when somebody looked
}

// waited is a time in which nobody looks because the server waits for clients.
const waited = 80 * time.Millisecond

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.last) > waited {
		c.ahead, c.due = c.ahead+c.due, 0
	}
	c.last = now
	return now.Add(c.ahead)
}

// forward sets it forward at the end of the wait in which the server is, or is about
// to be. It waits for its sockets in real time: what it notes before a wait must not
// be ahead.
func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due += d
}

// set reports whether it was.
func (c *clock) set() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.due == 0
}

// servingByClock is serving with such a clock.
func servingByClock(t *testing.T, files tree) (addr netip.AddrPort, c *clock, events chan event.Event, stop func()) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, events = &clock{}, make(chan event.Event, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, conn, Options{Open: files.open, Sink: func(e event.Event) { events <- e }, Now: c.now})
		conn.Close()
		close(events)
	}()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil // it may be stopped twice
	}
	t.Cleanup(stop)
	return conn.LocalAddr().(*net.UDPAddr).AddrPort(), c, events, stop
}

// A client that falls silent is given up, at its time and not before, and the
// operator reads of it.
func TestSilentClients(t *testing.T) {
	file := content(1200)
	tests := []struct {
		name         string
		options      []option
		talk         func(*peer)
		last         string // what it does not acknowledge
		patience     time.Duration
		said, before string // in the end; and when the server ends before
	}{
		{name: "from the start", talk: func(p *peer) {}, last: data(1, file[:512]), patience: patienceShort,
			said: "aborted file 0/1200 the box no longer answers", before: "aborted file 0/1200 the server stops"},
		{name: "after its options", options: []option{{"tsize", "0"}}, talk: func(p *peer) {}, last: "\x00\x06tsize\x001200\x00", patience: patienceShort,
			said: "aborted file 0/1200 the box no longer answers", before: "aborted file 0/1200 the server stops"},
		{name: "after the first block", talk: func(p *peer) {
			p.expect(data(1, file[:512]))
			p.answer(ack(1))
		}, last: data(2, file[512:1024]), patience: patience,
			said: "aborted file 512/1200 the box no longer answers", before: "aborted file 512/1200 the server stops"},
		{name: "with the last block", talk: func(p *peer) {
			p.expect(data(1, file[:512]))
			p.answer(ack(1))
			p.expect(data(2, file[512:1024]))
			p.answer(ack(2))
		}, last: data(3, file[1024:]), patience: patienceShort,
			said: "transfer file 1200/1200 its last acknowledgement never came", before: "aborted file 1024/1200 the server stops"},
	}
	for _, tt := range tests {
		silent := func(t *testing.T, d time.Duration) (*peer, *clock, chan event.Event, func()) {
			addr, c, events, stop := servingByClock(t, tree{"file": file})
			p := newPeer(t, addr)
			p.ask("file", tt.options...)
			tt.talk(p)
			p.expect(tt.last)
			c.forward(d)
			return p, c, events, stop
		}
		t.Run(tt.name, func(t *testing.T) {
			_, _, events, _ := silent(t, tt.patience)
			if got := ended(t, events); got != tt.said {
				t.Errorf("the server says %q, want %q", got, tt.said)
			}
		})
		t.Run(tt.name+", not long enough", func(t *testing.T) {
			p, c, events, stop := silent(t, tt.patience*2/5)
			p.expect(tt.last) // once more
			for !c.set() {
				p.expect(tt.last)
			}
			stop()
			if got := ended(t, events); got != tt.before {
				t.Errorf("the server says %q, want %q", got, tt.before)
			}
		})
	}
}

// ended is what the server says of the end of the one transfer.
func ended(t *testing.T, events chan event.Event) string {
	t.Helper()
	for {
		if e := next(t, events); e.Kind != event.Transfer || e.Done == e.Total {
			return fmt.Sprintf("%s %s %d/%d %s", e.Kind, e.File, e.Done, e.Total, e.Text)
		}
	}
}

// Clients that are silent take no place from others once they are given up.
func TestSilentClientsMakeRoom(t *testing.T) {
	addr, c, events, _ := servingByClock(t, tree{"file": content(1)})
	for range clientTransfers {
		p := newPeer(t, addr)
		p.ask("file")
		p.expect(data(1, content(1)))
	}
	late := newPeer(t, addr)
	late.ask("file")
	if e := next(t, events); e.Kind != event.Refused || e.Text != "it has too many transfers at once" {
		t.Fatalf("the server says %v %q of one client's transfer %d", e.Kind, e.Text, clientTransfers+1)
	}
	c.forward(patienceShort)
	for range clientTransfers {
		if e := next(t, events); e.Kind != event.Aborted || !strings.Contains(e.Text, "no longer answers") {
			t.Errorf("the server says %v %q, want that a box no longer answers", e.Kind, e.Text)
		}
	}
	// Its goroutine has said so and is about to end.
	for range 100 {
		late.ask("file")
		late.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, _, err := late.conn.ReadFromUDPAddrPort(make([]byte, 512)); err == nil {
			return
		}
	}
	t.Error("it is not served when the others are gone")
}

// next is the next event, which must come.
func next(t *testing.T, events chan event.Event) event.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(time.Minute):
		t.Fatal("the server says nothing more")
		return event.Event{}
	}
}
