package netstate

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/config"
	"tench/supervisor/desired"
	"tench/supervisor/system"
	"tench/supervisor/unit"
)

func TestApplyNamesTheInterface(t *testing.T) {
	f := box()
	f.Fail = map[string]error{
		"add address eth1 10.1.0.1/24": errors.New("eth1: add address 10.1.0.1/24: the link is down"),
		"make vlan guest eth1 10":      errors.New("guest: make vlan: this kernel cannot do that"),
	}
	var got []string
	failed := map[string]bool{}
	for _, c := range Plan(observe(t, f), router()) {
		if failed[c.Link] {
			continue
		}
		if err := Apply(f, c); err != nil {
			got = append(got, err.Error())
			failed[c.Link] = c.Makes
		}
	}
	want := []string{
		"guest: make vlan: this kernel cannot do that",
		"lan: eth1: add address 10.1.0.1/24: the link is down",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("errors (-want +got)\n%s", diff)
	}
	// Nothing else on guest was tried, and only that is left to do.
	f.Fail = nil
	var left []string
	for _, c := range Plan(observe(t, f), router()) {
		if c.On != "guest" && c.On != "inner" {
			left = append(left, c.String())
		}
	}
	if diff := cmp.Diff([]string{"lan: add address 10.1.0.1/24"}, left); diff != "" {
		t.Errorf("left to do (-want +got)\n%s", diff)
	}
}

func TestPlanSettings(t *testing.T) {
	f := box()
	f.Name = "(none)"
	f.Sysctl["net/ipv4/ip_forward"] = "0"
	f.Sysctl["net/ipv4/tcp_rmem"] = "4096\t131072\t6291456"
	f.Sysctl["net/ipv4/conf/all/rp_filter"] = "0"
	want := desired.Desired{
		Hostname: "gw0",
		Sysctls: []config.Sysctl{
			{Key: "net.ipv4.conf.all.rp_filter", Value: "1"},
			{Key: "net.ipv4.ip_forward", Value: "1"},
			{Key: "net.ipv4.tcp_rmem", Value: "4096 131072 6291456"},
		},
		DNS:    []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")},
		Search: []string{"example.net", "lan"},
	}
	var got []string
	kept := NewKept()
	changes := PlanSettings(f, want, kept)
	for _, c := range changes {
		got = append(got, c.String())
	}
	lines := []string{
		"hostname: set to gw0",
		"sysctl net.ipv4.ip_forward: set to 1",
		"sysctl net.ipv4.conf.all.rp_filter: set to 1",
		"resolv.conf: write with 192.0.2.53 2001:db8::53",
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Errorf("PlanSettings (-want +got)\n%s", diff)
	}
	for _, c := range changes {
		if err := Apply(f, c); err != nil {
			t.Error(err)
		}
	}
	resolv := "# Written by tench: router.toml [dns], then DHCP.\nsearch example.net lan\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n"
	if diff := cmp.Diff(resolv, string(f.Resolv)); diff != "" {
		t.Errorf("resolv.conf (-want +got)\n%s", diff)
	}
	for _, c := range PlanSettings(f, want, kept) {
		t.Errorf("a second plan wants: %s", c)
	}

	want.Sysctls = want.Sysctls[1:]
	for _, lines := range [][]string{{"sysctl net.ipv4.conf.all.rp_filter: set back to 0"}, nil} {
		var got []string
		for _, c := range PlanSettings(f, want, kept) {
			got = append(got, c.String())
			if err := Apply(f, c); err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff(lines, got); diff != "" {
			t.Errorf("without rp_filter (-want +got)\n%s", diff)
		}
	}
	if have := f.Sysctl["net/ipv4/conf/all/rp_filter"]; have != "0" {
		t.Errorf("rp_filter is %s, as before it was 0", have)
	}
}

// rounding is a kernel that takes one setting in steps of 512, and shows another
// to nobody.
type rounding struct{ *system.Fake }

func (r rounding) WriteSysctl(key, value string) error {
	if key == "net.netfilter.nf_conntrack_buckets" && value == "10000" {
		value = "10240"
	}
	return r.Fake.WriteSysctl(key, value)
}

func (r rounding) ReadSysctl(key string) (string, error) {
	if key == "net.ipv4.route.flush" {
		return "", errors.New("invalid argument")
	}
	return r.Fake.ReadSysctl(key)
}

func TestSettingsThatReadOtherwise(t *testing.T) {
	f := rounding{box()}
	f.Resolv = resolvConf(desired.Desired{})
	buckets := "net/netfilter/nf_conntrack_buckets"
	f.Sysctl[buckets] = "4096"
	want := desired.Desired{Sysctls: []config.Sysctl{
		{Key: "net.ipv4.route.flush", Value: "1"},
		{Key: "net.netfilter.nf_conntrack_buckets", Value: "10000"},
	}}
	kept := NewKept()
	for _, round := range []struct {
		name   string
		before func()
		want   []string
	}{
		{"first", func() {}, []string{"sysctl net.ipv4.route.flush: set to 1", "sysctl net.netfilter.nf_conntrack_buckets: set to 10000"}},
		{"again", func() {}, nil},
		{"changed by hand", func() { f.Sysctl[buckets] = "512" }, []string{"sysctl net.netfilter.nf_conntrack_buckets: set to 10000"}},
		{"once more", func() {}, nil},
	} {
		round.before()
		var got []string
		for _, c := range PlanSettings(f, want, kept) {
			got = append(got, c.String())
			if err := Apply(f, c); err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff(round.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", round.name, diff)
		}
	}
}

func TestLinks(t *testing.T) {
	f := &system.Fake{}
	f.Net.Links = []system.Link{
		{Name: "eth0", Index: 2, MAC: "02:00:00:00:00:99", PermMAC: "52:54:00:00:00:01", Path: "pci-0000:00:03.0", MTU: 1500, Up: true, Carrier: true},
		{Name: "guest", Index: 5, MAC: "52:54:00:00:00:01", Kind: "vlan", Parent: "eth0", VLANID: 10, Ours: true},
	}
	want := map[string]unit.Link{
		"eth0":  {Name: "eth0", Index: 2, MAC: "52:54:00:00:00:01", Path: "pci-0000:00:03.0", MTU: 1500, Up: true, Carrier: true},
		"guest": {Name: "guest", Index: 5, MAC: "52:54:00:00:00:01", Kind: "vlan", Parent: "eth0", VLANID: 10},
	}
	if diff := cmp.Diff(want, Links(observe(t, f))); diff != "" {
		t.Errorf("Links (-want +got)\n%s", diff)
	}
}

func TestWatchSendsOneEventForManyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := box()
		ctx, cancel := context.WithCancel(t.Context())
		events, done := make(chan unit.Event, 10), make(chan error, 1)
		go func() { done <- Watch(ctx, f, events) }()
		synctest.Wait() // it has subscribed
		for range 2 {
			for range 1000 {
				f.Change(func() {})
				time.Sleep(quiet)
			}
			if n := len(events); n != 1 {
				t.Errorf("%d events are waiting, want one", n)
			}
			(<-events).Apply(&unit.Facts{})
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch = %v after its context ended, want nil", err)
		}
	})
}
