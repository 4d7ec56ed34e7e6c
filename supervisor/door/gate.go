package door

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// limits bound what those who have not logged in can cost. A source is an IPv4
// address or an IPv6 network of 64 bits, of which a single host can use any
// address.
type limits struct {
	all, each  int     // connections at a time: of all sources, of one
	burst      float64 // connections that a source may make at once
	perSecond  float64 // … and in the long run; one that logs in does not count
	remembered int     // sources
}

// theLimits let twenty programs of one operator in at once, and let a source that
// guesses keys try fifteen times a minute.
var theLimits = limits{all: 48, each: 24, burst: 30, perSecond: 0.25, remembered: 1024}

// gate counts connections that have not logged in. When there are too many in
// all, the oldest one of the source that has most makes room for one of another
// source: somebody who floods the box, even from many places, does
// not keep an operator out, whose login takes less time than it takes to get to
// the end of that queue.
type gate struct {
	limits
	now func() time.Time

	mu      sync.Mutex // guards the rest
	waiting int
	entered int // connections since the start: the number of the next ticket
	sources map[netip.Prefix]*source
}

// source is what the gate knows of one source.
type source struct {
	tickets []*ticket // oldest first
	credit  float64   // connections that it may still make
	at      time.Time // when credit was right
}

// ticket is a connection that has not logged in.
type ticket struct {
	gate    *gate
	from    netip.Prefix
	number  int
	give    func() // makes the connection end
	settled bool   // it has logged in, or is gone
}

func newGate(l limits, now func() time.Time) *gate {
	return &gate{limits: l, now: now, sources: map[netip.Prefix]*source{}}
}

// sourceOf is the source that an address belongs to.
func sourceOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // its only error is of too many bits
	return p
}

// enter lets a new connection wait for its login, or refuses it. end is called
// if it has to make room for another.
func (g *gate) enter(a netip.Addr, end func()) (*ticket, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := sourceOf(a)
	s := g.sourceLocked(from)
	switch {
	case s.credit < 1:
		return nil, fmt.Errorf("%s makes too many connections", from)
	case len(s.tickets) >= g.each:
		return nil, fmt.Errorf("%s has %d connections that have not logged in", from, len(s.tickets))
	case g.waiting >= g.all && !g.makeRoomLocked(s):
		return nil, fmt.Errorf("there are %d connections that have not logged in", g.waiting)
	}
	t := &ticket{gate: g, from: from, number: g.entered, give: end}
	g.entered++
	s.credit--
	s.tickets = append(s.tickets, t)
	g.waiting++
	return t, nil
}

// sourceLocked finds a source, or remembers a new one.
func (g *gate) sourceLocked(from netip.Prefix) *source {
	now := g.now()
	s := g.sources[from]
	if s == nil {
		if len(g.sources) >= g.remembered {
			g.forgetLocked()
		}
		s = &source{credit: g.burst, at: now}
		g.sources[from] = s
	}
	g.refill(s, now)
	return s
}

func (g *gate) refill(s *source, now time.Time) {
	s.credit = min(g.burst, s.credit+max(0, now.Sub(s.at).Seconds())*g.perSecond)
	s.at = now
}

// forgetLocked forgets the source of which there is least to remember.
func (g *gate) forgetLocked() {
	now := g.now()
	var least netip.Prefix
	most := -1.0
	for from, s := range g.sources {
		g.refill(s, now)
		if len(s.tickets) == 0 && s.credit > most {
			least, most = from, s.credit
		}
	}
	delete(g.sources, least)
}

// makeRoomLocked ends the oldest connection of the source that has most, unless
// that is the one that wants in; among equals, the oldest of all.
func (g *gate) makeRoomLocked(in *source) bool {
	var most *source
	for _, s := range g.sources {
		if s != in && len(s.tickets) >= max(1, len(in.tickets)) && (most == nil || s.before(most)) {
			most = s
		}
	}
	if most == nil {
		return false
	}
	oldest := most.tickets[0]
	oldest.leaveLocked()
	oldest.give()
	return true
}

// before reports whether s makes room rather than other.
func (s *source) before(other *source) bool {
	if len(s.tickets) != len(other.tickets) {
		return len(s.tickets) > len(other.tickets)
	}
	return s.tickets[0].number < other.tickets[0].number
}

// passed notes that the connection has logged in: it waits no longer, and does
// not count as one that its source made. It reports false if it had to make
// room before.
func (t *ticket) passed() bool {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	if t.settled {
		return false
	}
	t.leaveLocked()
	if s := t.gate.sources[t.from]; s != nil {
		s.credit = min(t.gate.burst, s.credit+1)
	}
	return true
}

// gone notes that the connection ended, if it has not passed.
func (t *ticket) gone() {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	t.leaveLocked()
}

func (t *ticket) leaveLocked() {
	if t.settled {
		return
	}
	t.settled = true
	t.gate.waiting--
	s := t.gate.sources[t.from] // those with tickets are not forgotten
	for i, other := range s.tickets {
		if other == t {
			s.tickets = append(s.tickets[:i:i], s.tickets[i+1:]...)
			return
		}
	}
}
