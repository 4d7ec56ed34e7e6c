package tftp

import (
	"net/netip"
	"time"
)

// What a client, and all of them, may have.
const (
	clientTransfers = 16   // at once; a loader has one or two
	allTransfers    = 1024 // at once
	clientRate      = 500  // requests a second: FreeBSD's loader asks a hundred names in a row
	allRate         = 5000 // requests a second
	maxGuests       = 4096 // clients remembered
)

// gate keeps count of what clients have. A client is an address: its ports cost
// it nothing. Who is refused gets no answer and asks again, as it does when a
// packet is lost; an ERROR would end its boot.
type gate struct {
	all    guest
	guests map[netip.Addr]*guest
}

// guest is one client, or all of them together.
type guest struct {
	transfers int
	requests  float64   // how many it may make now
	filled    time.Time // when that was true
	told      bool      // that it was refused, since it was last let in
}

func newGate() *gate { return &gate{guests: map[netip.Addr]*guest{}} }

// enter lets a request in. A refusal has a reason that is not "" the first time.
func (g *gate) enter(client netip.Addr, now time.Time) (reason string, ok bool) {
	c := g.guest(client, now)
	if c == nil {
		return "", false
	}
	g.all.fill(now, allRate)
	c.fill(now, clientRate)
	switch {
	case c.requests < 1 || g.all.requests < 1:
		reason = "it asks too much at once"
	case c.transfers >= clientTransfers:
		reason = "it has too many transfers at once"
	case g.all.transfers >= allTransfers:
		reason = "there are too many transfers at once"
	}
	if reason != "" {
		if c.told {
			reason = ""
		}
		c.told = true
		return reason, false
	}
	c.told = false
	c.requests--
	g.all.requests--
	return "", true
}

// begin and end count a transfer of a client that was let in.
func (g *gate) begin(client netip.Addr) {
	g.all.transfers++
	g.guests[client].transfers++
}

func (g *gate) end(client netip.Addr) {
	g.all.transfers--
	g.guests[client].transfers--
}

// guest finds or makes the record of a client; nil when there are too many that
// matter.
func (g *gate) guest(client netip.Addr, now time.Time) *guest {
	c := g.guests[client]
	if c != nil {
		return c
	}
	if len(g.guests) >= maxGuests {
		g.forget(now)
	}
	if len(g.guests) >= maxGuests {
		return nil
	}
	c = &guest{}
	g.guests[client] = c
	return c
}

// forget drops the clients that are as if they had never come.
func (g *gate) forget(now time.Time) {
	for addr, c := range g.guests {
		c.fill(now, clientRate)
		if c.transfers == 0 && c.requests >= clientRate {
			delete(g.guests, addr)
		}
	}
}

// fill gives back requests at rate a second, a second's worth at most. A new
// guest may make them all.
func (c *guest) fill(now time.Time, rate float64) {
	c.requests = min(c.requests+rate*now.Sub(c.filled).Seconds(), rate)
	c.filled = now
}
