package tftp

import "time"

const (
	// hurryShare is the part of a window that flights bring, on average, below which
	// they are started more often.
	hurryShare = 0.55
	// hurryAhead is how many flights are started without an ACK that got ahead.
	hurryAhead = 2
	// hurryGain is by how much that has to be quicker, or it ends for good.
	hurryGain = 1.25
	// hurryTrial is how many flights are timed, before and since.
	hurryTrial = 12
	// hurryLeast is the least time between two flights.
	hurryLeast = time.Millisecond
)

// hurry starts flights before the last one was heard of. A client keeps nothing
// behind a gap, so that at a loss of 5 % a window of 64 brings it 18 blocks for
// each round trip; the flights that follow within it bring as many each, and a
// block is sent as often as before, and as often again.
//
// That is for losses by chance. Where a queue runs over it makes them more, so it
// has to prove itself: is the file on its way quicker than it was? If not it is
// over for this file.
//
//	waiting  until flights bring little, over a line that does not slow them down
//	trying   flights are started at the pace at which they bring something
//	futile   it was not quicker
type hurry struct {
	share float64 // of a window, that a flight brings on average
	ahead int     // flights since the last ACK that got ahead
	state hurryState

	// What is being timed.
	flights int
	since   time.Time
	blocks  int64
	before  float64 // blocks a second while waiting
}

type hurryState int

const (
	waiting hurryState = iota
	trying
	futile
)

// arrived is told of an ACK that got ahead by blocks, which is a part of what the
// flight could bring. level says that a window is not much slower than a packet.
func (h *hurry) arrived(now time.Time, blocks int64, part float64, level bool) {
	h.share += (part - h.share) / 8
	h.ahead = 0
	if h.flights == 0 {
		h.since, h.blocks = now, 0
	} else {
		h.blocks += blocks
	}
	if h.flights++; h.flights <= hurryTrial {
		return
	}
	h.flights = 0
	speed := float64(h.blocks) / now.Sub(h.since).Seconds()
	switch {
	case h.state == waiting:
		h.before = speed
		if h.share < hurryShare && level {
			h.state = trying
		}
	case h.state == trying && h.share < hurryShare && speed < h.before*hurryGain:
		h.state = futile
	}
}

// wanted reports whether to start a flight before the last one was heard of.
func (h *hurry) wanted() bool {
	return h.state == trying && h.share < hurryShare && h.ahead < hurryAhead
}

// wait is how long after the last one that is.
func (h *hurry) wait(rtt time.Duration) time.Duration {
	return max(time.Duration(float64(rtt)*h.share), hurryLeast)
}
