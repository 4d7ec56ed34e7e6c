package dhcp

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/supervisor/unit"
)

var netips = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// ackWith builds an ACK for 192.0.2.15/24 with further options; nil removes one.
func ackWith(options map[dhcpv4.OptionCode][]byte) *dhcpv4.DHCPv4 {
	p := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: 1, ClientHWAddr: testMAC, YourIPAddr: net.IP{192, 0, 2, 15},
		Options: dhcpv4.Options{},
	}
	set := map[dhcpv4.OptionCode][]byte{
		dhcpv4.OptionDHCPMessageType:    {byte(ack)},
		dhcpv4.OptionSubnetMask:         {255, 255, 255, 0},
		dhcpv4.OptionServerIdentifier:   {192, 0, 2, 2},
		dhcpv4.OptionIPAddressLeaseTime: {0, 0, 14, 16},
	}
	for code, value := range options {
		set[code] = value
	}
	for code, value := range set {
		if value != nil {
			p.Options.Update(dhcpv4.OptGeneric(code, value))
		}
	}
	return p
}

func TestParseGrant(t *testing.T) {
	type options = map[dhcpv4.OptionCode][]byte
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	base := grant{
		Address: prefix("192.0.2.15/24"), Server: addr("192.0.2.2"),
		Duration: time.Hour, T1: 30 * time.Minute, T2: 3150 * time.Second,
	}
	for _, tc := range []struct {
		name    string
		options options
		change  func(*grant) // of base
		err     string
	}{
		{name: "only what must be"},
		{name: "several domains", options: options{dhcpv4.OptionDomainName: []byte("home.arpa lan.home.arpa")},
			change: func(g *grant) { g.Domain = "home.arpa lan.home.arpa" }},
		{
			name: "all that is asked for",
			options: options{
				dhcpv4.OptionRouter:             {192, 0, 2, 1, 192, 0, 2, 3},
				dhcpv4.OptionDomainNameServer:   {192, 0, 2, 53, 0, 0, 0, 0, 198, 51, 100, 53},
				dhcpv4.OptionNTPServers:         {192, 0, 2, 123},
				dhcpv4.OptionDomainName:         []byte("example.net.\x00"),
				dhcpv4.OptionInterfaceMTU:       {5, 212},
				dhcpv4.OptionRenewTimeValue:     {0, 0, 0, 60},
				dhcpv4.OptionRebindingTimeValue: {0, 0, 0, 120},
			},
			change: func(g *grant) {
				g.Routes = []unit.LeaseRoute{{To: anywhere, Via: addr("192.0.2.1")}}
				g.DNS = []netip.Addr{addr("192.0.2.53"), addr("198.51.100.53")}
				g.NTP = []netip.Addr{addr("192.0.2.123")}
				g.Domain, g.MTU, g.T1, g.T2 = "example.net", 1492, time.Minute, 2*time.Minute
			},
		},
		{
			name: "classless routes replace the router",
			options: options{
				dhcpv4.OptionRouter: {192, 0, 2, 1},
				dhcpv4.OptionClasslessStaticRoute: {
					0, 192, 0, 2, 254, // default
					8, 10, 192, 0, 2, 253,
					16, 10, 17, 0, 0, 0, 0, // on the link
					25, 10, 229, 0, 128, 10, 17, 0, 1, // behind it
				},
			},
			change: func(g *grant) {
				g.Routes = []unit.LeaseRoute{
					{To: anywhere, Via: addr("192.0.2.254")}, {To: prefix("10.0.0.0/8"), Via: addr("192.0.2.253")},
					{To: prefix("10.17.0.0/16")}, {To: prefix("10.229.0.128/25"), Via: addr("10.17.0.1")},
				}
			},
		},
		{
			name:    "classless routes cut short: the router counts",
			options: options{dhcpv4.OptionRouter: {192, 0, 2, 1}, dhcpv4.OptionClasslessStaticRoute: {24, 10, 0}},
			change:  func(g *grant) { g.Routes = []unit.LeaseRoute{{To: anywhere, Via: addr("192.0.2.1")}} },
		},
		{
			name:    "classless route with 33 bits: the router counts",
			options: options{dhcpv4.OptionRouter: {192, 0, 2, 1}, dhcpv4.OptionClasslessStaticRoute: {33, 10, 0, 0, 0, 0, 1, 1, 1, 1}},
			change:  func(g *grant) { g.Routes = []unit.LeaseRoute{{To: anywhere, Via: addr("192.0.2.1")}} },
		},
		{
			name:    "host bits in a classless route",
			options: options{dhcpv4.OptionClasslessStaticRoute: {20, 10, 1, 255, 192, 0, 2, 1}},
			change:  func(g *grant) { g.Routes = []unit.LeaseRoute{{To: prefix("10.1.240.0/20"), Via: addr("192.0.2.1")}} },
		},
		{
			name:    "a /32 with its router outside",
			options: options{dhcpv4.OptionSubnetMask: {255, 255, 255, 255}, dhcpv4.OptionRouter: {172, 31, 1, 1}},
			change: func(g *grant) {
				g.Address = prefix("192.0.2.15/32")
				g.Routes = []unit.LeaseRoute{{To: prefix("172.31.1.1/32")}, {To: anywhere, Via: addr("172.31.1.1")}}
			},
		},
		{
			name:    "no mask: the class's",
			options: options{dhcpv4.OptionSubnetMask: nil},
			change:  func(g *grant) { g.Address = prefix("192.0.2.15/24") },
		},
		{
			name:    "for ever",
			options: options{dhcpv4.OptionIPAddressLeaseTime: {255, 255, 255, 255}},
			change: func(g *grant) {
				g.Duration = (1<<32 - 1) * time.Second
				g.T1, g.T2 = g.Duration/2, g.Duration/8*7
			},
		},
		{
			name:    "T1 after T2: the defaults",
			options: options{dhcpv4.OptionRenewTimeValue: {0, 0, 12, 0}, dhcpv4.OptionRebindingTimeValue: {0, 0, 8, 0}},
			change:  func(g *grant) { g.T2 = 2048 * time.Second; g.T1 = g.T2 / 7 * 4 },
		},
		{name: "domain that would be two lines of resolv.conf", options: options{dhcpv4.OptionDomainName: []byte("a\nnameserver 6.6.6.6")}},
		{name: "MTU too small to be meant", options: options{dhcpv4.OptionInterfaceMTU: {0, 68}}},
		{name: "addresses cut short", options: options{dhcpv4.OptionDomainNameServer: {1, 2, 3}, dhcpv4.OptionRouter: {1}}},
		{name: "no server", options: options{dhcpv4.OptionServerIdentifier: nil}, err: "the server identifier invalid IP is no host's address"},
		{name: "no lease time", options: options{dhcpv4.OptionIPAddressLeaseTime: nil}, err: "it has no lease time"},
		{name: "lease time of zero", options: options{dhcpv4.OptionIPAddressLeaseTime: {0, 0, 0, 0}}, err: "a lease of 0s is shorter than 10s"},
		{name: "mask with a hole", options: options{dhcpv4.OptionSubnetMask: {255, 0, 255, 0}}, err: "ff00ff00 is no subnet mask"},
		{name: "mask of 0", options: options{dhcpv4.OptionSubnetMask: {0, 0, 0, 0}}, err: "00000000 is no subnet mask"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseGrant(ackWith(tc.options))
			if err != nil || tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Fatalf("parseGrant: %v, want %s", err, tc.err)
				}
				return
			}
			want := base
			if tc.change != nil {
				tc.change(&want)
			}
			if diff := cmp.Diff(want, got, netips); diff != "" {
				t.Errorf("parseGrant (-want +got)\n%s", diff)
			}
		})
	}
}

// FuzzParseGrant feeds whole messages: whatever a server sends, there is no
// panic, and what is accepted can be applied.
func FuzzParseGrant(f *testing.F) {
	f.Add(ackWith(nil).ToBytes())
	f.Add(ackWith(map[dhcpv4.OptionCode][]byte{
		dhcpv4.OptionClasslessStaticRoute: {24, 10, 1, 2, 192, 0, 2, 1, 0, 10, 1, 2, 3, 32, 1, 2, 3, 4, 0, 0, 0, 0},
		dhcpv4.OptionDomainName:           []byte("example.net"),
		dhcpv4.OptionRenewTimeValue:       {0, 0, 0, 60},
		dhcpv4.OptionInterfaceMTU:         {5, 212},
	}).ToBytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := dhcpv4.FromBytes(data)
		if err != nil {
			return
		}
		g, err := parseGrant(p)
		if err != nil {
			return
		}
		if err := g.check(); err != nil {
			t.Errorf("accepted, but %v", err)
		}
		for _, r := range g.Routes {
			if !r.To.IsValid() || r.To != r.To.Masked() || r.Via.IsValid() && !usable(r.Via) {
				t.Errorf("accepted a route to %v via %v", r.To, r.Via)
			}
		}
		for _, a := range append(g.DNS, g.NTP...) {
			if !usable(a) {
				t.Errorf("accepted the server %v", a)
			}
		}
	})
}
