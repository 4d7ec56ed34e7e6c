package labs

import (
	"context"
	"encoding/json"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/supervisor/desired"
	"tench/supervisor/netstate"
	"tench/supervisor/system"
	"tench/supervisor/unit"
)

// box drives netstate in the test's namespace as the loop does.
type box struct {
	t   *testing.T
	sys *system.Kernel

	mu     sync.Mutex
	facts  unit.Facts
	kept   netstate.Kept
	want   func(unit.Facts) desired.Desired
	log    []string
	errors []string

	events chan unit.Event
}

// newBox starts with an empty wish.
func newBox(t *testing.T) *box {
	t.Helper()
	sys, err := system.New()
	if err != nil {
		t.Fatal(err)
	}
	sys.ResolvConf = t.TempDir() + "/resolv.conf"
	t.Cleanup(sys.Close)
	return &box{
		kept: netstate.NewKept(),
		t:    t, sys: sys, events: make(chan unit.Event, 64), facts: unit.Facts{}.Clone(),
		want: func(unit.Facts) desired.Desired { return desired.Desired{} },
	}
}

// wish sets what is desired.
func (b *box) wish(d desired.Desired) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.want = func(unit.Facts) desired.Desired { return d }
}

// settle plans and applies until nothing is left to do, and returns the lines
// of the changes. A change that fails fails the test.
func (b *box) settle() []string {
	b.t.Helper()
	var lines []string
	for range 4 {
		changes := b.plan()
		if len(changes) == 0 {
			return lines
		}
		for _, c := range changes {
			lines = append(lines, c.String())
			if err := netstate.Apply(b.sys, c); err != nil {
				b.t.Errorf("apply: %v", err)
			}
		}
	}
	b.t.Errorf("it never settles: %v", lines)
	return lines
}

func (b *box) plan() []netstate.Change {
	b.t.Helper()
	state, err := netstate.Observe(b.sys)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.facts.Links = netstate.Links(state)
	want := b.want(b.facts)
	return append(netstate.Plan(state, want), netstate.PlanSettings(b.sys, want, b.kept)...)
}

// start runs the watcher and a cycle after each event until the test ends.
func (b *box) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		if err := netstate.Watch(ctx, b.sys, b.events); err != nil {
			b.note(&b.errors, err.Error())
		}
	}()
	go func() {
		defer close(done)
		for {
			for _, c := range b.plan() {
				b.note(&b.log, c.String())
				if err := netstate.Apply(b.sys, c); err != nil {
					b.note(&b.errors, err.Error())
				}
			}
			select {
			case e := <-b.events:
				b.take(e)
			case <-ctx.Done():
				return
			}
		}
	}()
	b.t.Cleanup(func() { cancel(); <-done })
}

func (b *box) take(e unit.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Text != "" {
		b.log = append(b.log, e.From+": "+e.Text)
	}
	if e.Apply != nil {
		e.Apply(&b.facts)
	}
}

func (b *box) note(list *[]string, line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*list = append(*list, line)
}

// take the log so far and begin a new one.
func (b *box) takeLog() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	log := b.log
	b.log = nil
	return log
}

// fact reads from the facts.
func fact[T any](b *box, read func(unit.Facts) T) T {
	b.mu.Lock()
	defer b.mu.Unlock()
	return read(b.facts)
}

// object is one element of what ip -j prints.
type object map[string]any

// ipJSON runs ip -j in peer, "" for the box.
func ipJSON(t testing.TB, peer string, args ...string) []object {
	t.Helper()
	out := lab.Run(t, peer, append([]string{"ip", "-j", "-d"}, args...)...)
	var list []object
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("ip -j %v: %v\n%s", args, err, out)
	}
	var full []object // ip prints empty objects for what its filter left out
	for _, o := range list {
		if len(o) > 0 {
			full = append(full, o)
		}
	}
	return full
}

// addressesOf lists the addresses of a link as iproute2 sees them, without
// link-local ones.
func addressesOf(t testing.TB, link string) []string {
	t.Helper()
	var list []string
	for _, l := range ipJSON(t, "", "addr", "show", "dev", link) {
		for _, a := range l["addr_info"].([]any) {
			info := a.(map[string]any)
			p := netip.PrefixFrom(netip.MustParseAddr(info["local"].(string)), int(info["prefixlen"].(float64)))
			if info["scope"] != "link" {
				list = append(list, p.String())
			}
		}
	}
	return list
}

func address(link, prefix string) desired.Address {
	return desired.Address{Link: link, Prefix: netip.MustParsePrefix(prefix)}
}

// route is one in the main table.
func route(link, to, via string, metric int) desired.Route {
	r := desired.Route{To: netip.MustParsePrefix(to), Link: link, Metric: metric, Table: 254}
	if via != "" {
		r.Via = netip.MustParseAddr(via)
	}
	return r
}

// repairTime is within which the box must have repaired what somebody broke.
const repairTime = time.Second
