package labs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/internal/lab"
	"tench/supervisor/desired"
)

// TestNetVLAN makes VLANs over a port and over a bridge, changes their tags and
// sizes, and sends packets through one. It runs with the box's own kernel.
func TestNetVLAN(t *testing.T) {
	if !lab.InMachine(t, "ip", "ping") {
		return
	}
	plug(t)
	for _, args := range []string{"link add link port0 name tag10 type vlan id 10", "link add link port0 name tag11 type vlan id 11",
		"addr add 10.10.0.2/24 dev tag10", "addr add 10.10.0.2/24 dev tag11", "link set tag10 up"} {
		lab.Run(t, "peer", append([]string{"ip"}, strings.Fields(args)...)...)
	}
	want := desired.Desired{
		Links: []desired.Link{
			{Name: "br0", Interface: "br0", Kind: "bridge", Up: true},
			{Name: "eth0", Interface: "lan", Up: true},
			{Name: "eth1", Interface: "port1", Up: true, Master: "br0"},
			{Name: "guest", Interface: "guest", Kind: "vlan", Parent: "eth0", VLANID: 10, Up: true, MTU: 1400},
			{Name: "inner", Interface: "inner", Kind: "vlan", Parent: "guest", VLANID: 20, Up: true, MTU: 1396},
			{Name: "voice", Interface: "voice", Kind: "vlan", Parent: "br0", VLANID: 10, Up: true},
		},
		Addresses: []desired.Address{
			address("guest", "10.10.0.1/24"), address("inner", "10.20.0.1/24"), address("voice", "2001:db8:10::1/64"),
			address("eth0", "192.0.2.2/24"),
		},
		Routes: []desired.Route{route("guest", "10.30.0.0/16", "10.10.0.9", 0)},
	}
	b := newBox(t)
	b.wish(want)
	settled := func(what string, changes []string) {
		t.Helper()
		got := b.settle()
		if diff := cmp.Diff(changes, got); changes != nil && diff != "" {
			t.Errorf("%s: changes (-want +got)\n%s", what, diff)
		}
		if again := b.settle(); again != nil {
			t.Errorf("%s: applied again, it changes: %v", what, again)
		}
	}
	vlans := func(want ...string) {
		t.Helper()
		var got []string
		for _, l := range ipJSON(t, "", "link", "show", "type", "vlan") {
			id := l["linkinfo"].(map[string]any)["info_data"].(map[string]any)["id"]
			got = append(got, fmt.Sprintf("%v@%v id %v mtu %v %v", l["ifname"], l["link"], id, l["mtu"], l["ifalias"]))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("VLANs as iproute2 sees them (-want +got)\n%s", diff)
		}
	}
	settled("from nothing", nil)
	vlans("guest@eth0 id 10 mtu 1400 tench", "voice@br0 id 10 mtu 1500 tench", "inner@guest id 20 mtu 1396 tench")
	lab.Run(t, "", "ping", "-c1", "-W5", "10.10.0.2")

	want.Links[3].MTU, want.Links[4].MTU, want.Links[1].MTU = 1300, 1296, 1300
	settled("all shrink", []string{"inner: set MTU 1296", "guest: set MTU 1300", "lan: set MTU 1300"})
	want.Links[3].MTU, want.Links[4].MTU, want.Links[1].MTU = 1496, 1492, 1500
	settled("all grow", []string{"lan: set MTU 1500", "guest: set MTU 1496", "inner: set MTU 1492"})

	lab.Run(t, "peer", "ip", "link", "set", "tag10", "down")
	lab.Run(t, "peer", "ip", "link", "set", "tag11", "up")
	want.Links[3].VLANID = 11
	index := func(link string) any { return ipJSON(t, "", "link", "show", "dev", link)[0]["ifindex"] }
	voice := index("voice")
	settled("another tag", nil)
	vlans("voice@br0 id 10 mtu 1500 tench", "guest@eth0 id 11 mtu 1496 tench", "inner@guest id 20 mtu 1492 tench")
	lab.Run(t, "", "ping", "-c1", "-W5", "10.10.0.2")
	if index("voice") != voice {
		t.Error("a VLAN that did not change was made again")
	}

	lab.Run(t, "", "ip", "link", "del", "guest")
	settled("removed by hand", nil)
	lab.Run(t, "", "ip", "link", "set", "eth0", "down")
	settled("port set down by hand", nil)
	vlans("voice@br0 id 10 mtu 1500 tench", "guest@eth0 id 11 mtu 1496 tench", "inner@guest id 20 mtu 1492 tench")
	lab.Run(t, "", "ping", "-c1", "-W5", "10.10.0.2")

	want = desired.Desired{Links: want.Links[1:2]}
	b.wish(want)
	settled("no longer wanted", nil)
	vlans()
}
