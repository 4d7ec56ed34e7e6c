package supervisor

import (
	"context"
	"fmt"
	"time"

	"tench/supervisor/clock"
	"tench/supervisor/desired"
	"tench/supervisor/dhcp"
	"tench/supervisor/reach"
	"tench/supervisor/unit"
)

// A unit that gives up is started again after a pause that doubles, up to
// longPause; one that ran for longer than that begins anew.
const (
	firstPause = time.Second
	longPause  = 30 * time.Second
)

// units are the units that run, by name. It belongs to the loop's goroutine.
type units struct {
	l       *loop
	running map[string]*startedUnit
}

// startedUnit is a unit at work.
type startedUnit struct {
	spec   any // what it was started with; another one means a restart
	cancel context.CancelFunc
	done   chan struct{}
}

func newUnits(l *loop) units { return units{l: l, running: map[string]*startedUnit{}} }

// wanted is a unit that should run: spec is comparable and says all about it.
type wanted struct {
	spec any
	make func() unit.Unit
}

// wantedUnits lists the units that d asks for, by name.
func (u *units) wantedUnits(d desired.Desired) map[string]wanted {
	list := map[string]wanted{}
	for _, c := range d.DHCP {
		list["dhcp "+c.Interface] = wanted{c, func() unit.Unit {
			return dhcp.New(dhcp.Config{Interface: c.Interface, Link: c.Link, DHCP4: c.Config, StateDir: u.l.stateDir()}, u.l.sys)
		}}
	}
	if u.l.trial {
		for _, t := range u.l.cfg.Health.Reach {
			list[reach.Name(t)] = wanted{t, func() unit.Unit { return reach.New(t) }}
		}
	}
	interval := u.l.cfg.NTP.Interval
	list["clock"] = wanted{fmt.Sprint(d.NTP, interval), func() unit.Unit {
		return clock.New(clock.Config{Servers: d.NTP, Interval: interval, Epoch: u.l.epoch, Dir: u.l.stateDir()}, u.l.sys)
	}}
	return list
}

// match starts and stops units until the running ones are those of d.
func (u *units) match(ctx context.Context, d desired.Desired) {
	want := u.wantedUnits(d)
	for name, r := range u.running {
		if w, ok := want[name]; !ok || w.spec != r.spec {
			u.stop(name, r)
		}
	}
	for name, w := range want {
		if u.running[name] == nil {
			u.start(ctx, name, w)
		}
	}
}

func (u *units) start(ctx context.Context, name string, w wanted) {
	ctx, cancel := context.WithCancel(ctx)
	r := &startedUnit{spec: w.spec, cancel: cancel, done: make(chan struct{})}
	u.running[name] = r
	go func() {
		defer close(r.done)
		u.l.keep(ctx, w.make)
	}()
}

// keep runs a unit, and again whenever it gives up, until ctx ends.
func (l *loop) keep(ctx context.Context, make func() unit.Unit) {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longPause) {
		one, began := make(), time.Now()
		err := one.Run(ctx, l.events)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > longPause {
			pause = firstPause
		}
		l.o.Log("%s: stopped: %v; starting it again in %v", one, err, pause)
		sleep(ctx, pause)
	}
}

// stop ends a unit and forgets what it reported. Its last events are taken
// while it ends, so that it cannot block on a full channel.
func (u *units) stop(name string, r *startedUnit) {
	r.cancel()
	for ended := false; !ended; {
		select {
		case <-r.done:
			ended = true
		case e := <-u.l.events:
			u.l.take(e)
		}
	}
	u.l.drain()
	delete(u.running, name)
	delete(u.l.facts.Units, name)
	if d, ok := r.spec.(desired.DHCP); ok {
		delete(u.l.facts.Leases, d.Interface)
	}
}

func (u *units) stopAll() {
	for name, r := range u.running {
		u.stop(name, r)
	}
}
