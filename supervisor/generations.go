package supervisor

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"tench/config"
	"tench/supervisor/status"
	"tench/supervisor/update"
)

// trial is a generation on trial, and what comes back after it. That is kept in
// memory and not read again from flash, which may be what fails.
type trial struct {
	update.Trial
	cfg     config.Config
	current status.Config
}

// apply stores a checked configuration and puts it in force: the cycle that
// follows every request does the rest. copyOf is the generation that it has its
// text from, 0 for none.
func (l *loop) apply(cfg config.Config, c status.Change, copyOf int) (status.Outcome, error) {
	if l.trial == nil && l.current.Text == c.Text && l.current.Problem == "" {
		return status.Outcome{Generation: l.current.Generation, Same: true}, nil // nothing new to write to flash
	}
	about := update.About{Added: l.wallClock(), By: c.Session, CopyOf: copyOf}
	before := l.trial
	if c.Trial == 0 {
		n, err := l.store.Add([]byte(c.Text), about)
		if err != nil {
			return status.Outcome{}, err
		}
		l.trial = nil
		l.putInForce(cfg, status.Config{Generation: n, Text: c.Text})
		l.keepInForce()
	} else if err := l.try(cfg, c, about); err != nil {
		return status.Outcome{}, err
	}
	l.ended = ""
	if before != nil {
		l.note(before.Number, fmt.Sprintf("generation %d took its place", l.current.Generation))
	}
	return status.Outcome{Generation: l.current.Generation, Trial: l.trialNow()}, nil
}

// try puts a configuration in force on trial. What comes back is what was in
// force for good, also when one trial takes the place of another.
func (l *loop) try(cfg config.Config, c status.Change, about update.About) error {
	t := &trial{cfg: l.cfg, current: l.current}
	if l.trial != nil {
		t.cfg, t.current = l.trial.cfg, l.trial.current
	}
	record, err := l.store.Try([]byte(c.Text), about, update.Record{
		Back: t.current.Generation, Deadline: l.sys.Boottime() + c.Trial, Boot: l.sys.BootID(), Session: update.Session(c.Session)})
	if err != nil {
		return err
	}
	t.Record = record
	l.trial = t
	l.putInForce(cfg, status.Config{Generation: record.Number, Text: c.Text})
	l.o.Log("config: %v", *l.trialNow())
	return nil
}

// putInForce makes cfg what the next cycle works towards.
func (l *loop) putInForce(cfg config.Config, current status.Config) {
	l.o.Log("config: generation %d is in force", current.Generation)
	l.leave(l.cfg, cfg)
	l.cfg, l.current = cfg, current
	l.tellConfig()
}

// tryOn tells the trial, if there is one, what happened, and ends it where that
// follows.
func (l *loop) tryOn(e update.Event, session update.Session) update.Verdict {
	if l.trial == nil {
		return update.Wait
	}
	v, why := l.trial.Next(e, session, l.sys.Boottime())
	if v == update.TakeBack {
		l.takeBack(why)
	}
	return v
}

// takeBack ends the trial: the generation before it is in force again, whether
// or not flash takes the note of it.
func (l *loop) takeBack(why string) {
	t := l.trial
	l.trial = nil
	l.ended = fmt.Sprintf("generation %d was taken back: %s", t.Number, why)
	l.o.Log("config: %s", l.ended)
	l.putInForce(t.cfg, t.current)
	l.note(t.Number, why)
}

// note keeps why a generation is not in force any more. A store that cannot take
// the note starts with the right one all the same, see Store.TakeBack.
func (l *loop) note(n int, why string) {
	if err := l.store.TakeBack(n, why); err != nil {
		l.o.Log("config: %v", err)
	}
}

// confirm keeps the generation on trial. The one in force for good is confirmed
// already: whoever did not get the answer may ask again.
func (l *loop) confirm(number int) (status.Outcome, error) {
	if l.trial == nil && number != 0 && number == l.current.Generation && l.current.Problem == "" {
		return status.Outcome{Generation: number, Same: true}, nil
	}
	if l.trial != nil && number != 0 && number != l.trial.Number {
		return status.Outcome{}, fmt.Errorf("confirm: generation %d is on trial, not %d\nhint: `tenchd generations` lists them", l.trial.Number, number)
	}
	if l.tryOn(update.Confirm, "") != update.Keep {
		cause := cmp.Or(l.ended, "nothing is on trial")
		return status.Outcome{}, fmt.Errorf("confirm: %s; generation %d is in force\nhint: `tenchd generations` lists them", cause, l.current.Generation)
	}
	// The trial goes on where flash does not take it: then it was not kept.
	if err := l.store.Confirm(l.trial.Number); err != nil {
		return status.Outcome{}, err
	}
	l.trial = nil
	l.keepInForce()
	l.o.Log("config: generation %d is confirmed", l.current.Generation)
	return status.Outcome{Generation: l.current.Generation}, nil
}

// rollback ends a trial, or puts an earlier generation in force as a new one:
// what happened stays in the list, and `current` is always the newest that is
// in force for good.
func (l *loop) rollback(number int, c status.Change) (status.Outcome, error) {
	if l.trial != nil && (number == 0 || number == l.trial.Back) {
		l.tryOn(update.Rollback, "")
		return status.Outcome{Generation: l.current.Generation}, nil
	}
	if number == 0 {
		var err error
		if number, err = l.store.Previous(); err != nil {
			return status.Outcome{}, err
		}
		if number == 0 {
			return status.Outcome{}, errors.New("rollback: there is no generation before the current one\nhint: `tenchd generations` lists them")
		}
	}
	old, err := l.generation(number)
	if err != nil {
		return status.Outcome{}, err
	}
	cfg, err := config.Parse(generationName(number), []byte(old.Text))
	if err != nil {
		return status.Outcome{}, err // an image with stricter rules than the one before
	}
	c.Text = old.Text
	return l.apply(cfg, c, number)
}

// sessionNews takes the news that a session of the SSH door is alive or lost.
func (l *loop) sessionNews(session update.Session, alive bool) {
	e := update.Lost
	if alive {
		e = update.Seen
	}
	if l.trial != nil && e == update.Lost && session == l.trial.Session {
		l.o.Log("config: session %s is lost: generation %d goes unless its operator is back within %v", session, l.trial.Number, update.Grace)
	}
	l.tryOn(e, session)
}

// inForce is the router.toml in force, and how long it is on trial.
func (l *loop) inForce() status.Config {
	c := l.current
	c.Trial = l.trialNow()
	return c
}

// trialNow is the trial under way as clients see it; nil for none.
func (l *loop) trialNow() *status.Trial {
	if l.trial == nil {
		return nil
	}
	left := l.trial.Left(l.sys.Boottime())
	return &status.Trial{Generation: l.trial.Number, Back: l.trial.Back,
		Left: int(left.Round(time.Second) / time.Second), Session: string(l.trial.Session)}
}

// wallClock is the time of day, zero where nobody has set the clock.
func (l *loop) wallClock() time.Time {
	if !l.facts.Clock.Set {
		return time.Time{}
	}
	return l.sys.Now().UTC().Truncate(time.Second)
}
