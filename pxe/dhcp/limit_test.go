package dhcp

import (
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/pxe/event"
)

// TestOneClientTooMuch checks that a client that asks without end is answered
// some, hears of no more, and keeps nobody out.
func TestOneClientTooMuch(t *testing.T) {
	b := newBench(t, Full, self)
	answers, told := 0, 0
	for range 2 * serverBurst {
		r, out := b.send(t, ask(mac, dhcpv4.MessageTypeDiscover), 67)
		if r != nil {
			answers++
		} else if len(out.events) > 0 {
			told++
		}
	}
	if answers != clientBurst || told != 1 {
		t.Errorf("%d answers and %d words about the rest, want %d and 1", answers, told, clientBurst)
	}
	b.lease(t, numbered(1))
	b.now = b.now.Add(time.Second)
	for n := range perClient {
		if r, out := b.send(t, ask(mac, dhcpv4.MessageTypeDiscover), 67); r == nil {
			t.Errorf("a second later, packet %d: %v", n, says(out))
		}
	}
}

// TestStrangersTooMany checks that packets with ever new addresses fill no table
// beyond its bound, and that somebody who comes later is served.
func TestStrangersTooMany(t *testing.T) {
	l := newLimiter()
	passed := 0
	now := start
	for n := range 100000 {
		now = now.Add(10 * time.Microsecond)
		if l.take(event.MAC{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)}, now) == pass {
			passed++
		}
	}
	if len(l.clients) > mostClients || passed > serverBurst+2*perServer {
		t.Errorf("%d counters, %d passed in a second", len(l.clients), passed)
	}
	if v := l.take(mac, now.Add(5*time.Second)); v != pass {
		t.Errorf("five seconds later: %v", v)
	}
}

// TestUnreadableTooMuch checks that noise is spoken of a few times only.
func TestUnreadableTooMuch(t *testing.T) {
	b := newBench(t, Full, self)
	told := 0
	for range 1000 {
		told += len(b.receive(packet{payload: []byte("noise"), from: nobody, port: 67}, b.now).events)
	}
	if told != clientBurst {
		t.Errorf("spoke of it %d times, want %d", told, clientBurst)
	}
}
