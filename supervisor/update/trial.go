package update

import (
	"fmt"
	"strings"
	"time"
)

// Grace is how long the session that applied a trial may be lost before the
// trial is taken back. A change that is right may cut a line for a while: a port
// of a bridge with spanning tree forwards after 30 s (802.1D, two forward
// delays). By the time the loss is known, the door's keepalives have gone
// unanswered for some of that; what is left, and one more SYN of a client that
// tries again, fits into another 30 s.
const Grace = 30 * time.Second

// Session names a session of the SSH door, as TENCH_SESSION has it: the operator,
// a slash, and what tells the sessions of one operator apart, e.g.
// "anna@desk/17". "" is the box's own console, where nobody can be cut off.
type Session string

// Operator is who a session belongs to: all before the last slash.
func (s Session) Operator() string {
	if i := strings.LastIndexByte(string(s), '/'); i >= 0 {
		return string(s[:i])
	}
	return string(s)
}

// Trial is a generation on trial. The box runs with it, and takes it back unless
// somebody confirms it:
//
//	           ┌──────── Seen: the operator is back ───────┐
//	           ▼                                           │
//	Try ──▶ attended ── Lost: the session that      ──▶ orphaned
//	         │  │  │    applied it is gone               │  │  │
//	 Confirm │  │  │                             Confirm │  │  │
//	         │  │  └── Tick at Deadline ──▶ taken ◀──────┼──┼──┘ Tick at Deadline,
//	         │  └───── Rollback ─────────▶ back  ◀──────┼──┘    or Grace after Lost
//	         ▼                                           ▼       Rollback
//	        kept                                        kept
//
// Every event is late once Deadline has passed, and a Confirm too: what the
// operator was told holds. An end of the loop needs no event, see Store.Settle.
// Times are CLOCK_BOOTTIME.
type Trial struct {
	Record
	lost time.Duration // when the session was lost; 0 while attended
}

// Event is what happens to a trial.
type Event int

// The events.
const (
	Tick     Event = iota // time passed
	Confirm               // somebody says that it may stay
	Rollback              // somebody says that it shall go
	Lost                  // the connection of a session broke
	Seen                  // a session is alive
)

// Verdict is what an event makes of a trial.
type Verdict int

// The verdicts.
const (
	Wait     Verdict = iota // it goes on
	Keep                    // it becomes the current generation
	TakeBack                // the generation before it is back
)

// Next takes an event at the time now. session is that of Lost and Seen. why
// tells the cause of TakeBack.
func (t *Trial) Next(e Event, session Session, now time.Duration) (v Verdict, why string) {
	if now >= t.Deadline {
		return TakeBack, "it was not confirmed in time"
	}
	if t.lost > 0 && now >= t.lost+Grace {
		return TakeBack, fmt.Sprintf("the session that applied it was lost, and not back within %v", Grace)
	}
	switch e {
	case Confirm:
		return Keep, ""
	case Rollback:
		return TakeBack, "it was rolled back by hand"
	case Lost:
		if session != "" && session == t.Session && t.lost == 0 {
			t.lost = now
		}
	case Seen:
		if session != "" && session.Operator() == t.Session.Operator() {
			// Its operator goes on in this session: when that is lost, too, the
			// grace begins anew.
			t.Session, t.lost = session, 0
		}
	}
	return Wait, ""
}

// Left is how long the trial goes on if nothing happens.
func (t *Trial) Left(now time.Duration) time.Duration {
	end := t.Deadline
	if t.lost > 0 {
		end = min(end, t.lost+Grace)
	}
	return max(0, end-now)
}
