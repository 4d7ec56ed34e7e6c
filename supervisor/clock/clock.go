// Package clock sets the wall clock by NTP and carries it over a reboot, for
// boxes without a battery.
//
//	clock.go  the unit: when to ask, and what to do with the answers
//	query.go  one question to a server, and which answer to believe
//	floor.go  the last known time on flash
//
// It is a client only (SNTP, RFC 5905 section 14): nothing listens. Every
// server is asked, and of the answers that pass ntp.Response.Validate the one
// with the middle time counts, so that one wrong server of three does no harm.
//
// A clock that is off by at least half a second is set at once, forwards or
// backwards; less is slewed, which moves it by at most 0.05 %. A time before
// this release was built is refused.
package clock

import (
	"context"
	"fmt"
	"time"

	"tench/supervisor/system"
	"tench/supervisor/unit"
)

const (
	stepFrom   = 500 * time.Millisecond // offsets below are slewed
	firstPause = time.Second            // after a question that nobody answered
	saveEvery  = time.Hour              // flash wears out by writing
)

// Config is what the unit needs to know.
type Config struct {
	Servers  []string      // names or addresses; none leaves the clock alone
	Interval time.Duration // between questions once the clock is set
	Epoch    time.Time     // when this release was built: it cannot be earlier
	Dir      string        // holds the file "clock"
}

// New returns the unit that keeps the clock.
func New(cfg Config, sys system.Clock) unit.Unit {
	return &keeper{cfg: cfg, sys: sys, ask: ask}
}

// keeper implements unit.Unit.
type keeper struct {
	cfg Config
	sys system.Clock
	ask func(ctx context.Context, server string) (time.Duration, error)

	set      bool // by a server, in this run
	failures int  // since the last answer
	text     string
	since    time.Time
}

// String implements unit.Unit.
func (k *keeper) String() string { return "clock" }

// Run implements unit.Unit.
func (k *keeper) Run(ctx context.Context, events chan<- unit.Event) error {
	emit := func(e unit.Event) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	}
	defer k.save(func(unit.Event) {}) // nobody listens any more
	save := time.NewTicker(saveEvery)
	defer save.Stop()
	question := time.NewTimer(0)
	defer question.Stop()
	if len(k.cfg.Servers) == 0 {
		question.Stop()
		emit(k.state("no time server", true))
	} else {
		emit(k.state("asking", false))
	}
	answers := make(chan []answer, 1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-question.C:
			go func() { answers <- askAll(ctx, k.cfg.Servers, k.ask) }()
		case all := <-answers:
			question.Reset(k.take(all, emit))
		case <-save.C:
			k.save(emit)
		}
	}
}

// take sets the clock by the answers and returns the pause before the next
// question.
func (k *keeper) take(all []answer, emit func(unit.Event)) time.Duration {
	best, err := middle(all)
	if err == nil {
		err = k.adjust(best, emit)
	}
	if err != nil {
		text := "asking: " + err.Error()
		if k.set {
			text = k.text // still set; the servers may come back
		}
		emit(k.state(text, k.set))
		k.failures++
		return min(firstPause<<min(k.failures-1, 20), k.cfg.Interval)
	}
	k.failures = 0
	return k.cfg.Interval
}

// adjust moves the clock to what a server says.
func (k *keeper) adjust(a answer, emit func(unit.Event)) error {
	to := k.sys.Now().Add(a.offset)
	if to.Before(k.cfg.Epoch) {
		return fmt.Errorf("%s says it is %s, which is before this release was built", a.server, stamp(to))
	}
	step := a.offset.Abs() >= stepFrom
	var err error
	if step {
		err = k.sys.StepClock(to)
	} else {
		err = k.sys.SlewClock(a.offset)
	}
	if err != nil {
		return err
	}
	e := k.state("set by "+a.server, true)
	if step || !k.set {
		e.Text = fmt.Sprintf("set by %s to %s, was off by %v", a.server, stamp(to), -a.offset.Round(time.Microsecond))
	}
	first := !k.set
	k.set = true
	report := e.Apply
	e.Apply = func(f *unit.Facts) {
		report(f)
		f.Clock = unit.Clock{Set: true, Server: a.server, When: to}
	}
	emit(e)
	if first || step {
		k.save(emit)
	}
	return nil
}

// state is the event that says how the unit does.
func (k *keeper) state(text string, ok bool) unit.Event {
	if text != k.text {
		k.text, k.since = text, k.sys.Now()
	}
	s := unit.State{Since: k.since, Text: text, OK: ok}
	return unit.Event{From: k.String(), Apply: func(f *unit.Facts) { f.Units[k.String()] = s }}
}

// save writes the time down for the next boot.
func (k *keeper) save(emit func(unit.Event)) {
	if err := writeFloor(k.cfg.Dir, k.sys.Now()); err != nil {
		emit(unit.Event{From: k.String(), Text: err.Error()})
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
