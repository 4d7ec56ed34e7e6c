package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// MainTable is the routing table that the kernel looks into unless told
// otherwise (RT_TABLE_MAIN, rtnetlink(7)).
const MainTable = 254

// localTable holds the box's own addresses; the kernel alone writes it.
const localTable = 255

var (
	defaultRoute4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	defaultRoute6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

func (p *parser) parseRoute(at place, in rawRoute) Route {
	r := Route{
		Line:      p.line(at),
		Via:       p.gateway(at.key("via"), in.Via),
		Interface: p.text(at.key("interface"), in.Interface),
		Metric:    p.number(at.key("metric"), in.Metric, span{0, most, 0}),
		Table:     p.number(at.key("table"), in.Table, span{1, most, MainTable}),
		Blackhole: p.flag(at.key("blackhole"), in.Blackhole, false),
	}
	if r.Table == localTable {
		p.bad(at.key("table"), "", "table 255 is the kernel's own, for the addresses of this box")
	}
	if in.To == nil {
		p.bad(at, "say where it leads, e.g. to = \"10.0.0.0/8\" or to = \"default\"", "has no to")
		return r
	}
	r.To = p.destination(at.key("to"), p.text(at.key("to"), in.To), r.Via)
	switch {
	case r.Blackhole && in.Via != nil:
		p.bad(at.key("via"), "leave one of them out", "a blackhole has no gateway")
	case r.Blackhole && in.Interface != nil:
		p.bad(at.key("interface"), "leave one of them out", "a blackhole has no interface")
	case !r.Blackhole && in.Via == nil && in.Interface == nil:
		p.bad(at, "give via = \"a gateway\", interface = \"a name\" or blackhole = true", "leads nowhere")
	}
	return r
}

// gateway reads the address of a next hop.
func (r *reader) gateway(at place, v any) netip.Addr {
	s := r.text(at, v)
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		hint := ""
		if strings.Contains(s, "/") {
			hint = "a gateway is one address, without a prefix length"
		}
		r.bad(at, hint, "%s is not an address: %s", show(s), addrError(err))
		return netip.Addr{}
	}
	if !r.unicast(at, a) {
		return netip.Addr{}
	}
	if a.IsLoopback() {
		r.bad(at, "", "%s is a loopback address", a)
		return netip.Addr{}
	}
	return a
}

// destination reads the network that a route leads to; via decides what
// "default" means.
func (r *reader) destination(at place, s string, via netip.Addr) netip.Prefix {
	switch {
	case s == "":
		return netip.Prefix{}
	case s == "default" && via.Is4():
		return defaultRoute4
	case s == "default" && via.Is6():
		return defaultRoute6
	case s == "default":
		r.bad(at, "write \"0.0.0.0/0\" or \"::/0\"", "without a gateway it is open whether \"default\" means IPv4 or IPv6")
		return netip.Prefix{}
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		r.bad(at, fmt.Sprintf("for one host write \"%s/%d\"", s, a.BitLen()), "%s has no prefix length", show(s))
		return netip.Prefix{}
	}
	to, ok := r.prefix(at, s)
	switch {
	case !ok:
		return netip.Prefix{}
	case to != to.Masked():
		r.bad(at, fmt.Sprintf("did you mean \"%s\"?", to.Masked()), "%s has bits set behind its prefix length", to)
	case to.Bits() > 0 && unroutable(to.Addr()):
		r.bad(at, "", "%s is not forwarded by routers", to)
	default:
		return to
	}
	return netip.Prefix{}
}

// unroutable reports whether packets to a never leave a link or a host.
func unroutable(a netip.Addr) bool {
	return a.IsLoopback() || a.IsMulticast() || a.Is6() && a.IsLinkLocalUnicast()
}
