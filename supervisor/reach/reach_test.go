package reach

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/icmp"

	"tench/config"
	"tench/supervisor/unit"
)

func TestTake(t *testing.T) {
	no := errors.New("no answer")
	p := &prober{target: config.Target{Host: "192.0.2.1"}}
	for i, tc := range []struct {
		err     error
		changed bool
		ok      bool
	}{
		{no, true, false}, {no, false, false}, {nil, true, true}, {nil, false, true},
		{no, false, true}, {nil, false, true}, // one lost packet
		{no, false, true}, {no, true, false}, {errors.New("connection refused"), true, false}, {nil, true, true},
	} {
		e, changed := p.take(tc.err, time.Unix(int64(i), 0))
		if changed != tc.changed || p.state.OK != tc.ok {
			t.Errorf("answer %d (%v): changed %v, OK %v; want %v, %v", i, tc.err, changed, p.state.OK, tc.changed, tc.ok)
		}
		if changed {
			f := unit.Facts{}.Clone()
			e.Apply(&f)
			if f.Units["reach 192.0.2.1"] != p.state {
				t.Errorf("answer %d: facts %+v", i, f.Units)
			}
		}
	}
}

func TestAskTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	target := config.Target{Host: "127.0.0.1", Port: port}
	if err := ask(t.Context(), target); err != nil {
		t.Errorf("ask of a server: %v", err)
	}
	l.Close()
	if err := ask(t.Context(), target); err == nil || !strings.HasSuffix(err.Error(), "connection refused") || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("ask of nobody: %v", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if err := ask(late, target); err == nil || err.Error() != "no answer" {
		t.Errorf("ask too late: %v", err)
	}
}

// A host with an address that is silent answers by its other one.
func TestAnyOf(t *testing.T) {
	silent, refuses, answers := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	ask := func(ctx context.Context, a netip.Addr) error {
		switch a {
		case silent:
			<-ctx.Done()
			return ctx.Err()
		case refuses:
			return errors.New("network is unreachable")
		}
		return nil
	}
	if err := anyOf(t.Context(), []netip.Addr{silent, refuses, answers}, ask); err != nil {
		t.Errorf("one of three answers: %v", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if err := anyOf(late, []netip.Addr{silent, refuses}, ask); err == nil {
		t.Error("nobody answers, and there is no error")
	}
}

func FuzzAnswers(f *testing.F) {
	for _, p := range []protocol{icmp4, icmp6} {
		m, err := (&icmp.Message{Type: p.answer, Body: &icmp.Echo{ID: 7, Seq: 9, Data: []byte("tench")}}).Marshal(nil)
		if err != nil {
			f.Fatal(err)
		}
		if !answers(m, p, 7, 9) || answers(m, p, 7, 8) || answers(m, p, 8, 9) {
			f.Errorf("answers of protocol %d", p.number)
		}
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		answers(packet, icmp4, 7, 9)
		answers(packet, icmp6, 7, 9)
	})
}
