package tftp

import "time"

const (
	// patience is how long a client may be silent.
	patience = 15 * time.Second
	// patienceShort is the same before its first answer, because perhaps nobody
	// asked, and after the last block, because few clients stay to repeat its ACK.
	patienceShort = 5 * time.Second
	// probes is how many waits are short.
	probes = 2
	// lastResort is the wait, of more than a second together with those before it,
	// after which a client without windows is sent more than RFC 1350 allows.
	lastResort = 5
	// paceFirst and paceMost bound the time between two blocks of a flight that is
	// not sent at once.
	paceFirst = 100 * time.Microsecond
	paceMost  = 5 * time.Millisecond
	// paceWindow is the smallest window that is paced: every queue has room for less.
	paceWindow = 8
	// lossy is the part of a window that flights bring, on average, below which it
	// is likelier that a client named a gap, and will not again, than that it heard
	// nothing of one.
	lossy = 0.9
	// together is what is sent at once for all that: timers are not exact.
	together = 500 * time.Microsecond
	// A flight that arrived takes one part of so many from the pace; one with a gap,
	// which a pace does not help, takes more.
	whole, broken = 32, 12
)

// span is the blocks first to last; block 0 is the OACK.
type span struct{ first, last int64 }

// nothing is the span without a block.
var nothing = span{1, 0}

// sender decides what is sent when, for one transfer. It has no socket and no
// clock: what happens is told to it, with the time, and it returns the blocks to
// send now; then sent() wants to know when that was done, and deadline() says
// when to call late(). Blocks are counted without rollover.
//
//	        0 … base          acknowledged
//	base+1 … high             the flight: on its way, one window at most
//	high+1 … blocks           to come
//
//	event                     what is done
//	ACK high                  the next flight
//	ACK within the flight     a gap at the client: a new flight from there (RFC 7440
//	                          section 4)
//	  too early for this one  the client gets on with an older one: what is new
//	  of a block sent twice   and with that as well: what is new
//	ACK base again            the flight's first block is missing: the flight again,
//	                          once, and with windows only (RFC 1123 section 4.2.3.1)
//	any other ACK             none: it is late or wrong
//	late                      the rest of the flight, if it is paced and not all sent;
//	                          or the flight again, in a hurry;
//	                          or its last block again: if only that or its ACK was
//	                          lost, nothing else has to be; but where many are lost
//	                          the flight
//	late again                the flight again, and the one behind it
//
// The flight behind is for clients that take no notice of a block they have: when
// the ACK of a flight was lost they wait for the next one, and nothing else makes
// them say so. Without windows, where clients do answer and may take offence at
// it, it is the last resort.
//
// A client may acknowledge every block that it does not want, and an ACK does not
// tell a gap from that. So no ACK is acted upon twice, a flight starts again once
// in a round trip, and what may be the answer to a copy starts none: else each
// repetition causes ACKs that cause the next, for as long as the file lasts.
//
// A flight is sent at once, until one after the other ends in a wait: then a queue
// on the way, of a switch before a slow port, is too short for a window, and its
// end is lost each time. From then on there is time between the blocks, more with
// each such flight and less with each other, so that losses by chance, which a
// pace does not help, cost little speed. For those there is hurry.
type sender struct {
	window int64
	blocks int64 // the number of the last block, which is shorter than the others

	base, high int64
	sentTo     int64 // of the flight, blocks up to here were sent
	top        int64 // the highest block ever sent; -1: none
	copied     int64 // blocks up to here may be on their way twice
	echo       int64 // blocks up to here are on their way twice, for nothing

	started time.Time     // when the flight was last started
	done    time.Time     // when its last block was last sent
	timed   int64         // a block whose ACK measures the round trip; -1: none
	timedAt time.Time     // when it was sent
	once    bool          // nothing of the flight was sent again
	asks    bool          // an ACK of base once more is the client asking for base+1
	hold    time.Duration // how long the last answer took, if that was no measurement
	try     int           // waits that were in vain
	alive   time.Time     // when the client last got ahead
	heard   bool          // it did
	rtt     rtt

	pace   time.Duration // between the blocks of a flight; 0: it is sent at once
	nextAt time.Time     // when its next block is due
	vain   int           // flights in a row that had to be waited for in vain
	hurry  hurry

	over   bool // the last block is acknowledged, or it was sent and the client has gone
	silent bool // the client is given up
}

// newSender is the sender of a file of size bytes. It starts with the OACK if
// there is one.
func newSender(size int64, t terms) *sender {
	s := &sender{window: int64(t.window), blocks: size/int64(t.block) + 1, top: -1, timed: -1, hurry: hurry{share: 1}}
	if len(t.grant) > 0 {
		s.base = -1
	}
	return s
}

// begin returns the first blocks.
func (s *sender) begin(now time.Time) span {
	s.alive = now
	return s.next(now)
}

// next starts the flight behind the one that has arrived.
func (s *sender) next(now time.Time) span {
	// Of a flight that was sent twice, blocks may still arrive, to be acknowledged
	// once more.
	s.asks = s.once
	blocks := s.start(now)
	s.once = s.copied <= s.base
	return blocks
}

// start sends what is not acknowledged, one window of it.
func (s *sender) start(now time.Time) span {
	s.copied = s.top
	s.started = now
	s.once = false
	return s.emit(now, s.base+1, s.end())
}

// end is the last block that may be on its way.
func (s *sender) end() int64 {
	if s.base < 0 {
		return 0
	}
	return min(s.base+s.window, s.blocks)
}

// emit begins a flight of the blocks first to last.
func (s *sender) emit(now time.Time, first, last int64) span {
	s.sentTo, s.high, s.nextAt = first-1, last, now
	return s.more(now)
}

// more sends what of the flight is due. A block that was sent twice measures
// nothing (Karn's algorithm): its ACK may be of either.
func (s *sender) more(now time.Time) span {
	first, last := s.sentTo+1, s.high
	if s.pace > 0 {
		due := int64((now.Sub(s.nextAt)+together)/s.pace) + 1
		last = min(last, s.sentTo+due)
		s.nextAt = s.nextAt.Add(time.Duration(last-s.sentTo) * s.pace)
	}
	s.sentTo = last
	if first <= s.timed {
		s.timed = -1
	}
	if last > s.top {
		s.top = last
		if s.timed < 0 && last == s.high {
			s.timed, s.timedAt = last, time.Time{}
		}
	}
	return span{first, last}
}

// slower is told of a wait in vain. Four flights in a row are no chance, nor is one
// for which nothing helps.
func (s *sender) slower() {
	if s.base < 0 || s.window < paceWindow {
		return
	}
	if s.try == 1 {
		s.vain++
	}
	more := s.pace
	switch {
	case s.try > probes:
	case s.try == 1 && (s.vain > 3 || s.pace > 0 && s.vain > 1):
		more /= 2
	default:
		return
	}
	s.pace = min(max(s.pace+more, paceFirst, s.rtt.least/time.Duration(s.window)), paceMost)
}

// faster takes a part of the pace back.
func (s *sender) faster(part time.Duration) {
	if s.pace -= s.pace / part; s.pace < paceFirst/4 {
		s.pace = 0
	}
}

// sent is told when the last of the blocks was sent.
func (s *sender) sent(now time.Time) {
	s.done = now
	if s.timedAt.IsZero() {
		s.timedAt = now
	}
}

// ack takes an ACK, whose number is the block's modulo 65536.
func (s *sender) ack(now time.Time, number uint16) span {
	block := s.base + int64(number-uint16(s.base))
	switch {
	case block > s.top:
		return nothing
	case block == s.base:
		return s.again(now)
	}
	s.measure(now, block)
	s.advance(now, block)
	switch {
	case block == s.blocks:
		s.over = true
		return nothing
	case block >= s.high:
		s.faster(whole)
		return s.next(now)
	case s.early(now):
		// The client went on with what was sent before the last start.
		s.echo = s.copied
		return s.extend(now)
	case block <= s.echo, block == s.copied:
		return s.extend(now)
	}
	s.asks = false
	s.faster(broken)
	return s.start(now)
}

// advance moves base.
func (s *sender) advance(now time.Time, block int64) {
	if s.base >= 0 && s.window >= paceWindow {
		part := float64(block-s.base) / float64(s.window)
		if block >= s.high {
			part = 1
		}
		s.hurry.arrived(now, block-s.base, part, s.rtt.level())
	}
	if s.try == 0 {
		s.vain = 0
	}
	s.base, s.alive, s.heard, s.try = block, now, true, 0
}

// again takes an ACK of what was acknowledged before.
func (s *sender) again(now time.Time) span {
	if s.window == 1 || s.base < 0 || !s.asks || s.early(now) {
		return nothing
	}
	s.asks = false
	return s.start(now)
}

// early reports whether an ACK that comes now is older than the flight, of which
// then some blocks have been on their way before. An eighth is for jitter.
func (s *sender) early(now time.Time) bool {
	return !s.once && now.Sub(s.started) < s.rtt.least*7/8
}

// extend sends what the window has room for since base moved. The client counts
// its window from its last ACK, so without these blocks it would wait.
func (s *sender) extend(now time.Time) span {
	switch {
	case s.high >= s.end():
		return nothing
	case s.sentTo < s.high:
		s.high = s.end()
		return nothing
	}
	return s.emit(now, s.high+1, s.end())
}

// measure learns from an ACK how long the client takes. When a wait was in vain
// and nothing can be measured, the next wait is not shorter than all of this was,
// so that a client that is slower than we thought gets measured.
func (s *sender) measure(now time.Time, block int64) {
	switch {
	case s.timed >= 0 && block >= s.timed:
		s.rtt.measured(now.Sub(s.timedAt), s.timed > 0)
		s.timed, s.hold = -1, 0
	case s.try > 0 && block < s.high:
		s.hold = 0 // a gap: it was no slow client
	case block < s.high && s.pace == 0 && !s.early(now):
		// A gap. It may be one of an older flight, but then this is not too short.
		s.rtt.measured(now.Sub(s.started), true)
		s.hold = 0
	case s.try > 0:
		s.hold = now.Sub(s.alive) * 3 / 2
	}
}

// deadline is when late is to be called, if nothing comes before.
func (s *sender) deadline() time.Time {
	switch {
	case s.sentTo < s.high:
		return s.nextAt
	case s.hurries():
		return s.started.Add(s.hurry.wait(s.rtt.smooth))
	}
	from := s.done
	if s.alive.After(from) {
		from = s.alive
	}
	return from.Add(min(max(s.rtt.wait(s.try), s.hold), waitMost))
}

// late is called when the deadline has passed.
func (s *sender) late(now time.Time) span {
	switch {
	case s.sentTo < s.high:
		return s.more(now)
	case s.hurries():
		s.hurry.ahead++
		return s.start(now)
	}
	last := s.heard && s.high == s.blocks
	limit := patience
	if !s.heard || last {
		limit = patienceShort
	}
	if now.Sub(s.alive) >= limit {
		s.over, s.silent = last, true
		if last {
			s.base = s.blocks
		}
		return nothing
	}
	s.try++
	s.slower()
	gap := !s.once && s.try == 1
	s.asks = true
	switch {
	case s.base < 0, gap, s.try == 1 && s.hurry.share < lossy:
		return s.start(now)
	case s.try == 1, s.window == 1 && s.try < lastResort:
		s.once = false
		return s.emit(now, s.high, s.high)
	}
	return s.both(now)
}

// hurries reports whether the next flight does not wait for an ACK.
func (s *sender) hurries() bool { return s.pace == 0 && s.high < s.blocks && s.hurry.wanted() }

// both sends the flight and the window behind what was ever sent, within reason.
func (s *sender) both(now time.Time) span {
	s.start(now)
	return s.emit(now, s.base+1, min(s.top+s.window, s.base+4*s.window, s.blocks))
}

// remind sends the flight again at once: the client asked once more, because
// nothing of it arrived.
func (s *sender) remind(now time.Time) span { return s.start(now) }
