// Package link is a line that loses, delays, doubles and reorders packets, the
// same ones for the same seed. Linux' netem is a module that not every kernel
// has, and draws its own lots.
//
//	link.go        what becomes of a packet: pure, for simulations too
//	tap_linux.go   a cable with such a line between two network namespaces
package link

import (
	"math/rand/v2"
	"time"
)

// Line is what happens to packets in one direction. The zero value is a perfect
// line. Probabilities are from 0 to 1.
type Line struct {
	Delay     time.Duration // of every packet
	Rate      int64         // bytes a second; 0: no limit
	Queue     time.Duration // with a Rate: what would wait longer is lost; 0: nothing is
	Loss      float64
	Duplicate float64 // a second copy, right behind
	Reorder   float64 // held back by Late, so that others overtake
	Late      time.Duration
}

// Link is a Line in use. It is not safe for concurrent use.
type Link struct {
	line Line
	lots *rand.Rand
	free time.Time // when what was sent so far has left
}

// New returns a line whose misfortunes follow from seed.
func New(line Line, seed uint64) *Link {
	return &Link{line: line, lots: rand.New(rand.NewPCG(seed, 0x74656e6368))}
}

// Carry is told that a packet of size bytes is sent, and returns when its copies
// arrive: none if it is lost. For each packet it draws the same number of lots,
// so that one probability does not change what another does.
func (l *Link) Carry(now time.Time, size int) []time.Time {
	lost, twice, late := l.lots.Float64() < l.line.Loss, l.lots.Float64() < l.line.Duplicate, l.lots.Float64() < l.line.Reorder
	if l.line.Rate > 0 {
		if l.free.Before(now) {
			l.free = now
		}
		if l.line.Queue > 0 && l.free.Sub(now) > l.line.Queue {
			return nil
		}
		l.free = l.free.Add(time.Duration(int64(size) * int64(time.Second) / l.line.Rate))
		now = l.free
	}
	if lost {
		return nil
	}
	arrives := now.Add(l.line.Delay)
	if late {
		arrives = arrives.Add(l.line.Late)
	}
	if twice {
		return []time.Time{arrives, arrives}
	}
	return []time.Time{arrives}
}
