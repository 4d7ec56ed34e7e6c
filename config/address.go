package config

import (
	"net/netip"
	"strings"
)

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8") // RFC 1122, section 3.2.1.3
	broadcast   = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// addrError is netip's complaint without the call and the value in it, which
// the message already shows.
func addrError(err error) string {
	text := err.Error()
	if i := strings.Index(text, "): "); i >= 0 {
		text = text[i+len("): "):]
	}
	return text
}

// unicast refuses what can be no host's address, and what needs a zone: a zone
// names a kernel interface, which router.toml does not.
func (r *reader) unicast(at place, a netip.Addr) bool {
	switch {
	case a.Zone() != "":
		r.bad(at, "name the interface in a key of its own", "%s has a zone", a)
	case a.Is4In6():
		r.bad(at, "write "+a.Unmap().String(), "%s is an IPv4 address in IPv6 dress", a)
	case a.IsUnspecified():
		r.bad(at, "", "%s is the unspecified address", a)
	case a.IsMulticast():
		r.bad(at, "", "%s is a multicast address", a)
	case a == broadcast:
		r.bad(at, "", "%s is the broadcast address", a)
	case thisNetwork.Contains(a):
		r.bad(at, "", "%s is in 0.0.0.0/8, which no host may have", a)
	default:
		return true
	}
	return false
}

func (p *parser) parseAddresses(at place, i Interface, v any) []netip.Prefix {
	var list []netip.Prefix
	for _, it := range p.texts(at, v) {
		if prefix, ok := p.hostPrefix(it.at, it.text, i.Kind == Loopback); ok {
			list = append(list, prefix)
			p.addresses = append(p.addresses, address{prefix, i.Name, it.at})
		}
	}
	return list
}

// hostPrefix reads an address with its prefix length, e.g. "192.168.0.1/24".
func (r *reader) hostPrefix(at place, s string, loopback bool) (netip.Prefix, bool) {
	prefix, ok := r.prefix(at, s)
	if !ok || !r.unicast(at, prefix.Addr()) {
		return netip.Prefix{}, false
	}
	a := prefix.Addr()
	switch {
	case a == netip.IPv6Loopback() || a == netip.AddrFrom4([4]byte{127, 0, 0, 1}):
		r.bad(at, "leave it out", "the kernel gives %s to lo by itself", a)
	case a.IsLoopback() && !loopback:
		r.bad(at, "give it to [interface.lo]", "%s is a loopback address", a)
	case a.Is6() && a.IsLinkLocalUnicast():
		r.bad(at, "the kernel makes one for each interface; for a private network take one of fd00::/8",
			"%s is a link-local address", a)
	case prefix.Bits() == 0:
		r.bad(at, "", "%s: a prefix length of 0 would put the whole internet on this interface", prefix)
	default:
		return prefix, r.insideSubnet(at, prefix)
	}
	return netip.Prefix{}, false
}

// insideSubnet refuses the first and the last address of a subnet. Subnets of
// two and one addresses have no such (RFC 3021, RFC 6164), and IPv6 has no
// broadcast, but its first address is every router's (RFC 4291, section 2.6.1).
func (r *reader) insideSubnet(at place, prefix netip.Prefix) bool {
	a, first := prefix.Addr(), prefix.Masked().Addr()
	if prefix.Bits() >= a.BitLen()-1 {
		return true
	}
	example := netip.PrefixFrom(first.Next(), prefix.Bits()).String()
	switch {
	case a == first && a.Is4():
		r.bad(at, "give this box an address in it, e.g. "+example, "%s is the address of the network itself", prefix)
	case a == first:
		r.bad(at, "give this box an address in it, e.g. "+example, "%s is the subnet-router anycast address", prefix)
	case isBroadcast(a, prefix):
		r.bad(at, "give this box an address in it, e.g. "+example, "%s is the broadcast address of its network", prefix)
	default:
		return true
	}
	return false
}

// isBroadcast reports whether a is the last address of an IPv4 subnet that has
// a broadcast address.
func isBroadcast(a netip.Addr, subnet netip.Prefix) bool {
	return a.Is4() && subnet.Bits() < 31 && subnet.Contains(a) && !subnet.Contains(a.Next())
}

// prefix reads an address with a prefix length, of host or network.
func (r *reader) prefix(at place, s string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(s)
	if err == nil && prefix.Addr().Is4In6() {
		r.bad(at, "write it as IPv4", "%s is an IPv4 address in IPv6 dress", s)
		return netip.Prefix{}, false
	}
	if err == nil {
		return prefix, true
	}
	host, mask, hasMask := strings.Cut(s, "/")
	a, addrErr := netip.ParseAddr(host)
	switch {
	case addrErr != nil:
		r.bad(at, "", "%s is not an address: %s", show(s), addrError(addrErr))
	case !hasMask && a.Is4():
		r.bad(at, "the usual length for a small IPv4 network is 24: \""+s+"/24\"", "%s has no prefix length", show(s))
	case !hasMask:
		r.bad(at, "the usual length for an IPv6 network is 64: \""+s+"/64\"", "%s has no prefix length", show(s))
	case a.Zone() != "":
		r.bad(at, "", "%s has a zone", show(s))
	default:
		r.bad(at, "a length counts the bits of the network, e.g. /24 for 255.255.255.0",
			"%s: prefix length %s is not a number between 0 and %d", show(s), show(mask), a.BitLen())
	}
	return netip.Prefix{}, false
}

// overlap reports whether two addresses put the same hosts on two networks. An
// address alone on lo may be part of another interface's network: it is how a
// box is given an address that stays when a port goes down.
func overlap(a, b address) bool {
	return a.owner != b.owner && a.prefix.Overlaps(b.prefix) && !aloneOnLo(a) && !aloneOnLo(b)
}

func aloneOnLo(a address) bool { return a.owner == "lo" && a.prefix.IsSingleIP() }
