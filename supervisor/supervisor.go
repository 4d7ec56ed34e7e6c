// Package supervisor is what runs on the box: PID 1, and the network loop that
// it starts as a child.
//
//	supervisor.go   RunLoop and the loop's cycle
//	apply.go        making the kernel's network what is desired
//	units.go        starting and stopping units to match what is desired
//	control.go      what the control socket's clients may ask of the loop
//	generations.go  applying, trying, keeping and taking back a router.toml
//	leave.go        what goes back to what it was before router.toml named it
//	compare.go      how generations differ, and the list of them
//	door.go         where the SSH door listens, and how it does
//	report.go       the status tree
//	health.go       what is wrong with the network, for PID 1's judge
//	quirks.go       the board's own settings, and whether they are in force
//	image.go        which image this is; sbom.go: what it is made of
//	updater.go      what writes images into the slots, and notices sticks
//	bundle*.go      tenchd report
//	backup.go       tenchd backup
//	netboot.go      the installer, and the first boot after it
//	boot*.go …      PID 1, see boot.go
//
// The loop is level-triggered. One goroutine owns the Facts; units, the kernel
// and clients send it events; every event is followed by a whole cycle:
// observe, compute what is desired, apply the difference, start and stop
// units. Nothing depends on having seen an earlier event.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tench/boards"
	"tench/config"
	"tench/supervisor/clock"
	"tench/supervisor/desired"
	"tench/supervisor/netstate"
	"tench/supervisor/status"
	"tench/supervisor/system"
	"tench/supervisor/unit"
	"tench/supervisor/update"
)

const (
	// heartbeat is the longest time between two cycles. PID 1 takes the loop
	// for hung after five of them.
	heartbeat = 2 * time.Second
	// readyWait is how long the ready line waits for what may still come: a
	// DHCP server, a USB network card.
	readyWait = 10 * time.Second
	// takeOverWait is how long the first cycle waits for the DHCP clients to
	// read their lease files.
	takeOverWait = time.Second
	// passes bounds the rounds of one cycle: what one round made (a bridge) is
	// seen and filled by the next.
	passes = 4
)

// LoopOptions says where the loop finds and keeps things. The network it works
// on is the network namespace it runs in.
type LoopOptions struct {
	DataDir   string    // generations and leases, on a box /data
	RunDir    string    // control socket and resolv.conf, on a box /run/tench
	BoardFile string    // board.toml, for port labels and the console; "" for none
	Report    io.Writer // one line a message to PID 1, see ARCHITECTURE.md; nil without one
	Log       func(format string, args ...any)
}

// loop is the state of the network loop; only the goroutine in run touches it.
type loop struct {
	o       LoopOptions
	sys     system.System
	store   update.Store
	board   boards.Board
	epoch   time.Time                  // when this release was built; zero outside of an image
	release string                     // e.g. "2026.11"; "" outside of an image
	image   func() []status.Node       // read once, when it is first asked for: the SBOM is long
	ports   map[string]config.Selector // label on the case -> its device

	cfg     config.Config
	current status.Config // the router.toml in force, as text
	trial   *trial        // when that is on trial
	ended   string        // how the last trial since the loop's start ended; "" for well or none
	facts   unit.Facts
	state   netstate.State
	want    desired.Desired
	tried   config.Config     // the trial that the loop before this one did not outlive
	left    map[string]bool   // ports that router.toml named since the start, and does no more
	mtus    map[string]int    // what ports had before theirs was set
	refused map[string]error  // by the kernel: changes, by Change.String
	kept    netstate.Kept     // what it made of settings
	absent  []desired.Missing // what was logged as missing
	units   units

	events     chan unit.Event
	requests   chan func() // work that clients hand to the loop's goroutine
	afterCycle []func()    // answers to clients that wait for the next cycle's end
	started    time.Time
	ready      bool
	doorTold   string // what PID 1 was last told of the door

	slotOnTrial bool // as PID 1 says
}

// RunLoop runs the network loop until ctx ends. It leaves the network as it is
// then: the next loop takes it over, and no address or route is lost between.
func RunLoop(ctx context.Context, o LoopOptions) error {
	sys, err := system.New()
	if err != nil {
		return err
	}
	// The root file system's /etc/resolv.conf is a link to it.
	sys.ResolvConf = filepath.Join(o.RunDir, "resolv.conf")
	l := newLoop(o, sys)
	socket, err := status.Listen(filepath.Join(o.RunDir, status.SocketName))
	if err != nil {
		return err
	}
	go func() {
		if err := status.Serve(ctx, socket, control{l}); err != nil {
			o.Log("%v", err)
		}
	}()
	go l.watch(ctx)
	l.run(ctx)
	return nil
}

func newLoop(o LoopOptions, sys system.System) *loop {
	l := &loop{
		o: o, sys: sys,
		store: update.Store{Dir: filepath.Join(o.DataDir, "config")},
		image: sync.OnceValue(func() []status.Node { return imageNodes("/") }),
		ports: map[string]config.Selector{},
		facts: unit.Facts{}.Clone(), kept: netstate.NewKept(),
		left: map[string]bool{}, mtus: map[string]int{},
		events: make(chan unit.Event, 64), requests: make(chan func()),
		started: time.Now(),
	}
	l.units = newUnits(l)
	if o.BoardFile != "" {
		if err := l.readBoard(); err != nil {
			o.Log("%v", err) // the box comes up without port labels
		}
	}
	// The first holds leases, which tell where the box is connected.
	if err := errors.Join(os.MkdirAll(l.stateDir(), 0o700), os.MkdirAll(o.RunDir, 0o755)); err != nil {
		o.Log("loop: %v", err)
	}
	l.setClockFloor()
	l.loadConfig()
	l.tellConfig()
	l.doorTold = "nothing yet"
	return l
}

// tellConfig tells PID 1 what of router.toml is its business.
func (l *loop) tellConfig() {
	l.tell(l.consoles().String())
	l.tell(policyLine(l.cfg.Health))
}

func (l *loop) readBoard() error {
	data, err := os.ReadFile(l.o.BoardFile)
	if err != nil {
		return fmt.Errorf("board: %w", err)
	}
	l.board, err = boards.Parse(l.o.BoardFile, "", data)
	if err != nil {
		return err
	}
	for _, p := range l.board.Ports {
		l.ports[p.Label] = config.Selector{Path: p.Path, Name: p.Name}
	}
	return nil
}

// stateDir holds what units remember over a restart.
func (l *loop) stateDir() string { return filepath.Join(l.o.DataDir, "state") }

// setClockFloor takes the clock to the last time this box knew. PID 1 has taken
// it to the epoch of the build before.
func (l *loop) setClockFloor() {
	if text, err := os.ReadFile(buildFile); err == nil {
		info, err := parseBuildInfo(text)
		if err != nil {
			l.o.Log("%v", err)
		}
		l.epoch, l.release = time.Unix(info.Epoch, 0), info.Release
	}
	if err := clock.SetFloor(l.sys, l.stateDir(), l.epoch); err != nil {
		l.o.Log("%v", err)
	}
}

// consoles says where PID 1 shall run the serial menu.
func (l *loop) consoles() consoles { return consolesFor(l.board.Console, l.cfg.Console) }

// watch forwards the kernel's news for as long as the loop runs.
func (l *loop) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := netstate.Watch(ctx, l.sys, l.events)
		if ctx.Err() == nil {
			l.o.Log("netlink: %v; watching again in a second", err)
			sleep(ctx, time.Second)
		}
	}
}

func (l *loop) run(ctx context.Context) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	l.takeOver(ctx)
	for ctx.Err() == nil {
		l.cycle(ctx)
		select {
		case <-ctx.Done():
		case e := <-l.events:
			l.take(e)
		case work := <-l.requests:
			work()
		case <-tick.C:
		}
		l.drain()
	}
	l.units.stopAll()
}

// takeOver lets the DHCP clients take up the leases of the loop before this one
// before the first cycle, which would otherwise remove their addresses.
func (l *loop) takeOver(ctx context.Context) {
	state, err := netstate.Observe(l.sys)
	if err != nil {
		return // the first cycle tells
	}
	l.facts.Links = netstate.Links(state)
	l.leave(l.tried, l.cfg)
	l.want = l.compute()
	l.units.match(ctx, l.want)
	limit := time.After(takeOverWait)
	for l.silentClients() {
		select {
		case e := <-l.events:
			l.take(e)
		case <-limit:
			return
		case <-ctx.Done():
			return
		}
	}
}

// silentClients reports whether a DHCP client has not yet said how it does.
func (l *loop) silentClients() bool {
	return slices.ContainsFunc(l.want.DHCP, func(d desired.DHCP) bool {
		_, reported := l.facts.Units["dhcp "+d.Interface]
		return !reported
	})
}

// drain takes every event that already waits: one cycle serves them all.
func (l *loop) drain() {
	for {
		select {
		case e := <-l.events:
			l.take(e)
		default:
			return
		}
	}
}

func (l *loop) take(e unit.Event) {
	if e.Text != "" {
		l.o.Log("%s: %s", e.From, e.Text)
	}
	if e.Apply != nil {
		e.Apply(&l.facts)
	}
}

// cycle makes the box what it should be, as far as that can be had now.
func (l *loop) cycle(ctx context.Context) {
	l.tryOn(update.Tick, "")
	l.readTrial()
	l.applyAll()
	l.units.match(ctx, l.want)
	l.logMissing()
	l.tell(healthLine(l.unhealthy()))
	l.tell(wordCycle)
	l.tellDoor()
	for _, answer := range l.afterCycle {
		answer()
	}
	l.afterCycle = nil
	missing := l.missing()
	if !l.ready && (len(missing) == 0 || l.current.Problem != "" || time.Since(l.started) > readyWait) {
		l.ready = true
		l.tell(strings.TrimSpace(wordReady + " " + strings.Join(missing, ", ")))
	}
}

// logMissing logs the interfaces that cannot be had, each cause once. Routes are
// left out: they come and go with the interfaces that they need.
func (l *loop) logMissing() {
	var absent []desired.Missing
	for _, m := range l.want.Missing {
		if strings.HasPrefix(m.Interface, "route ") {
			continue
		}
		absent = append(absent, m)
		if !slices.Contains(l.absent, m) {
			l.o.Log("%s: missing: %s", m.Interface, m.Cause)
		}
	}
	l.absent = absent
}

// missing lists what keeps the configured network from being complete.
func (l *loop) missing() []string {
	var list []string
	if l.current.Problem != "" {
		list = append(list, configName)
	}
	for _, m := range l.want.Missing {
		list = append(list, m.Interface)
	}
	for _, d := range l.want.DHCP {
		if _, bound := l.facts.Leases[d.Interface]; !bound {
			list = append(list, "dhcp "+d.Interface)
		}
	}
	return append(list, slices.Sorted(maps.Keys(l.refused))...)
}

// tell sends PID 1 a message; without a PID 1 nobody listens.
func (l *loop) tell(message string) {
	if l.o.Report == nil {
		return
	}
	if _, err := fmt.Fprintln(l.o.Report, message); err != nil {
		l.o.Log("loop: tell PID 1 %q: %v", message, err)
	}
}

// sleep waits for d or for ctx to end.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
