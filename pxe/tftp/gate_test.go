package tftp

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func TestGateCountsTransfers(t *testing.T) {
	g, now := newGate(), epoch
	greedy, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range clientTransfers {
		if reason, ok := g.enter(greedy, now); !ok {
			t.Fatalf("transfer %d is refused: %s", i, reason)
		}
		g.begin(greedy)
	}
	if reason, ok := g.enter(greedy, now); ok || reason == "" {
		t.Errorf("one more: %v, %q, want a refusal with a reason", ok, reason)
	}
	if reason, ok := g.enter(greedy, now); ok || reason != "" {
		t.Errorf("and again: %v, %q, want a refusal that is not told twice", ok, reason)
	}
	if reason, ok := g.enter(other, now); !ok {
		t.Errorf("another client is refused: %s", reason)
	}
	g.end(greedy)
	if reason, ok := g.enter(greedy, now); !ok {
		t.Errorf("after one has ended it is refused: %s", reason)
	}
}

func TestGateCountsRequests(t *testing.T) {
	g, now := newGate(), epoch
	client := netip.MustParseAddr("192.0.2.1")
	let := func() (n int) {
		for range 2 * clientRate {
			if _, ok := g.enter(client, now); ok {
				n++
			}
		}
		return n
	}
	if got := let(); got != clientRate {
		t.Errorf("at once %d requests pass, want %d", got, clientRate)
	}
	now = now.Add(100 * time.Millisecond)
	if got, want := let(), clientRate/10; got < want-1 || got > want {
		t.Errorf("after 100 ms %d requests pass, want %d", got, want)
	}
}

func TestGateForgets(t *testing.T) {
	g, now := newGate(), epoch
	flood := func(net byte) (let int) {
		for i := range uint16(maxGuests) {
			if i%allRate == 0 {
				now = now.Add(time.Second)
			}
			addr := [4]byte{10, net}
			binary.BigEndian.PutUint16(addr[2:], i)
			if _, ok := g.enter(netip.AddrFrom4(addr), now); ok {
				let++
			}
		}
		return let
	}
	if got := flood(1); got != maxGuests {
		t.Errorf("%d of %d clients pass", got, maxGuests)
	}
	now = now.Add(time.Minute)
	if got := flood(2); got != maxGuests {
		t.Errorf("a minute later %d of %d others pass", got, maxGuests)
	}
	if len(g.guests) > maxGuests {
		t.Errorf("%d clients are remembered, want %d at most", len(g.guests), maxGuests)
	}
}
