package proc

import "time"

// How a child is restarted and stopped.
const (
	// firstDelay comes before the second restart in a row. The first one is at
	// once: a loop that met one bad packet must be back within a second.
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
	// calm is how long a child must have run for its next end to count as the
	// first one again.
	calm = time.Minute
	// grace is between SIGTERM and SIGKILL.
	grace = 5 * time.Second
)

type state int

const (
	idle     state = iota // not started yet
	running               // the process runs
	waiting               // it ended; it is started again at life.wake
	stopping              // SIGTERM is sent; SIGKILL follows at life.wake
	killed                // SIGKILL is sent to end it for good
	ended                 // never started again
)

type event int

const (
	evStart  event = iota // Run began
	evExited              // the process ended, or could not be started
	evKill                // it must end at once, and be started again
	evTimer               // the time that handle returned last has come
	evStop                // it must end for good
)

type action int

const (
	doNothing action = iota
	doStart
	doTerm
	doKill
	doEnd
)

// life decides when a child's process is started, told to stop and killed.
//
//	         start           exited            wake
//	[idle] --------> [running] -----> [waiting] ----> [running]
//	                  |    ^  \          |
//	                  | kill  |          | stop
//	                  | (SIGKILL)        v
//	                  |               [ended]
//	             stop | (SIGTERM)        ^
//	                  v                  | exited
//	              [stopping] ------------+
//	                  | wake (SIGKILL)   |
//	                  v      exited      |
//	              [killed] --------------+
//
// A pair that is not drawn changes nothing, e.g. a kill of what is not running.
type life struct {
	state state
	ends  int       // ends in a row without a calm minute between them
	since time.Time // running: when it was started
	wake  time.Time // when to act next; zero for never
}

// handle takes an event at the time now. It returns what to do, and when to be
// called with evTimer; the zero time means never.
func (l *life) handle(ev event, now time.Time) (action, time.Time) {
	do := l.step(ev, now)
	return do, l.wake
}

func (l *life) step(ev event, now time.Time) action {
	switch {
	case l.state == idle && ev == evStart, l.state == waiting && ev == evTimer && !now.Before(l.wake):
		l.enter(running, time.Time{})
		l.since = now
		return doStart
	case l.state == running && ev == evExited:
		if now.Sub(l.since) >= calm {
			l.ends = 0
		}
		l.enter(waiting, now.Add(delay(l.ends)))
		l.ends++
	case l.state == running && ev == evKill:
		return doKill
	case l.state == running && ev == evStop:
		l.enter(stopping, now.Add(grace))
		return doTerm
	case l.state == stopping && ev == evTimer && !now.Before(l.wake):
		l.enter(killed, time.Time{})
		return doKill
	case (l.state == stopping || l.state == killed) && ev == evExited,
		(l.state == waiting || l.state == idle) && ev == evStop:
		l.enter(ended, time.Time{})
		return doEnd
	}
	return doNothing
}

func (l *life) enter(s state, wake time.Time) { l.state, l.wake = s, wake }

// delay is the pause after the process ended for the (ends+1)th time in a row:
// 0, 0.5, 1, 2, 4, 8, 16, 30, 30 … seconds.
func delay(ends int) time.Duration {
	if ends == 0 {
		return 0
	}
	if ends > 7 {
		return maxDelay
	}
	return min(firstDelay<<(ends-1), maxDelay)
}
