package labs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/supervisor/desired"
)

// TestNetSLAAC takes an address and a default route from dnsmasq's router
// advertisements, also while the box forwards, and gives them up when they are
// no longer wanted.
func TestNetSLAAC(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t, "dnsmasq")
	if !lab.Isolate(t) {
		return
	}
	plug(t)
	lab.Run(t, "peer", "ip", "addr", "add", "2001:db8:5::1/64", "dev", "port0", "nodad")
	b := newBox(t)
	lab.Run(t, "", "sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
	want := desired.Desired{
		Links:     []desired.Link{{Name: "eth0", Interface: "wan", Up: true, SLAAC: true}},
		Addresses: []desired.Address{address("eth0", "2001:db8:77::1/64")},
		// The same destination and metric as the advertised one: both must live.
		Routes: []desired.Route{route("eth0", "::/0", "2001:db8:77::2", 0)},
	}
	b.wish(want)
	b.settle()
	lab.Spawn(t, "peer", "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--port=0", "--conf-file=/dev/null",
		"--interface=port0", "--enable-ra", "--ra-param=port0,4,600", "--dhcp-range=2001:db8:5::,ra-only,64")
	autoconf := func() bool {
		return slices.ContainsFunc(addressesOf(t, "eth0"), func(a string) bool { return strings.HasPrefix(a, "2001:db8:5:") })
	}
	advertised := func() bool {
		out := lab.Run(t, "", "ip", "-6", "route", "show", "default", "proto", "ra")
		return strings.Contains(out, "via fe80::")
	}
	ours := func() bool {
		return strings.Contains(lab.Run(t, "", "ip", "-6", "route", "show", "default"), "via 2001:db8:77::2")
	}
	lab.Eventually(t, 20*time.Second, "an address and a route are advertised", func() bool { return autoconf() && advertised() })
	if !ours() {
		t.Error("the static default route gave way to the advertised one")
	}
	if changes := b.settle(); changes != nil {
		t.Errorf("the advertised ones make it change: %v", changes)
	}
	// Lost and made again, the static one must not replace the advertised one.
	lab.Run(t, "", "ip", "-6", "route", "del", "default", "via", "2001:db8:77::2")
	b.settle()
	if !ours() || !advertised() {
		t.Errorf("after a repair: static %v, advertised %v, want both", ours(), advertised())
	}
	want.Links[0].SLAAC = false
	b.wish(want)
	b.settle()
	if autoconf() || advertised() || !ours() {
		t.Errorf("without advertisements: address %v, route %v, static route %v", autoconf(), advertised(), ours())
	}
	if got := fmt.Sprint(addressesOf(t, "eth0")); got != "[2001:db8:77::1/64]" {
		t.Errorf("addresses of eth0: %s", got)
	}
}
