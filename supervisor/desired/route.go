package desired

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tench/config"
	"tench/supervisor/unit"
)

func compareRoutes(a, b Route) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), a.To.Compare(b.To), cmp.Compare(a.Metric, b.Metric),
		a.Via.Compare(b.Via), strings.Compare(a.Link, b.Link))
}

// addRoute adds a static route, or says why it cannot be had now.
func (c *computer) addRoute(r config.Route) {
	out := Route{To: r.To, Via: r.Via, Metric: r.Metric, Table: r.Table, Blackhole: r.Blackhole}
	if !r.Blackhole {
		name, cause := c.leavesBy(r)
		if cause != "" {
			c.d.Missing = once(c.d.Missing, Missing{Interface: RouteName(r), Cause: cause, Over: name})
			return
		}
		out.Link = c.links[name]
	}
	c.d.Routes = append(c.d.Routes, out)
}

// leavesBy returns the interface that a route leaves by; with a cause where it
// cannot, of which the interface is "" where none is to blame.
func (c *computer) leavesBy(r config.Route) (name, cause string) {
	if r.Interface == "" {
		return c.neighbourhood(r.Via)
	}
	i := c.byName[r.Interface]
	switch {
	case c.links[i.Name] == "":
		return i.Name, i.Name + " is missing"
	// A gateway of IPv6 may be link-local, or in a network that a router
	// advertised: the kernel knows.
	case !r.Via.Is4() || slices.ContainsFunc(c.subnets, func(s subnet) bool { return s.owner == i.Name && s.prefix.Contains(r.Via) }):
		return i.Name, ""
	case i.DHCP4.Enabled && !c.hasLease(i.Name):
		return i.Name, i.Name + " has no lease yet"
	}
	return "", fmt.Sprintf("the gateway %s is in no network of %s", r.Via, i.Name)
}

func (c *computer) hasLease(name string) bool {
	return slices.ContainsFunc(c.leases, func(l leased) bool { return l.Name == name })
}

// neighbourhood returns the interface whose network has the gateway in it: the
// smallest such network, as the kernel would choose. It is leavesBy for a route
// that names no interface.
func (c *computer) neighbourhood(via netip.Addr) (name, cause string) {
	bits := -1
	for _, s := range c.subnets {
		if s.prefix.Contains(via) && s.prefix.Bits() > bits {
			name, bits = s.owner, s.prefix.Bits()
		}
	}
	if name != "" {
		return name, ""
	}
	for _, i := range c.cfg.Interfaces {
		if slices.ContainsFunc(i.Addresses, func(a netip.Prefix) bool { return a.Contains(via) }) {
			return i.Name, i.Name + " is missing"
		}
	}
	for _, i := range c.cfg.Interfaces { // whose lease may bring it
		if via.Is4() && i.Up && i.DHCP4.Enabled && !c.hasLease(i.Name) {
			name = i.Name
			break
		}
	}
	return name, fmt.Sprintf("no network of this box has the gateway %s in it yet", via)
}

// addLeaseRoutes adds the routes of a lease: the default route, or in its place
// the classless ones (RFC 3442).
func (c *computer) addLeaseRoutes(l leased) {
	if !l.DHCP4.DefaultRoute {
		return
	}
	direct := []netip.Prefix{l.Address.Masked()}
	for _, r := range l.Routes {
		if _, owner := c.hijacked(l.Name, r.To); !hasGateway(r) && owner == "" {
			direct = append(direct, r.To)
		}
	}
	for _, r := range l.Routes {
		if !r.To.IsValid() || !r.To.Addr().Is4() || hasGateway(r) && !r.Via.Is4() {
			continue
		}
		if !hasGateway(r) {
			c.addLeaseRoute(l, r.To, netip.Addr{})
			continue
		}
		// Providers that hand out single addresses name a router outside of
		// them; it is on the link all the same.
		near := slices.ContainsFunc(direct, func(p netip.Prefix) bool { return p.Contains(r.Via) })
		if near || c.addLeaseRoute(l, netip.PrefixFrom(r.Via, r.Via.BitLen()), netip.Addr{}) {
			c.addLeaseRoute(l, r.To, r.Via)
		}
	}
}

func hasGateway(r unit.LeaseRoute) bool { return r.Via.IsValid() && !r.Via.IsUnspecified() }

// addLeaseRoute adds one route unless its place is taken: what router.toml says
// goes before, and servers repeat themselves. It reports whether the server may
// have the route at all.
func (c *computer) addLeaseRoute(l leased, to netip.Prefix, via netip.Addr) bool {
	r := Route{To: to.Masked(), Via: via, Link: c.links[l.Name], Metric: l.DHCP4.Metric, Table: config.MainTable}
	if static, owner := c.hijacked(l.Name, r.To); owner != "" {
		c.missing(l.Name, fmt.Sprintf("the route to %s in its lease leads into %s of %s", r.To, static, owner))
		return false
	}
	taken := slices.ContainsFunc(c.d.Routes, func(have Route) bool {
		return have.To == r.To && have.Table == r.Table && config.EffectiveMetric(have.To, have.Metric) == r.Metric
	})
	if !taken {
		c.d.Routes = append(c.d.Routes, r)
	}
	return true
}

// hijacked returns the static network of another interface that a route from a
// server would take traffic from: the kernel prefers the longer prefix. Single
// addresses are the box's own, which no route can take.
func (c *computer) hijacked(name string, to netip.Prefix) (netip.Prefix, string) {
	for _, i := range c.cfg.Interfaces {
		for _, a := range i.Addresses {
			if i.Name != name && !a.IsSingleIP() && a.Bits() <= to.Bits() && a.Contains(to.Addr()) {
				return a, i.Name
			}
		}
	}
	return netip.Prefix{}, ""
}
