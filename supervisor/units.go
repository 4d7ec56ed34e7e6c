package supervisor

import (
	"context"
	"fmt"
	"maps"
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

// stopWait is how long units have to end, all together: far less than PID 1 lets
// the loop be silent.
const stopWait = 2 * time.Second

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
	if u.l.slotOnTrial {
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
	old := map[string]*startedUnit{}
	for name, r := range u.running {
		if w, ok := want[name]; !ok || w.spec != r.spec {
			old[name] = r
		}
	}
	u.stop(old, want)
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

// stop ends units and forgets what they reported, but for a lease that the client
// in the place of an old one will find on flash. One that hangs in a write to a
// disk that does not answer is left behind: the loop would otherwise count as
// hung, too, and the watchdog reset a box whose network is well.
func (u *units) stop(old map[string]*startedUnit, want map[string]wanted) {
	for _, r := range old {
		r.cancel()
	}
	patience, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	for name, r := range old {
		if !u.ended(patience, r) {
			u.l.o.Log("%s: it does not end, going on without it", name)
		}
		u.l.drain()
		delete(u.running, name)
		delete(u.l.facts.Units, name)
		if d, ok := r.spec.(desired.DHCP); ok && !takesOver(want[name].spec, d) {
			delete(u.l.facts.Leases, d.Interface)
		}
	}
}

// takesOver reports whether a unit is a DHCP client on the same device as an old
// one, which is only to ask otherwise. It says itself when it has no lease; until
// then the address must not go away.
func takesOver(spec any, old desired.DHCP) bool {
	d, ok := spec.(desired.DHCP)
	return ok && d.Link == old.Link && d.MAC == old.MAC
}

// ended waits for the end of a unit that was told to, and reports whether it
// came. Its last events are taken meanwhile, so that it cannot block on a full
// channel.
func (u *units) ended(patience context.Context, r *startedUnit) bool {
	for {
		select {
		case <-r.done:
			return true
		case e := <-u.l.events:
			u.l.take(e)
		case <-patience.Done():
			return false
		}
	}
}

func (u *units) stopAll() { u.stop(maps.Clone(u.running), nil) }
