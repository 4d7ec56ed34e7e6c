package dhcp

import (
	"context"
	"errors"
	"testing"
	"time"

	"tench/supervisor/system"
	"tench/supervisor/unit"
)

// TestClientGivesUp checks what ends Run, on a link without carrier, where it
// needs no socket.
func TestClientGivesUp(t *testing.T) {
	const mac = "52:54:00:12:34:56"
	for _, tc := range []struct {
		name   string
		change func(*system.Fake)
		want   string
	}{
		{"link gone", func(f *system.Fake) { f.Net.Links = nil }, "eth0: find link: no such device"},
		{"hardware address changed", func(f *system.Fake) { f.Net.Links[0].MAC = "52:54:00:00:00:09" },
			"eth0: its hardware address changed from 52:54:00:12:34:56 to 52:54:00:00:00:09"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &system.Fake{Boot: "b1", Since: 1e9}
			f.Net.Links = []system.Link{{Name: "eth0", Index: 2, MAC: mac}}
			events := make(chan unit.Event, 10)
			done := make(chan error, 1)
			c := New(Config{Interface: "wan", Link: "eth0", StateDir: t.TempDir()}, f)
			go func() { done <- c.Run(t.Context(), events) }()
			facts := unit.Facts{}.Clone()
			(<-events).Apply(&facts)
			if s := facts.Units["dhcp wan"]; s.Text != "waiting: no carrier" || s.OK {
				t.Errorf("state %+v, want waiting: no carrier", s)
			}
			f.Change(func() { tc.change(f) })
			if err := <-done; err == nil || err.Error() != tc.want {
				t.Errorf("Run = %v, want %s", err, tc.want)
			}
		})
	}
}

// deaf is a kernel whose notices end.
type deaf struct{ *system.Fake }

func (deaf) Notify(context.Context, system.Topic) (<-chan struct{}, error) {
	ended := make(chan struct{})
	close(ended)
	return ended, nil
}

// A client that can hear nothing of its link any more says so; the loop starts
// another one.
func TestClientWithoutNoticesGivesUp(t *testing.T) {
	f := deaf{&system.Fake{Boot: "b1"}}
	f.Net.Links = []system.Link{{Name: "eth0", Index: 2, MAC: "52:54:00:12:34:56"}}
	err := New(Config{Interface: "wan", Link: "eth0", StateDir: t.TempDir()}, f).Run(t.Context(), make(chan unit.Event, 10))
	if err == nil || err.Error() != "netlink: the kernel closed the socket" {
		t.Errorf("Run = %v, want why it gave up", err)
	}
}

// TestClientTakesUpItsLease restarts a client within one boot and in the next.
func TestClientTakesUpItsLease(t *testing.T) {
	const mac = "52:54:00:12:34:56"
	for _, tc := range []struct {
		name, boot, mac string
		since           time.Duration
		held            bool
	}{
		{"same boot", "b1", mac, 100 * time.Second, true},
		{"same boot, ended long ago", "b1", mac, 5 * time.Hour, false},
		{"next boot", "b2", mac, 100 * time.Second, false},
		{"no boot id", "", mac, 100 * time.Second, false},
		{"another card", "b1", "52:54:00:00:00:09", 100 * time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := newStore(dir, "wan").save(testRecord()); err != nil {
				t.Fatal(err)
			}
			f := &system.Fake{Boot: tc.boot, Since: tc.since}
			f.Net.Links = []system.Link{{Name: "eth0", Index: 2, MAC: tc.mac}}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			events := make(chan unit.Event, 10)
			done := make(chan error, 1)
			go func() { done <- New(Config{Interface: "wan", Link: "eth0", StateDir: dir}, f).Run(ctx, events) }()
			facts := unit.Facts{}.Clone()
			facts.Leases["wan"] = unit.Lease{} // of the client before this one
			(<-events).Apply(&facts)
			lease, held := facts.Leases["wan"]
			if held != tc.held || held && (!lease.Restored || lease.Address != testGrant().Address || lease.HWAddress != mac) {
				t.Errorf("lease %+v, %v, want %v", lease, held, tc.held)
			}
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("Run = %v after its context ended", err)
			}
		})
	}
}

// TestClientThatEndedLateSaysNothing: the loop may have another in its place, and
// must not hear of a lease of this one.
func TestClientThatEndedLateSaysNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	events := make(chan unit.Event, 64)
	r := &run{ctx: ctx, events: events}
	for range cap(events) {
		r.emit(unit.Event{})
	}
	if n := len(events); n > 0 {
		t.Errorf("it sent %d events after it was told to end", n)
	}
}
