// Package reach asks a host again and again whether it answers: what a slot on
// trial needs to know before it becomes the good one.
//
//	reach.go       the unit: when to ask, and what to report
//	ask_linux.go   one question: ICMP echo, or a TCP connection
package reach

import (
	"context"
	"time"

	"tench/config"
	"tench/supervisor/unit"
)

const (
	pause   = 5 * time.Second // between two questions
	timeout = 4 * time.Second // for the answer
	misses  = 2               // unanswered in a row until the host counts as away
)

// Name is what the unit of a target is called.
func Name(t config.Target) string { return "reach " + t.String() }

// New returns the unit that asks a target.
func New(t config.Target) unit.Unit { return &prober{target: t, ask: ask} }

// prober implements unit.Unit.
type prober struct {
	target config.Target
	ask    func(ctx context.Context, t config.Target) error

	missed int
	state  unit.State
}

// String implements unit.Unit.
func (p *prober) String() string { return Name(p.target) }

// Run implements unit.Unit.
func (p *prober) Run(ctx context.Context, events chan<- unit.Event) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		question, cancel := context.WithTimeout(ctx, timeout)
		err := p.ask(question, p.target)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if e, changed := p.take(err, time.Now()); changed {
			select {
			case events <- e:
			case <-ctx.Done():
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// take counts an answer, or why there was none. One lost packet changes
// nothing.
func (p *prober) take(err error, now time.Time) (e unit.Event, changed bool) {
	next := unit.State{Since: now, Text: "answers", OK: true}
	if err == nil {
		p.missed = 0
	} else {
		p.missed++
		next.Text, next.OK = err.Error(), false
		if p.state.OK && p.missed < misses {
			return e, false
		}
	}
	if next.Text == p.state.Text && next.OK == p.state.OK {
		return e, false
	}
	p.state = next
	name := p.String()
	return unit.Event{From: name, Text: next.Text, Apply: func(f *unit.Facts) { f.Units[name] = next }}, true
}
