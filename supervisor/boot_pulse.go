package supervisor

import "time"

const (
	// bootAllowance is how long PID 1 feeds the watchdog before the first
	// cycle: a slow disk or a long journal replay must not reset the box.
	bootAllowance = 60 * time.Second
	// silenceLimit is how long the loop may be without a completed cycle. It
	// completes one every two seconds at least.
	silenceLimit = 10 * time.Second
	// startLimit is how long a loop may take to its first cycle. An ARM that is
	// emulated on a busy machine took more than ten seconds, and was killed again
	// and again.
	startLimit = 30 * time.Second
)

// pulse decides from the loop's cycles whether the watchdog is fed and whether
// a loop that hangs is killed. A loop that cycles feeds it. A silent one is
// killed, and has until the watchdog bites to come back and cycle; startLimit
// gives it that time.
type pulse struct {
	born    time.Time // start of PID 1
	started time.Time // last start of the loop; zero before the first
	cycled  time.Time // last cycle; zero before the first
}

// feed reports whether the watchdog is to be fed at the time now.
func (p pulse) feed(now time.Time) bool {
	if p.cycled.IsZero() {
		return now.Sub(p.born) < bootAllowance
	}
	return now.Sub(p.cycled) < silenceLimit
}

// silence is how long the running loop has completed no cycle.
func (p pulse) silence(now time.Time) time.Duration {
	if p.cycled.After(p.started) {
		return now.Sub(p.cycled)
	}
	return now.Sub(p.started)
}

// hung reports whether the running loop is to be killed at the time now.
func (p pulse) hung(now time.Time) bool {
	limit := startLimit
	if p.cycled.After(p.started) {
		limit = silenceLimit
	}
	return !p.started.IsZero() && p.silence(now) >= limit
}
