package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// Metrics that the kernel gives: to IPv6 routes without one (IP6_RT_PRIO_USER),
// and to the network of an IPv6 address (IP6_RT_PRIO_ADDRCONF). For IPv4 both
// are 0.
const (
	userMetric6      = 1024
	connectedMetric6 = 256
)

// EffectiveMetric is the metric that the kernel gives a route to a network of
// to's family when metric is asked for; 0 asks for the kernel's default.
func EffectiveMetric(to netip.Prefix, metric int) int {
	if metric == 0 && to.Addr().Is6() {
		return userMetric6
	}
	return metric
}

// checkRoute compares a route with the interfaces.
func (p *parser) checkRoute(at place, r Route) {
	if r.Interface != "" && !p.checkRouteInterface(at.key("interface"), r.Interface) {
		return
	}
	if r.To.IsValid() {
		p.checkRouteConnected(at, r)
	}
	if !r.Via.IsValid() || r.Blackhole {
		return
	}
	if r.To.IsValid() && r.To.Addr().Is4() != r.Via.Is4() {
		p.bad(at.key("via"), "", "%s and %s are not of one family", r.To, r.Via)
		return
	}
	p.checkGateway(at.key("via"), r)
}

func (p *parser) checkRouteInterface(at place, name string) bool {
	i, known := p.byName[name]
	switch {
	case !known:
		p.bad(at, didYouMean(name, p.names()), "there is no interface %q", name)
	case i.Kind == Loopback:
		p.bad(at, "to drop packets, say blackhole = true", "lo leads nowhere")
	case p.bridgeOf(name) != "":
		p.bad(at, fmt.Sprintf("use interface = %q", p.bridgeOf(name)), "%s is a member of the bridge %s", name, p.bridgeOf(name))
	case !i.Up:
		p.bad(at, "leave the route out as long as it is down", "%s has up = false", p.where(name))
	default:
		return true
	}
	return false
}

// bridgeOf returns the bridge that name is a member of, or "".
func (p *parser) bridgeOf(name string) string {
	for _, i := range p.cfg.Interfaces {
		if slices.Contains(i.Members, name) {
			return i.Name
		}
	}
	return ""
}

// checkRouteConnected refuses a route that the kernel makes by itself from an
// address.
func (p *parser) checkRouteConnected(at place, r Route) {
	connected := 0
	if r.To.Addr().Is6() {
		connected = connectedMetric6
	}
	for _, a := range p.addresses {
		if a.prefix.Masked() == r.To && r.Table == MainTable && EffectiveMetric(r.To, r.Metric) == connected && !a.prefix.IsSingleIP() {
			p.bad(at.key("to"), "leave the route out", "%s is the network of interface %s (line %d), which has a route by itself", r.To, a.owner, p.line(a.at))
			return
		}
	}
}

// checkGateway refuses a gateway that this box could never reach in one hop,
// as the kernel would.
func (p *parser) checkGateway(at place, r Route) {
	if r.Via.Is6() && r.Via.IsLinkLocalUnicast() {
		if r.Interface == "" {
			p.bad(at, "add interface = \"a name\" to the route", "%s is a link-local address, which does not say on which link", r.Via)
		}
		return
	}
	reachable := false
	for _, a := range p.addresses {
		switch {
		case a.prefix.Addr() == r.Via:
			p.bad(at, "name the next router", "%s is this box's own address (line %d)", r.Via, p.line(a.at))
			return
		case !a.prefix.Contains(r.Via) || !p.carriesRoute(a.owner, r.Interface):
			continue
		case isBroadcast(r.Via, a.prefix), r.Via == a.prefix.Masked().Addr() && r.Via.Is4() && a.prefix.Bits() < 31:
			p.bad(at, "name the next router", "%s is the network or broadcast address of %s", r.Via, a.prefix.Masked())
			return
		}
		reachable = true
	}
	if reachable || p.learnsNetworks(r) {
		return
	}
	if r.Interface != "" {
		p.bad(at, "a gateway is a neighbour: give the interface an address in its network", "%s is on none of the networks of interface %s", r.Via, r.Interface)
		return
	}
	p.bad(at, "a gateway is a neighbour: give an interface an address in its network, or name the interface",
		"%s is on none of this box's networks", r.Via)
}

// carriesRoute reports whether a route bound to the interface wanted ("" for
// any) may leave through name.
func (p *parser) carriesRoute(name, wanted string) bool {
	i := p.byName[name]
	return (wanted == "" || wanted == name) && i.Up && i.Kind != Loopback
}

// learnsNetworks reports whether the gateway may turn out to be a neighbour
// once a server or router has answered. An IPv6 one needs the interface named:
// what a router advertised is not known here when the route is made.
func (p *parser) learnsNetworks(r Route) bool {
	return slices.ContainsFunc(p.cfg.Interfaces, func(i Interface) bool {
		learns := i.DHCP4.Enabled && r.Via.Is4() || i.SLAAC && r.Via.Is6() && r.Interface != ""
		return learns && p.carriesRoute(i.Name, r.Interface)
	})
}

// checkDuplicateRoutes refuses routes that are the same one to the kernel.
func (p *parser) checkDuplicateRoutes() {
	type key struct {
		to            netip.Prefix
		metric, table int
	}
	seen := map[key]string{}
	for _, i := range p.cfg.Interfaces {
		if i.DHCP4.Enabled && i.DHCP4.DefaultRoute {
			seen[key{defaultRoute4, i.DHCP4.Metric, MainTable}] = "the one from DHCP on " + p.where(i.Name)
		}
	}
	for n, r := range p.cfg.Routes {
		k := key{r.To, EffectiveMetric(r.To, r.Metric), r.Table}
		if first := seen[k]; first != "" && r.To.IsValid() {
			p.bad(top("route").item(n), "give the one to prefer the smaller metric", "leads to %s with the same metric and table as %s", r.To, first)
			continue
		}
		seen[k] = fmt.Sprintf("the route in line %d", r.Line)
	}
}
