package desired

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"tench/config"
	"tench/supervisor/unit"
)

// Compute gives what the box should look like: what cfg asks for, as far as
// facts allow. ports gives the device of each label on the case, by bus path or by name, and
// cfg must come from config.Parse.
//
// A lease in facts counts as long as it is there: its DHCP client, whose timers
// no step of the clock disturbs, takes it back when it expires.
func Compute(cfg config.Config, ports map[string]config.Selector, facts unit.Facts) Desired {
	c := &computer{
		cfg: cfg, ports: ports, facts: facts,
		links: map[string]string{}, causes: map[string]string{}, byName: map[string]config.Interface{},
	}
	c.d.Hostname = cfg.Hostname
	for _, i := range cfg.Interfaces {
		c.byName[i.Name] = i
	}
	c.resolve()
	c.findLeases()
	for _, i := range cfg.Interfaces {
		c.addInterface(i)
	}
	for _, r := range cfg.Routes {
		c.addRoute(r)
	}
	for _, l := range c.leases {
		c.addLeaseRoutes(l)
	}
	c.addSysctls()
	c.addServices()
	return c.sorted()
}

// computer holds the work of one Compute.
type computer struct {
	cfg     config.Config
	ports   map[string]config.Selector
	facts   unit.Facts
	byName  map[string]config.Interface
	links   map[string]string // interface -> kernel name, for those that can be had
	causes  map[string]string // interface -> why it cannot be had, for the others
	leases  []leased          // those in force, the preferred one first
	subnets []subnet          // networks that routers are neighbours in
	d       Desired
}

// leased is an interface with its lease.
type leased struct {
	config.Interface
	unit.Lease
}

// subnet is a network that the box has an address in.
type subnet struct {
	prefix netip.Prefix
	owner  string // interface
}

func (c *computer) missing(name, cause string) {
	c.d.Missing = once(c.d.Missing, Missing{Interface: name, Cause: cause})
}

// findLeases collects the leases that count: of an interface that still asks
// for one, on the device that it still is.
func (c *computer) findLeases() {
	for _, i := range c.cfg.Interfaces {
		lease, granted := c.facts.Leases[i.Name]
		link, has := c.links[i.Name]
		if !granted || !has || !i.Up || !i.DHCP4.Enabled || lease.Link != link || !lease.Address.IsValid() {
			continue
		}
		if other, owner := c.overlapping(i.Name, lease.Address); owner != "" {
			c.missing(i.Name, "its lease "+lease.Address.String()+" overlaps "+other.String()+" of "+owner)
			continue
		}
		c.leases = append(c.leases, leased{i, lease})
	}
	slices.SortStableFunc(c.leases, func(a, b leased) int { return cmp.Compare(a.DHCP4.Metric, b.DHCP4.Metric) })
}

// overlapping returns a static network of an interface other than name that
// prefix overlaps. What router.toml says goes before what a server says: a
// server must not draw the traffic of another network to itself.
func (c *computer) overlapping(name string, prefix netip.Prefix) (netip.Prefix, string) {
	for _, i := range c.cfg.Interfaces {
		for _, a := range i.Addresses {
			aloneOnLo := i.Kind == config.Loopback && a.IsSingleIP()
			if i.Name != name && a.Overlaps(prefix) && (!aloneOnLo || a.Addr() == prefix.Addr()) {
				return a, i.Name
			}
		}
	}
	return netip.Prefix{}, ""
}

// addInterface adds what an interface has but routes.
func (c *computer) addInterface(i config.Interface) {
	link, has := c.links[i.Name]
	if !has {
		c.missing(i.Name, c.causes[i.Name])
		return
	}
	l := Link{Name: link, Interface: i.Name, MTU: c.mtu(i), Up: i.Up, SLAAC: i.SLAAC, Master: c.master(i.Name)}
	switch i.Kind {
	case config.VLAN:
		l.Kind, l.Parent, l.VLANID = "vlan", c.links[i.Over], i.VLANID
	case config.Bridge:
		l.Kind, l.STP = "bridge", i.STP
	case config.Loopback:
		l.Kind = "loopback"
	}
	c.d.Links = append(c.d.Links, l)
	for _, a := range i.Addresses {
		c.addAddress(i, a)
	}
	for _, lease := range c.leases {
		if lease.Name == i.Name && !slices.Contains(i.Addresses, lease.Address) {
			c.addAddress(i, lease.Address)
		}
	}
	// A device that tench makes has its MAC address only once it is made.
	if have, exists := c.facts.Links[link]; exists && i.Up && i.DHCP4.Enabled {
		c.d.DHCP = append(c.d.DHCP, DHCP{Interface: i.Name, Link: link, MAC: have.MAC, Config: i.DHCP4})
	}
}

func (c *computer) addAddress(i config.Interface, a netip.Prefix) {
	c.d.Addresses = append(c.d.Addresses, Address{Link: c.links[i.Name], Prefix: a})
	if i.Up && i.Kind != config.Loopback {
		c.subnets = append(c.subnets, subnet{a, i.Name})
	}
}

// mtu is the MTU to set. A VLAN without one follows the interface that carries
// it: the kernel would shrink it with that one but not let it grow again.
func (c *computer) mtu(i config.Interface) int {
	for i.MTU == 0 && i.Kind == config.VLAN {
		i = c.byName[i.Over]
	}
	return i.MTU
}

// master is the bridge that an interface is a member of, if it can be had.
func (c *computer) master(name string) string {
	for _, i := range c.cfg.Interfaces {
		if slices.Contains(i.Members, name) {
			return c.links[i.Name]
		}
	}
	return ""
}

func (c *computer) addSysctls() {
	on := "0"
	if c.cfg.Forwarding {
		on = "1"
	}
	c.d.Sysctls = append(c.d.Sysctls,
		config.Sysctl{Key: "net.ipv4.ip_forward", Value: on},
		config.Sysctl{Key: "net.ipv6.conf.all.forwarding", Value: on})
	for _, s := range c.cfg.Sysctls {
		name, about := config.SysctlInterface(s.Key)
		link, has := c.links[name]
		if about && !has {
			continue // the interface is missing already
		}
		if about {
			parts := strings.Split(s.Key, ".")
			parts[3] = strings.ReplaceAll(link, ".", "/")
			s.Key = strings.Join(parts, ".")
		}
		c.d.Sysctls = append(c.d.Sysctls, s)
	}
}

// addServices lists servers: those of router.toml first, then those of the
// leases, each once.
func (c *computer) addServices() {
	for _, a := range c.cfg.DNS.Servers {
		c.d.DNS = once(c.d.DNS, a)
	}
	for _, domain := range c.cfg.DNS.Search {
		c.d.Search = once(c.d.Search, domain)
	}
	for _, server := range c.cfg.NTP.Servers {
		c.d.NTP = once(c.d.NTP, server)
	}
	for _, l := range c.leases {
		if l.DHCP4.UseDNS {
			for _, a := range l.DNS {
				c.d.DNS = once(c.d.DNS, a)
			}
			// Some servers put several domains into option 15. What is no
			// domain must not reach resolv.conf.
			for domain := range strings.FieldsSeq(l.Domain) {
				if config.IsDomain(domain) {
					c.d.Search = once(c.d.Search, domain)
				}
			}
		}
		if l.DHCP4.UseNTP {
			for _, a := range l.NTP {
				c.d.NTP = once(c.d.NTP, a.String())
			}
		}
	}
}

// once appends v unless it is there already.
func once[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// sorted returns the result with its slices in order. Servers keep theirs,
// which says whom to ask first.
func (c *computer) sorted() Desired {
	slices.SortFunc(c.d.Links, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(c.d.Addresses, func(a, b Address) int {
		return cmp.Or(strings.Compare(a.Link, b.Link), a.Prefix.Compare(b.Prefix))
	})
	slices.SortFunc(c.d.Routes, compareRoutes)
	slices.SortFunc(c.d.Sysctls, func(a, b config.Sysctl) int { return strings.Compare(a.Key, b.Key) })
	slices.SortFunc(c.d.Missing, func(a, b Missing) int {
		return cmp.Or(strings.Compare(a.Interface, b.Interface), strings.Compare(a.Cause, b.Cause))
	})
	return c.d
}
