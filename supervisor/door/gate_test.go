package door

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// hand is a clock moved by hand.
type hand struct{ t time.Time }

func (h *hand) now() time.Time { return h.t }

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func TestGateBoundsOneSource(t *testing.T) {
	clock := &hand{time.Unix(1000, 0)}
	g := newGate(limits{all: 100, each: 3, burst: 5, perSecond: 0.5, remembered: 10}, clock.now)
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1") // one network
	var tickets []*ticket
	enter := func(from netip.Addr, want string) {
		t.Helper()
		tk, err := g.enter(from, func() { t.Error("a connection had to make room") })
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("enter = %v, want …%s…", err, want)
		}
		if err == nil {
			tickets = append(tickets, tk)
		}
	}
	enter(a, "nil")
	enter(b, "nil")
	enter(a, "nil")
	enter(b, "2001:db8::/64 has 3 connections")
	enter(netip.MustParseAddr("2001:db8:0:1::1"), "nil")
	enter(netip.MustParseAddr("::ffff:10.0.0.1"), "nil")
	tickets[0].gone()
	tickets[0].gone() // twice is once
	enter(b, "nil")
	tickets[1].gone()
	enter(a, "nil") // the fifth
	tickets[2].gone()
	enter(a, "makes too many connections")
	clock.t = clock.t.Add(2 * time.Second)
	enter(a, "nil")
	tickets[len(tickets)-1].passed() // gives back its credit
	enter(a, "nil")
	tickets[len(tickets)-1].gone()
	enter(a, "makes too many connections")
}

func TestGateMakesRoom(t *testing.T) {
	clock := &hand{time.Unix(1000, 0)}
	g := newGate(limits{all: 4, each: 3, burst: 100, perSecond: 1, remembered: 10}, clock.now)
	var ended []string
	enter := func(n int, name string) (*ticket, error) {
		return g.enter(address(n), func() { ended = append(ended, name) })
	}
	first, err := enter(1, "1a")
	must(t, err)
	for _, c := range []struct {
		n    int
		name string
	}{{1, "1b"}, {1, "1c"}, {2, "2a"}} {
		_, err := enter(c.n, c.name)
		must(t, err)
	}
	_, err = enter(3, "3a") // source 1 has most
	must(t, err)
	if got := strings.Join(ended, " "); got != "1a" {
		t.Errorf("ended %q, want the oldest of the source with most", got)
	}
	if first.passed() {
		t.Error("a connection that made room logs in")
	}
	if _, err := enter(1, "1d"); err == nil {
		t.Error("the source with most takes the place of another")
	}
	_, err = enter(4, "4a")
	must(t, err)
	_, err = enter(5, "5a") // now every source has one: the oldest makes room
	must(t, err)
	if got := strings.Join(ended, " "); got != "1a 1b 1c" {
		t.Errorf("ended %q, want 1a 1b 1c", got)
	}
	_, err = enter(5, "5b") // one with as many as the others may have another
	must(t, err)
	if _, err := enter(5, "5c"); err == nil || !strings.Contains(err.Error(), "there are 4 connections") {
		t.Errorf("the source with most takes the place of another: %v", err)
	}
}

func TestGateForgets(t *testing.T) {
	clock := &hand{time.Unix(1000, 0)}
	g := newGate(limits{all: 10, each: 2, burst: 3, perSecond: 0.001, remembered: 100}, clock.now)
	bad := address(0)
	for range 3 {
		tk, err := g.enter(bad, func() {})
		must(t, err)
		tk.gone()
	}
	for n := range 10_000 {
		tk, err := g.enter(address(n+1), func() {})
		must(t, err)
		tk.gone()
	}
	if len(g.sources) > 100 {
		t.Errorf("%d sources are remembered, want 100", len(g.sources))
	}
	if _, err := g.enter(bad, func() {}); err == nil {
		t.Error("the source that did worst was forgotten")
	}
}

func TestQuiet(t *testing.T) {
	clock := &hand{time.Unix(1000, 0)}
	var lines []string
	q := newQuiet(func(f string, a ...any) { lines = append(lines, fmt.Sprintf(f, a...)) }, clock.now)
	for n := range 10_000 {
		q.say("line %d", n)
	}
	if len(lines) != quietBurst {
		t.Errorf("%d lines at once, want %d", len(lines), quietBurst)
	}
	clock.t = clock.t.Add(2 * quietPause)
	q.say("later")
	q.say("and again")
	q.say("no more")
	want := "later (9990 lines like this were left out)|and again"
	if got := strings.Join(lines[quietBurst:], "|"); got != want {
		t.Errorf("later: %q, want %q", got, want)
	}
}
