package labs

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/config"
	"tench/internal/lab"
	"tench/supervisor/desired"
)

// lan is a box with one uplink, a bridge with one port, and routes.
func lan() desired.Desired {
	return desired.Desired{
		Hostname: "labbox",
		Links: []desired.Link{
			{Name: "br0", Interface: "br0", Kind: "bridge", STP: true, Up: true},
			{Name: "eth0", Interface: "wan", Up: true, MTU: 1400},
			{Name: "eth1", Interface: "port1", Up: true, Master: "br0"},
			{Name: "lo", Interface: "lo", Kind: "loopback", Up: true},
		},
		Addresses: []desired.Address{
			address("br0", "192.168.1.1/24"), address("br0", "192.168.1.2/24"), address("br0", "2001:db8:1::1/64"),
			address("eth0", "192.0.2.2/24"), address("lo", "10.255.0.1/32"),
		},
		Routes: []desired.Route{
			route("eth0", "0.0.0.0/0", "192.0.2.1", 100),
			route("br0", "2001:db8:2::/48", "2001:db8:1::2", 0),
			{To: netip.MustParsePrefix("10.0.0.0/8"), Table: 254, Blackhole: true},
			{To: netip.MustParsePrefix("2001:db8:dead::/48"), Table: 254, Blackhole: true},
			{To: netip.MustParsePrefix("172.16.0.0/12"), Via: netip.MustParseAddr("192.168.1.9"), Link: "br0", Metric: 7, Table: 100},
			{To: netip.MustParsePrefix("172.20.0.0/16"), Via: netip.MustParseAddr("192.168.1.9"), Link: "br0", Table: 1000},
		},
		Sysctls: []config.Sysctl{
			{Key: "net.ipv4.conf.br0.rp_filter", Value: "1"},
			{Key: "net.ipv4.ip_forward", Value: "1"},
			{Key: "net.ipv6.conf.all.forwarding", Value: "1"},
		},
		DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
	}
}

// plug makes the box's two ports, both with a partner.
func plug(t *testing.T) {
	t.Helper()
	lab.NewPeer(t, "peer")
	lab.Cable(t, "eth0", "peer", "port0")
	lab.Cable(t, "eth1", "peer", "port1")
}

func TestNetLinks(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	plug(t)
	b := newBox(t)
	b.wish(lan())
	b.settle()

	link := func(name string) object { return ipJSON(t, "", "link", "show", "dev", name)[0] }
	kind := func(name string) object {
		return object(link(name)["linkinfo"].(map[string]any)["info_data"].(map[string]any))
	}
	for _, tc := range []struct {
		what      string
		got, want any
	}{
		{"MTU of eth0", link("eth0")["mtu"], 1400.0},
		{"state of eth0", link("eth0")["operstate"], "UP"},
		{"master of eth1", link("eth1")["master"], "br0"},
		{"mark of br0", link("br0")["ifalias"], "tench"},
		{"spanning tree of br0", kind("br0")["stp_state"], 1.0},
		{"addresses of br0", addressesOf(t, "br0"), []string{"192.168.1.1/24", "192.168.1.2/24", "2001:db8:1::1/64"}},
		{"addresses of lo", addressesOf(t, "lo"), []string{"127.0.0.1/8", "10.255.0.1/32", "::1/128"}},
		{"host name", strings.TrimSpace(lab.Run(t, "", "hostname")), "labbox"},
		{"IPv4 routes", routes(t, "-4"), []string{
			"blackhole 10.0.0.0/8", "default via 192.0.2.1 dev eth0 metric 100",
			"table 100 172.16.0.0/12 via 192.168.1.9 dev br0 metric 7",
			"table 1000 172.20.0.0/16 via 192.168.1.9 dev br0",
		}},
		{"IPv6 routes", routes(t, "-6"), []string{
			"2001:db8:2::/48 via 2001:db8:1::2 dev br0 metric 1024",
			"blackhole 2001:db8:dead::/48 dev lo metric 1024",
		}},
		{"setting of br0", strings.TrimSpace(lab.Run(t, "", "cat", "/proc/sys/net/ipv4/conf/br0/rp_filter")), "1"},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tc.what, diff)
		}
	}
	if again := b.settle(); again != nil {
		t.Errorf("applied again, it changes: %v", again)
	}
	// Nothing of it stays when it is no longer wanted.
	b.wish(desired.Desired{Hostname: "labbox", Links: []desired.Link{
		{Name: "eth0", Interface: "wan"}, {Name: "eth1", Interface: "port1"}, {Name: "lo", Interface: "lo", Kind: "loopback", Up: true},
	}})
	b.settle()
	left := append(routes(t, "-4"), routes(t, "-6")...)
	for _, l := range ipJSON(t, "", "link") {
		if l["ifname"] == "br0" || l["ifname"] != "lo" && l["operstate"] != "DOWN" {
			left = append(left, fmt.Sprint(l["ifname"], l["operstate"]))
		}
	}
	left = append(left, addressesOf(t, "eth0")...)
	if left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// routes lists our routes in all tables as iproute2 sees them, sorted.
func routes(t testing.TB, family string) []string {
	t.Helper()
	var list []string
	for _, r := range ipJSON(t, "", family, "route", "show", "table", "all", "proto", "116") {
		text := ""
		if table, ok := r["table"]; ok && table != "main" {
			text = fmt.Sprintf("table %v ", table)
		}
		if r["type"] == "blackhole" {
			text += "blackhole "
		}
		text += fmt.Sprint(r["dst"])
		for _, key := range []string{"gateway", "dev", "metric"} {
			if v, ok := r[key]; ok {
				text += fmt.Sprintf(" %s %v", strings.Replace(key, "gateway", "via", 1), v)
			}
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

// TestNetSmallestChange changes an address and a route of a settled box, and
// lets ip monitor tell what happened: nothing else may show.
func TestNetSmallestChange(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	told := monitored(t, func(d *desired.Desired) {
		d.Addresses[1] = address("br0", "192.168.1.3/24")
		d.Routes[0] = route("eth0", "0.0.0.0/0", "192.0.2.254", 100)
	}, []string{
		"br0: add address 192.168.1.3/24", "br0: remove address 192.168.1.2/24",
		"wan: add route default via 192.0.2.254 metric 100",
	})
	for _, word := range []string{"192.168.1.3/24", "Deleted 4: br0    inet 192.168.1.2/24", "default via 192.0.2.254"} {
		if !strings.Contains(told, word) {
			t.Errorf("ip monitor does not tell of %s:\n%s", word, told)
		}
	}
	for _, word := range []string{
		"192.168.1.1/24", "2001:db8", "192.0.2.2/24", "10.255.0.1", "10.0.0.0/8", "172.16.", "state DOWN", "Deleted default",
	} {
		if strings.Contains(told, word) {
			t.Errorf("ip monitor tells of %s, which stays:\n%s", word, told)
		}
	}
}

// TestNetFirstAddressOfASubnetGoes is the same for the address that the kernel
// calls the primary one. It promotes the second to its place; in that system
// call it renews the routes of the promoted one, but the address stays.
func TestNetFirstAddressOfASubnetGoes(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	told := monitored(t, func(d *desired.Desired) { d.Addresses[0] = address("br0", "192.168.1.3/24") },
		[]string{"br0: add address 192.168.1.3/24", "br0: remove address 192.168.1.1/24"})
	for _, word := range []string{
		"Deleted 4: br0    inet 192.168.1.2/24", "Deleted 4: br0    inet 192.168.1.3/24",
		"2001:db8", "192.0.2.2/24", "10.255.0.1", "default", "10.0.0.0/8", "172.16.", "state DOWN",
	} {
		if strings.Contains(told, word) {
			t.Errorf("ip monitor tells of %s, which stays:\n%s", word, told)
		}
	}
	if diff := cmp.Diff([]string{"192.168.1.2/24", "192.168.1.3/24", "2001:db8:1::1/64"}, addressesOf(t, "br0")); diff != "" {
		t.Errorf("addresses of br0 (-want +got)\n%s", diff)
	}
}

// monitored settles a box, changes the wish, expects these changes and returns
// what ip monitor told meanwhile.
func monitored(t *testing.T, change func(*desired.Desired), changes []string) string {
	t.Helper()
	plug(t)
	b := newBox(t)
	want := lan()
	want.Links[0].STP = false // with it the port would listen for 30 s before it forwards
	b.wish(want)
	b.settle()
	// Duplicate address detection and carrier come to rest first.
	lab.Eventually(t, 10*time.Second, "no address is tentative, all links are up", func() bool {
		out := lab.Run(t, "", "ip", "addr")
		return !strings.Contains(out, "tentative") && strings.Count(out, "state UP") == 3
	})
	monitor := lab.Spawn(t, "", "ip", "-o", "monitor", "link", "address", "route")
	// It does not say when it is ready: provoke it until it speaks. A route that
	// is replaced by the same route is not told of, hence the deletion.
	lab.Eventually(t, 10*time.Second, "ip monitor speaks", func() bool {
		lab.Run(t, "", "ip", "route", "add", "blackhole", "198.51.100.0/24")
		lab.Run(t, "", "ip", "route", "del", "blackhole", "198.51.100.0/24")
		return monitor.Output() != ""
	})
	change(&want)
	b.wish(want)
	if diff := cmp.Diff(changes, b.settle()); diff != "" {
		t.Errorf("changes (-want +got)\n%s", diff)
	}
	lab.Run(t, "", "ip", "route", "replace", "blackhole", "198.51.100.1/32")
	lab.Eventually(t, 10*time.Second, "ip monitor has told all", func() bool {
		return strings.Contains(monitor.Output(), "198.51.100.1")
	})
	return monitor.Output()
}

// TestNetRepair breaks a running box by hand in every way it can be broken.
func TestNetRepair(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	plug(t)
	b := newBox(t)
	b.wish(lan())
	b.settle()
	healthy := snapshot(t)
	b.start()
	for _, tc := range []struct{ name, command string }{
		{"address removed", "ip addr del 192.0.2.2/24 dev eth0"},
		{"first address of a subnet removed", "ip addr del 192.168.1.1/24 dev br0"},
		{"IPv6 address removed", "ip addr del 2001:db8:1::1/64 dev br0"},
		{"all addresses flushed", "ip addr flush dev br0"},
		{"address added", "ip addr add 10.9.9.9/24 dev eth0"},
		{"IPv6 address added", "ip addr add 2001:db8:9::9/64 dev eth0"},
		{"route removed", "ip route del default"},
		{"route replaced", "ip route replace default via 192.0.2.77 metric 100"},
		{"route of ours added", "ip route add 10.9.0.0/16 via 192.0.2.1 proto 116"},
		{"route in another table flushed", "ip route flush table 100"},
		{"IPv6 route removed", "ip -6 route del 2001:db8:2::/48"},
		{"blackhole removed", "ip route del blackhole 10.0.0.0/8"},
		{"link set down", "ip link set eth0 down"},
		{"bridge set down", "ip link set br0 down"},
		{"lo set down", "ip link set lo down"},
		{"MTU changed", "ip link set eth0 mtu 1300"},
		{"port taken out of the bridge", "ip link set eth1 nomaster"},
		{"bridge deleted", "ip link del br0"},
		{"spanning tree switched off", "ip link set br0 type bridge stp_state 0"},
	} {
		b.breakAndWait(t, tc.name, tc.command, healthy)
	}
	if b.errors != nil {
		t.Errorf("errors on the way: %v", b.errors)
	}
	// On a busy machine the box looks while IPv6 is off, and rightly complains.
	b.breakAndWait(t, "IPv6 switched off and on", "sysctl -q -w net.ipv6.conf.br0.disable_ipv6=1 net.ipv6.conf.br0.disable_ipv6=0", healthy)
}

// breakAndWait runs a command that breaks the box's network, and waits until
// the box has made it healthy again.
func (b *box) breakAndWait(t *testing.T, what, command, healthy string) {
	t.Helper()
	lab.Run(t, "", strings.Fields(command)...)
	took := lab.Eventually(t, 5*repairTime, what+": repaired", func() bool { return snapshot(t) == healthy })
	t.Logf("%s: repaired within %v", what, took.Round(time.Millisecond))
	if took > repairTime {
		t.Errorf("%s: repaired after %v, want within %v\n%s", what, took, repairTime, strings.Join(b.takeLog(), "\n"))
	}
}

// snapshot is what of the box's network must not change, as iproute2 sees it.
func snapshot(t *testing.T) string {
	t.Helper()
	var s strings.Builder
	for _, name := range []string{"eth0", "eth1", "br0", "lo"} {
		list := lab.Run(t, "", "ip", "-j", "-d", "link")
		if !strings.Contains(list, `"`+name+`"`) {
			return "no " + name
		}
		l := ipJSON(t, "", "link", "show", "dev", name)[0]
		up := slices.Contains(l["flags"].([]any), any("UP"))
		addresses := addressesOf(t, name)
		slices.Sort(addresses)
		fmt.Fprintln(&s, name, l["mtu"], l["master"], l["ifalias"], up, addresses)
		if name == "br0" {
			fmt.Fprintln(&s, l["linkinfo"].(map[string]any)["info_data"].(map[string]any)["stp_state"])
		}
	}
	for _, family := range []string{"-4", "-6"} {
		fmt.Fprintln(&s, strings.Join(routes(t, family), "\n"))
	}
	return s.String()
}
