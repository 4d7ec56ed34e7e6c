package netstate

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tench/supervisor/desired"
	"tench/supervisor/system"
)

// box is a kernel with three ports, as it is after start.
func box() *system.Fake {
	f := &system.Fake{Sysctl: map[string]string{}}
	f.Net.Links = []system.Link{
		{Name: "lo", Index: 1, MTU: 65536, Up: true, Carrier: true, Loopback: true},
		{Name: "eth0", Index: 2, MTU: 1500, MAC: "52:54:00:00:00:01"},
		{Name: "eth1", Index: 3, MTU: 1500, MAC: "52:54:00:00:00:02"},
		{Name: "eth2", Index: 4, MTU: 1500, MAC: "52:54:00:00:00:03"},
	}
	f.Net.Addresses = []system.Address{
		{Link: "lo", Prefix: netip.MustParsePrefix("127.0.0.1/8")},
		{Link: "lo", Prefix: netip.MustParsePrefix("::1/128")},
	}
	for _, link := range []string{"lo", "eth0", "eth1", "eth2"} {
		f.Sysctl["net/ipv4/conf/"+link+"/promote_secondaries"] = "0"
		f.Sysctl["net/ipv6/conf/"+link+"/accept_ra"] = "1"
		f.Sysctl["net/ipv6/conf/"+link+"/autoconf"] = "1"
	}
	return f
}

func address(link, prefix string) desired.Address {
	return desired.Address{Link: link, Prefix: netip.MustParsePrefix(prefix)}
}

func route(link, to, via string, metric int) desired.Route {
	r := desired.Route{To: netip.MustParsePrefix(to), Link: link, Metric: metric, Table: mainTable}
	if via != "" {
		r.Via = netip.MustParseAddr(via)
	}
	return r
}

// router is a box with all that can be configured.
func router() desired.Desired {
	return desired.Desired{
		Links: []desired.Link{
			{Name: "br0", Interface: "br0", Kind: "bridge", STP: true, Up: true},
			{Name: "eth0", Interface: "wan", Up: true, SLAAC: true},
			{Name: "eth1", Interface: "lan", Up: true, MTU: 9000},
			{Name: "eth2", Interface: "port2", Up: true, Master: "br0"},
			{Name: "guest", Interface: "guest", Kind: "vlan", Parent: "eth1", VLANID: 10, Up: true, MTU: 1500},
			{Name: "inner", Interface: "inner", Kind: "vlan", Parent: "guest", VLANID: 20, Up: true},
			{Name: "lo", Interface: "lo", Kind: "loopback", Up: true},
		},
		Addresses: []desired.Address{
			address("br0", "10.2.0.1/24"), address("eth0", "192.0.2.2/24"), address("eth1", "10.1.0.1/24"),
			address("eth1", "10.1.0.2/24"), address("eth1", "2001:db8:1::1/64"), address("guest", "10.1.10.1/24"),
			address("lo", "10.255.0.1/32"),
		},
		Routes: []desired.Route{
			route("eth0", "0.0.0.0/0", "192.0.2.1", 100),
			route("eth1", "2001:db8:2::/48", "2001:db8:1::2", 0),
			{To: netip.MustParsePrefix("10.0.0.0/8"), Table: mainTable, Blackhole: true},
		},
	}
}

// settle applies the plan for want to f, checks that a second plan is empty,
// and returns the first plan's lines and the calls it made.
func settle(t *testing.T, f *system.Fake, want desired.Desired) (plan, calls []string) {
	t.Helper()
	changes := Plan(observe(t, f), want)
	for _, c := range changes {
		plan = append(plan, c.String())
	}
	f.TakeCalls()
	for _, c := range changes {
		if err := Apply(f, c); err != nil {
			t.Error(err)
		}
	}
	calls = f.TakeCalls()
	for _, c := range Plan(observe(t, f), want) {
		t.Errorf("a second plan wants: %s", c)
	}
	return plan, calls
}

func observe(t *testing.T, f *system.Fake) State {
	t.Helper()
	s, err := Observe(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPlanFromNothing(t *testing.T) {
	got, _ := settle(t, box(), router())
	want := []string{
		"lan: set MTU 9000",
		"br0: make bridge",
		"guest: make VLAN 10 over lan",
		"inner: make VLAN 20 over guest",
		"br0: set promote_secondaries to 1",
		"br0: set accept_ra to 0",
		"br0: set autoconf to 0",
		"br0: switch spanning tree on",
		"wan: set promote_secondaries to 1",
		"wan: set accept_ra to 2",
		"lan: set promote_secondaries to 1",
		"lan: set accept_ra to 0",
		"lan: set autoconf to 0",
		"port2: set promote_secondaries to 1",
		"port2: set accept_ra to 0",
		"port2: set autoconf to 0",
		"port2: join bridge br0",
		"guest: set MTU 1500",
		"guest: set promote_secondaries to 1",
		"guest: set accept_ra to 0",
		"guest: set autoconf to 0",
		"inner: set promote_secondaries to 1",
		"inner: set accept_ra to 0",
		"inner: set autoconf to 0",
		"br0: set up",
		"wan: set up",
		"lan: set up",
		"port2: set up",
		"guest: set up",
		"inner: set up",
		"br0: add address 10.2.0.1/24",
		"wan: add address 192.0.2.2/24",
		"lan: add address 10.1.0.1/24",
		"lan: add address 10.1.0.2/24",
		"lan: add address 2001:db8:1::1/64",
		"guest: add address 10.1.10.1/24",
		"lo: add address 10.255.0.1/32",
		"routes: add route blackhole 10.0.0.0/8",
		"wan: add route default via 192.0.2.1 metric 100",
		"lan: add route 2001:db8:2::/48 via 2001:db8:1::2 metric 1024",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Plan (-want +got)\n%s", diff)
	}
}

// TestPlanChange changes either the kernel or the wish of a settled box; the
// plan must hold exactly what follows from it.
func TestPlanChange(t *testing.T) {
	for _, tc := range []struct {
		name   string
		kernel func(*system.Fake)
		wish   func(*desired.Desired)
		want   []string
	}{
		{name: "nothing"},
		{
			name: "address removed by hand",
			kernel: func(f *system.Fake) {
				f.DeleteAddress(system.Address{Link: "eth1", Prefix: netip.MustParsePrefix("10.1.0.1/24")})
			},
			want: []string{"lan: add address 10.1.0.1/24"},
		},
		{
			name: "addresses added by hand, some not ours to judge",
			kernel: func(f *system.Fake) {
				f.Net.Addresses = append(f.Net.Addresses,
					system.Address{Link: "eth1", Prefix: netip.MustParsePrefix("10.9.9.9/24")},
					system.Address{Link: "eth1", Prefix: netip.MustParsePrefix("fe80::1/64")},
					system.Address{Link: "eth1", Prefix: netip.MustParsePrefix("10.9.9.8/24"), Dynamic: true},
					system.Address{Link: "eth0", Prefix: netip.MustParsePrefix("2001:db8:f::1/64"), Dynamic: true, Autoconf: true},
					system.Address{Link: "unmanaged", Prefix: netip.MustParsePrefix("10.9.9.7/24")})
			},
			want: []string{"lan: remove address 10.9.9.9/24"},
		},
		{
			name: "point to point address by hand",
			kernel: func(f *system.Fake) {
				f.Net.Addresses = append(f.Net.Addresses, system.Address{
					Link: "eth1", Prefix: netip.MustParsePrefix("10.1.0.1/32"), Peer: netip.MustParseAddr("10.1.0.9")})
			},
			want: []string{"lan: remove address 10.1.0.1/32"},
		},
		{
			name:   "link set down by hand loses IPv6 addresses and routes",
			kernel: func(f *system.Fake) { f.SetUp("eth1", false) },
			want: []string{"lan: set up", "lan: add address 2001:db8:1::1/64",
				"lan: add route 2001:db8:2::/48 via 2001:db8:1::2 metric 1024"},
		},
		{
			name:   "lo set down by hand",
			kernel: func(f *system.Fake) { f.Net.Links[0].Up = false },
			wish:   func(d *desired.Desired) { d.Links = d.Links[:6]; d.Addresses = d.Addresses[:6] },
			want:   []string{"lo: set up", "lo: remove address 10.255.0.1/32"},
		},
		{
			name:   "VLAN removed by hand takes the one over it along",
			kernel: func(f *system.Fake) { f.DeleteLink("guest") },
			want: []string{
				"guest: make VLAN 10 over lan", "inner: make VLAN 20 over guest",
				"guest: set MTU 1500", "guest: set promote_secondaries to 1", "guest: set accept_ra to 0", "guest: set autoconf to 0",
				"inner: set promote_secondaries to 1", "inner: set accept_ra to 0", "inner: set autoconf to 0",
				"guest: set up", "inner: set up", "guest: add address 10.1.10.1/24",
			},
		},
		{
			name: "VLAN id changed: only that device, what is over it, and what is on them",
			wish: func(d *desired.Desired) { d.Links[4].VLANID = 11 },
			want: []string{
				"guest: remove vlan", "guest: make VLAN 11 over lan", "inner: make VLAN 20 over guest",
				"guest: set MTU 1500", "guest: set promote_secondaries to 1", "guest: set accept_ra to 0", "guest: set autoconf to 0",
				"inner: set promote_secondaries to 1", "inner: set accept_ra to 0", "inner: set autoconf to 0",
				"guest: set up", "inner: set up", "guest: add address 10.1.10.1/24",
			},
		},
		{
			name: "VLANs and bridge no longer wanted",
			wish: func(d *desired.Desired) {
				d.Links = []desired.Link{d.Links[1], d.Links[2], d.Links[3], d.Links[6]}
				d.Links[2].Master = ""
				d.Addresses = []desired.Address{d.Addresses[1], d.Addresses[2], d.Addresses[3], d.Addresses[4], d.Addresses[6]}
			},
			want: []string{"br0: remove bridge", "guest: remove vlan"},
		},
		{
			name: "bridge of somebody else stays",
			kernel: func(f *system.Fake) {
				f.Net.Links = append(f.Net.Links, system.Link{Name: "virbr0", Kind: "bridge", Index: 99, Up: true})
			},
		},
		{
			name: "member moved to another bridge by hand",
			kernel: func(f *system.Fake) {
				f.Net.Links = append(f.Net.Links, system.Link{Name: "virbr0", Kind: "bridge", Index: 99, Up: true})
				f.SetMaster("eth2", "virbr0")
			},
			want: []string{"port2: join bridge br0"},
		},
		{
			name: "members that nobody names: a port leaves, what somebody made stays",
			kernel: func(f *system.Fake) {
				f.Net.Links = append(f.Net.Links, system.Link{Name: "eth3", Index: 99, MTU: 1500, Up: true, Master: "br0"},
					system.Link{Name: "lan4", Index: 105, Kind: "dsa", MTU: 1500, Up: true, Master: "br0"},
					system.Link{Name: "tap0", Index: 100, Kind: "tun", MTU: 1500, Up: true, Master: "br0"},
					system.Link{Name: "eth4", Index: 101, MTU: 1500, Up: true, Master: "virbr0"},
					system.Link{Name: "virbr0", Index: 102, Kind: "bridge", MTU: 1500, Up: true},
					system.Link{Name: "eth5", Index: 103, MTU: 1500, Up: true, Master: "bond0"},
					system.Link{Name: "bond0", Index: 104, Kind: "bond", MTU: 1500, Up: true})
			},
			wish: func(d *desired.Desired) {
				d.Links = append(d.Links, desired.Link{Name: "bond0", Interface: "trunk", Up: true})
			},
			want: []string{"eth3: leave bridge br0", "lan4: leave bridge br0"},
		},
		{
			name: "port no longer named, and its bridge neither",
			wish: func(d *desired.Desired) {
				d.Links = append([]desired.Link{d.Links[1], d.Links[2]}, d.Links[4:]...)
				d.Addresses = d.Addresses[1:]
			},
			want: []string{"br0: remove bridge"},
		},
		{
			name: "MTU of parent and VLAN shrink: VLAN first",
			wish: func(d *desired.Desired) { d.Links[2].MTU, d.Links[4].MTU = 1400, 1400 },
			want: []string{"guest: set MTU 1400", "lan: set MTU 1400"},
		},
		{
			name: "MTU of parent and VLAN grow: parent first",
			wish: func(d *desired.Desired) { d.Links[2].MTU, d.Links[4].MTU = 9200, 9200 },
			want: []string{"lan: set MTU 9200", "guest: set MTU 9200"},
		},
		{
			name: "address exchanged: the new one first",
			wish: func(d *desired.Desired) { d.Addresses[1] = address("eth0", "192.0.2.3/24") },
			want: []string{"wan: add address 192.0.2.3/24", "wan: remove address 192.0.2.2/24"},
		},
		{
			name: "prefix length changed, IPv4",
			wish: func(d *desired.Desired) { d.Addresses[1] = address("eth0", "192.0.2.2/25") },
			want: []string{"wan: add address 192.0.2.2/25", "wan: remove address 192.0.2.2/24"},
		},
		{
			name: "prefix length changed, IPv6: the old one is in the way",
			wish: func(d *desired.Desired) { d.Addresses[4] = address("eth1", "2001:db8:1::1/65") },
			want: []string{"lan: remove address 2001:db8:1::1/64", "lan: add address 2001:db8:1::1/65"},
		},
		{
			name: "the port that lan was before, which nobody names now",
			kernel: func(f *system.Fake) {
				f.Net.Links = append(f.Net.Links, system.Link{Name: "eth3", Index: 99, MTU: 1500, Up: true},
					system.Link{Name: "veth0", Index: 100, Kind: "veth", MTU: 1500, Up: true})
				f.Net.Addresses = append(f.Net.Addresses,
					system.Address{Link: "eth3", Prefix: netip.MustParsePrefix("10.1.0.1/24")},
					system.Address{Link: "eth3", Prefix: netip.MustParsePrefix("2001:db8:1::7/64")},
					system.Address{Link: "eth3", Prefix: netip.MustParsePrefix("10.9.9.7/24")},
					system.Address{Link: "eth3", Prefix: netip.MustParsePrefix("fe80::1/64")},
					system.Address{Link: "eth3", Prefix: netip.MustParsePrefix("10.1.0.8/24"), Dynamic: true},
					system.Address{Link: "veth0", Prefix: netip.MustParsePrefix("10.1.0.1/24")})
			},
			want: []string{"eth3: remove address 10.1.0.1/24", "eth3: remove address 2001:db8:1::7/64"},
		},
		{
			name: "address moves to another link",
			wish: func(d *desired.Desired) { d.Addresses[5] = address("br0", "10.1.10.1/24") },
			want: []string{"guest: remove address 10.1.10.1/24", "br0: add address 10.1.10.1/24"},
		},
		{
			name: "link no longer up",
			wish: func(d *desired.Desired) { d.Links[2].Up = false },
			want: []string{"lan: set down"},
		},
		{
			name: "gateway changed: replaced in one step",
			wish: func(d *desired.Desired) { d.Routes[0] = route("eth0", "0.0.0.0/0", "192.0.2.254", 100) },
			want: []string{"wan: add route default via 192.0.2.254 metric 100"},
		},
		{
			name: "metric changed: the new one first",
			wish: func(d *desired.Desired) { d.Routes[0] = route("eth0", "0.0.0.0/0", "192.0.2.1", 50) },
			want: []string{"wan: add route default via 192.0.2.1 metric 50", "wan: remove route default via 192.0.2.1 metric 100"},
		},
		{
			name: "route in another table",
			wish: func(d *desired.Desired) { d.Routes[0].Table = 100 },
			want: []string{"wan: add route default via 192.0.2.1 metric 100 table 100", "wan: remove route default via 192.0.2.1 metric 100"},
		},
		{
			name: "second default route with the same metric comes behind the first",
			wish: func(d *desired.Desired) {
				d.Routes = append(d.Routes, route("eth1", "0.0.0.0/0", "10.1.0.254", 100))
			},
			want: []string{"lan: add route default via 10.1.0.254 metric 100"},
		},
		{
			name: "gateway behind a directly connected route",
			wish: func(d *desired.Desired) {
				d.Routes = append(d.Routes, route("eth0", "198.51.100.0/24", "203.0.113.1", 0), route("eth0", "203.0.113.1/32", "", 0))
			},
			want: []string{"wan: add route 203.0.113.1/32", "wan: add route 198.51.100.0/24 via 203.0.113.1"},
		},
		{
			name: "routes of others stay, ours by hand goes",
			kernel: func(f *system.Fake) {
				f.Net.Routes = append(f.Net.Routes,
					system.Route{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::1"), Link: "eth0", Metric: 1024, Table: mainTable, Protocol: system.ProtocolRA},
					system.Route{To: netip.MustParsePrefix("10.77.0.0/16"), Link: "eth1", Table: mainTable, Protocol: system.ProtocolTench})
			},
			want: []string{"lan: remove route 10.77.0.0/16"},
		},
		{
			name: "router advertisements no longer wanted",
			kernel: func(f *system.Fake) {
				f.Net.Routes = append(f.Net.Routes,
					system.Route{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::1"), Link: "eth0", Metric: 1024, Table: mainTable, Protocol: system.ProtocolRA})
				f.Net.Addresses = append(f.Net.Addresses,
					system.Address{Link: "eth0", Prefix: netip.MustParsePrefix("2001:db8:f::1/64"), Dynamic: true, Autoconf: true})
			},
			wish: func(d *desired.Desired) { d.Links[1].SLAAC = false },
			want: []string{"wan: set accept_ra to 0", "wan: set autoconf to 0",
				"wan: remove address 2001:db8:f::1/64", "wan: remove route default via fe80::1 metric 1024"},
		},
		{
			name: "bridge lost its mark",
			kernel: func(f *system.Fake) {
				for i := range f.Net.Links {
					f.Net.Links[i].Ours = f.Net.Links[i].Ours && f.Net.Links[i].Name != "br0"
				}
			},
			want: []string{"br0: take over bridge"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, want := box(), router()
			settle(t, f, want)
			if tc.kernel != nil {
				tc.kernel(f)
			}
			if tc.wish != nil {
				tc.wish(&want)
			}
			got, _ := settle(t, f, want)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Plan (-want +got)\n%s", diff)
			}
		})
	}
}

func TestPlanLeavesTheDeviceOfSomebodyElse(t *testing.T) {
	f, want := box(), router()
	f.Net.Links = append(f.Net.Links, system.Link{Name: "guest", Kind: "macvlan", Parent: "eth1", Index: 99, MTU: 1500, Up: true})
	f.Net.Addresses = append(f.Net.Addresses, system.Address{Link: "guest", Prefix: netip.MustParsePrefix("10.9.9.9/24")})
	for _, c := range Plan(observe(t, f), want) {
		if (c.On == "guest" || c.On == "inner") && c.String() != "guest: make VLAN 10 over lan" {
			t.Errorf("planned on a device of somebody else: %s", c)
		}
	}
}

func TestPlanIsPure(t *testing.T) {
	f := box()
	have, want := observe(t, f), router()
	Plan(have, want)
	netips := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	if diff := cmp.Diff(observe(t, f), have, netips); diff != "" {
		t.Errorf("Plan changed the state (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(router(), want, netips); diff != "" {
		t.Errorf("Plan changed the wish (-want +got)\n%s", diff)
	}
}

func TestPlanWithoutIPv6InTheKernel(t *testing.T) {
	f := box()
	for key := range f.Sysctl {
		if strings.Contains(key, "ipv6") {
			delete(f.Sysctl, key)
		}
	}
	want := router()
	_, calls := settle(t, f, want)
	for _, c := range calls {
		if strings.HasPrefix(c, "sysctl net/ipv6") {
			t.Errorf("there is no such setting: %s", c)
		}
	}
}
