package tftp

import "time"

// Bounds of the waits.
const (
	waitUnknown = 250 * time.Millisecond // before the first measurement
	waitFirst   = 100 * time.Millisecond // the least for the first data
	waitShort   = 10 * time.Millisecond  // the least of the first, short ones
	waitLeast   = 200 * time.Millisecond // the least of the others
	waitMost    = time.Second
)

// rtt estimates how long the client takes to answer, RFC 6298 section 2.
type rtt struct {
	smooth, deviation time.Duration // SRTT, RTTVAR
	least             time.Duration // the shortest measured; 0: none was
	known             bool          // a flight of data was measured
}

// measured takes one measurement: of data, or of the OACK, which says how far
// away the client is but not how long a window takes to get there.
func (r *rtt) measured(d time.Duration, data bool) {
	d = max(d, time.Microsecond)
	if r.least == 0 || d < r.least {
		r.least = d
	}
	switch {
	case !data:
	case !r.known:
		r.smooth, r.deviation, r.known = d, d/2, true
	default:
		r.deviation += ((r.smooth - d).Abs() - r.deviation) / 4
		r.smooth += (d - r.smooth) / 8
	}
}

// level reports whether a window takes not much longer than a packet: the line does
// not slow it down.
func (r *rtt) level() bool { return r.known && r.smooth < 2*r.least }

// wait is how long the try-th wait for an answer is, counted from 0. The first
// two are short, two round trips at least as RFC 8985 section 7.2 has it, because
// what they end with costs little if the client is merely slow; then it is RFC
// 6298's, doubled each time it was in vain.
func (r *rtt) wait(try int) time.Duration {
	switch {
	case r.least == 0:
		return doubled(waitUnknown, try)
	case !r.known:
		return doubled(max(2*r.least, waitFirst), try)
	case try < probes:
		return max(r.smooth+max(r.smooth, 4*r.deviation), waitShort)
	}
	return doubled(max(r.smooth+4*r.deviation, waitLeast), try-probes)
}

// doubled is d doubled times times, within waitMost.
func doubled(d time.Duration, times int) time.Duration {
	for ; times > 0 && d < waitMost; times-- {
		d *= 2
	}
	return min(d, waitMost)
}
