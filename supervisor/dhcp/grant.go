package dhcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/supervisor/unit"
)

// shortestLease is the least lease time that is taken. Below it a client would
// mostly renew; such a value is a server's mistake.
const shortestLease = 10 * time.Second

// grant is what a server offers or acknowledges.
type grant struct {
	Address  netip.Prefix      `json:"address"`
	Server   netip.Addr        `json:"server"`
	Routes   []unit.LeaseRoute `json:"routes"`
	DNS      []netip.Addr      `json:"dns,omitempty"`
	NTP      []netip.Addr      `json:"ntp,omitempty"`
	Domain   string            `json:"domain,omitempty"`
	MTU      int               `json:"mtu,omitempty"` // 0 when not given
	Duration time.Duration     `json:"duration"`      // lease time
	T1       time.Duration     `json:"t1"`            // renew after this
	T2       time.Duration     `json:"t2"`            // rebind after this
}

// same tells whether nothing differs that anybody else would notice.
func (g grant) same(o grant) bool {
	return g.Address == o.Address && g.Server == o.Server && slices.Equal(g.Routes, o.Routes) &&
		slices.Equal(g.DNS, o.DNS) && slices.Equal(g.NTP, o.NTP) && g.Domain == o.Domain && g.MTU == o.MTU &&
		g.Duration == o.Duration && g.T1 == o.T1 && g.T2 == o.T2
}

// check tells what makes a grant unusable. It guards the lease file as well as
// the wire.
func (g grant) check() error {
	switch {
	case !usable(g.Address.Addr()) || g.Address.Bits() < 1:
		return fmt.Errorf("%v is no address for a host", g.Address)
	case !usable(g.Server):
		return fmt.Errorf("the server identifier %v is no host's address", g.Server)
	case g.Duration < shortestLease:
		return fmt.Errorf("a lease of %v is shorter than %v", g.Duration, shortestLease)
	case g.T1 <= 0 || g.T1 >= g.T2 || g.T2 >= g.Duration:
		return fmt.Errorf("the times T1 %v, T2 %v and lease %v are not in order", g.T1, g.T2, g.Duration)
	}
	return nil
}

// usable tells whether addr can belong to a host.
func usable(addr netip.Addr) bool {
	return addr.Is4() && !addr.IsUnspecified() && !addr.IsLoopback() && !addr.IsMulticast() && addr.As4()[0] < 240
}

// parseGrant reads an OFFER or an ACK. Options that are wrong and not essential
// are left out: half a lease beats none.
func parseGrant(p *dhcpv4.DHCPv4) (grant, error) {
	var g grant
	addr, _ := netip.AddrFromSlice(p.YourIPAddr.To4())
	bits, err := prefixLength(addr, p.Options.Get(dhcpv4.OptionSubnetMask))
	if err != nil {
		return g, err
	}
	g.Address = netip.PrefixFrom(addr, bits)
	if servers := addresses(p.Options.Get(dhcpv4.OptionServerIdentifier)); len(servers) == 1 {
		g.Server = servers[0]
	}
	lease, ok := seconds(p.Options.Get(dhcpv4.OptionIPAddressLeaseTime))
	if !ok {
		return g, errors.New("it has no lease time")
	}
	g.Duration = lease
	g.T1, g.T2 = renewalTimes(p, lease)
	g.Routes = routes(p, g.Address)
	g.DNS = addresses(p.Options.Get(dhcpv4.OptionDomainNameServer))
	g.NTP = addresses(p.Options.Get(dhcpv4.OptionNTPServers))
	g.Domain = domain(p.Options.Get(dhcpv4.OptionDomainName))
	// RFC 2132, 5.1: the least legal value is 68; below 576 IPv4 hardly works.
	if v := p.Options.Get(dhcpv4.OptionInterfaceMTU); len(v) == 2 && binary.BigEndian.Uint16(v) >= 576 {
		g.MTU = int(binary.BigEndian.Uint16(v))
	}
	return g, g.check()
}

// prefixLength reads the subnet mask. Without one the address has its class's
// (RFC 950, 2.1).
func prefixLength(addr netip.Addr, mask []byte) (int, error) {
	if !usable(addr) {
		return 0, fmt.Errorf("%v is no address for a host", addr)
	}
	if len(mask) == 0 {
		mask = net.IP(addr.AsSlice()).DefaultMask()
	}
	bits, size := net.IPMask(mask).Size()
	if size != 32 || bits == 0 {
		return 0, fmt.Errorf("%x is no subnet mask", mask)
	}
	return bits, nil
}

// seconds reads a time option; the largest value, "for ever", is 136 years.
func seconds(v []byte) (time.Duration, bool) {
	if len(v) != 4 {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint32(v)) * time.Second, true
}

// renewalTimes gives T1 and T2: the server's where they make sense, else half
// and seven eighths of the lease (RFC 2131, 4.4.5).
func renewalTimes(p *dhcpv4.DHCPv4, lease time.Duration) (t1, t2 time.Duration) {
	t1, ok1 := seconds(p.Options.Get(dhcpv4.OptionRenewTimeValue))
	t2, ok2 := seconds(p.Options.Get(dhcpv4.OptionRebindingTimeValue))
	if !ok2 || t2 <= 0 || t2 >= lease {
		t2 = lease / 8 * 7
	}
	if !ok1 || t1 <= 0 || t1 >= t2 {
		t1 = min(lease/2, t2/7*4)
	}
	return t1, t2
}

// addresses reads a list of addresses and leaves out what cannot be a host's.
func addresses(v []byte) []netip.Addr {
	var list []netip.Addr
	for chunk := range slices.Chunk(v, 4) {
		addr, _ := netip.AddrFromSlice(chunk)
		if usable(addr) && !slices.Contains(list, addr) {
			list = append(list, addr)
		}
	}
	return list
}

// routes gives the classless routes, which replace the router option where both
// are there (RFC 3442).
func routes(p *dhcpv4.DHCPv4, own netip.Prefix) []unit.LeaseRoute {
	if v := p.Options.Get(dhcpv4.OptionClasslessStaticRoute); len(v) > 0 {
		var all dhcpv4.Routes
		if all.FromBytes(v) == nil {
			return reachable(classless(all), own)
		}
	}
	routers := addresses(p.Options.Get(dhcpv4.OptionRouter))
	if len(routers) == 0 {
		return nil
	}
	// "in order of preference" (RFC 2132, 3.5)
	return reachable([]unit.LeaseRoute{{To: anywhere, Via: routers[0]}}, own)
}

var anywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

func classless(all dhcpv4.Routes) []unit.LeaseRoute {
	var list []unit.LeaseRoute
	for _, r := range all {
		to, _ := netip.AddrFromSlice(r.Dest.IP.To4())
		via, _ := netip.AddrFromSlice(r.Router.To4())
		bits, _ := r.Dest.Mask.Size()
		route := unit.LeaseRoute{To: netip.PrefixFrom(to, bits).Masked()}
		// Router 0.0.0.0 means that the destination is on the link itself.
		if !via.IsUnspecified() {
			route.Via = via
		}
		known := slices.ContainsFunc(list, func(o unit.LeaseRoute) bool { return o.To == route.To })
		if !known && !to.IsMulticast() && (usable(via) || via.IsUnspecified()) {
			list = append(list, route)
		}
	}
	return list
}

// reachable adds a route to each router that is neither in the lease's own
// subnet nor behind a route to the link: some providers lease a /32.
func reachable(list []unit.LeaseRoute, own netip.Prefix) []unit.LeaseRoute {
	direct := []netip.Prefix{own.Masked()}
	for _, r := range list {
		if !r.Via.IsValid() {
			direct = append(direct, r.To)
		}
	}
	var extra []unit.LeaseRoute
	for _, r := range list {
		covers := func(p netip.Prefix) bool { return p.Contains(r.Via) }
		if r.Via.IsValid() && !slices.ContainsFunc(direct, covers) {
			host := netip.PrefixFrom(r.Via, 32)
			direct = append(direct, host)
			extra = append(extra, unit.LeaseRoute{To: host})
		}
	}
	return append(extra, list...)
}

// domain reads a domain name, of which some servers send several. They end up in
// resolv.conf, so that only plain names pass.
func domain(v []byte) string {
	name := strings.TrimSuffix(strings.TrimRight(string(v), "\x00"), ".")
	bad := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.' || r == ' ')
	}
	if len(name) > 253 || strings.ContainsFunc(name, bad) {
		return ""
	}
	return name
}
