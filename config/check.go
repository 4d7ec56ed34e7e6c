package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// check compares the parts with each other. Each of them may already have a
// problem of its own; then it is not blamed a second time.
func (p *parser) check() {
	p.checkDevices()
	for _, i := range p.cfg.Interfaces {
		switch i.Kind {
		case VLAN:
			p.checkVLAN(i)
		case Bridge:
			p.checkBridge(i)
		}
		if i.Kind == VLAN || i.Kind == Bridge {
			p.checkMadeName(i)
		}
	}
	if p.checkStack() {
		p.checkMTUs()
	}
	p.checkAddresses()
	p.checkMetrics()
	for n, r := range p.cfg.Routes {
		p.checkRoute(top("route").item(n), r)
	}
	p.checkDuplicateRoutes()
}

// where names an interface with its line, for messages about another one.
func (p *parser) where(name string) string {
	return fmt.Sprintf("interface %s (line %d)", name, p.byName[name].Line)
}

// inFileOrder gives the interfaces as written, so that the later of two is
// blamed.
func (p *parser) inFileOrder() []Interface {
	list := slices.Clone(p.cfg.Interfaces)
	slices.SortStableFunc(list, func(a, b Interface) int { return cmp.Compare(a.Line, b.Line) })
	return list
}

func (p *parser) checkDevices() {
	owner := map[Selector]string{}
	for _, i := range p.inFileOrder() {
		if i.Device == (Selector{}) {
			continue
		}
		if first, taken := owner[i.Device]; taken {
			p.bad(interfaceAt(i.Name).key("device"), "one device is one interface; give the second network a VLAN over it, or both addresses to it",
				"is the device of %s too", p.where(first))
			continue
		}
		owner[i.Device] = i.Name
	}
}

// checkMadeName refuses a VLAN or bridge with the name of a device: what is
// made gets the interface's name in the kernel, where names are unique.
func (p *parser) checkMadeName(i Interface) {
	for _, other := range p.cfg.Interfaces {
		if other.Device.Name == i.Name {
			p.bad(interfaceAt(i.Name), "choose another name", "the device of %s has this name already", p.where(other.Name))
		}
	}
}

func (p *parser) checkVLAN(i Interface) {
	at := interfaceAt(i.Name)
	parent, known := p.byName[i.Over]
	switch {
	case i.Over == "":
		return
	case i.Over == i.Name:
		p.bad(at.key("over"), "name the interface that carries it", "%s cannot carry itself", i.Name)
		return
	case !known:
		p.bad(at.key("over"), didYouMean(i.Over, p.others(i.Name)), "there is no interface %q", i.Over)
		return
	case parent.Kind == Loopback:
		p.bad(at.key("over"), "", "the loopback carries no VLANs")
	case i.Up && !parent.Up:
		p.bad(at, fmt.Sprintf("set up = false here too, or up = true in %s", i.Over), "is up, but %s, which carries it, is not", p.where(i.Over))
	}
	for _, other := range p.cfg.Interfaces {
		if other.Kind == VLAN && other.Over == i.Over && other.VLANID == i.VLANID && i.VLANID != 0 && p.after(i, other) {
			p.bad(at.key("vlan"), "", "%d over %s is %s already", i.VLANID, i.Over, p.where(other.Name))
			return
		}
	}
}

// after orders two interfaces in the file, by name where a line holds both.
func (p *parser) after(a, b Interface) bool {
	return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Name, b.Name)) > 0
}

// others lists the interfaces except one.
func (p *parser) others(name string) []string {
	return slices.DeleteFunc(p.names(), func(n string) bool { return n == name })
}

func (p *parser) checkBridge(i Interface) {
	at := interfaceAt(i.Name).key("bridge")
	for _, name := range i.Members {
		m, known := p.byName[name]
		switch {
		case !known:
			p.bad(at, didYouMean(name, p.others(i.Name)), "there is no interface %q", name)
		case name == i.Name:
			p.bad(at, "", "%s cannot be a member of itself", name)
		case m.Kind == Loopback:
			p.bad(at, "", "the loopback cannot be a member of a bridge")
		case m.Kind == Bridge:
			p.bad(at, "name the members of "+name+" here", "%s is a bridge, and the kernel puts no bridge into another", p.where(name))
		}
		p.checkMember(i, m)
	}
}

// checkMember refuses what a port of a bridge cannot have: the kernel hands
// all that it receives to the bridge.
func (p *parser) checkMember(bridge, m Interface) {
	for _, other := range p.cfg.Interfaces {
		if slices.Contains(other.Members, m.Name) && p.after(bridge, other) {
			p.bad(interfaceAt(bridge.Name).key("bridge"), "", "%s is a member of %s already", m.Name, p.where(other.Name))
		}
	}
	at := interfaceAt(m.Name)
	hint := fmt.Sprintf("give it to %s", p.where(bridge.Name))
	refused := []struct {
		key string
		set bool
	}{{"address", len(m.Addresses) > 0}, {"dhcp4", m.DHCP4.Enabled}, {"slaac", m.SLAAC}}
	for _, r := range refused {
		if r.set && m.Name != bridge.Name {
			p.bad(at.key(r.key), hint, "%s is a member of the bridge %s, which has the addresses", m.Name, bridge.Name)
		}
	}
}

// below lists what an interface is made of, as far as it exists.
func (p *parser) below(name string) []string {
	i := p.byName[name]
	list := i.Members
	if i.Kind == VLAN {
		list = []string{i.Over}
	}
	return slices.DeleteFunc(slices.Clone(list), func(n string) bool { _, known := p.byName[n]; return !known })
}

// maxDepth is how many devices the kernel stacks (MAX_NEST_DEV in
// include/linux/netdevice.h), the one at the bottom included.
const maxDepth = 8

// checkStack refuses circles, and towers that the kernel would. It reports
// whether each interface stands on firm ground.
func (p *parser) checkStack() bool {
	firm := true
	for _, i := range p.cfg.Interfaces {
		circle := p.circle(i.Name, i.Name, map[string]bool{})
		firm = firm && circle == nil
		// Each circle is reported once, and one around a single interface already was.
		if len(circle) > 1 && slices.Min(circle) == i.Name {
			p.bad(interfaceAt(i.Name), "one of them must stand on a port", "is made of itself: %s", strings.Join(append(circle, i.Name), " on "))
		}
	}
	depths := map[string]int{}
	for _, i := range p.cfg.Interfaces {
		if !firm {
			return false
		}
		if d := p.depth(i.Name, depths); d > maxDepth {
			firm = false
			p.bad(interfaceAt(i.Name), "", "stands on %d others, one on another; the kernel stacks %d devices at most", d-1, maxDepth)
		}
	}
	return firm
}

// circle returns the way down from name to goal, both at its ends but goal
// named once, or nil when none leads there.
func (p *parser) circle(name, goal string, seen map[string]bool) []string {
	for _, next := range p.below(name) {
		if next == goal {
			return []string{name}
		}
		if seen[next] {
			continue
		}
		seen[next] = true
		if rest := p.circle(next, goal, seen); rest != nil {
			return append([]string{name}, rest...)
		}
	}
	return nil
}

func (p *parser) depth(name string, known map[string]int) int {
	if d := known[name]; d > 0 {
		return d
	}
	d := 1
	for _, next := range p.below(name) {
		d = max(d, p.depth(next, known)+1)
	}
	known[name] = d
	return d
}

// ethernetMTU is what an Ethernet driver starts with (IEEE 802.3).
const ethernetMTU = 1500

// minMTU6 is the least that IPv6 demands of a link (RFC 8200, section 5); the
// kernel turns IPv6 off below it.
const minMTU6 = 1280

func (p *parser) checkMTUs() {
	for _, i := range p.cfg.Interfaces {
		at := interfaceAt(i.Name)
		if room, narrow := p.room(i.Name); narrow != "" && i.MTU > room {
			p.bad(at.key("mtu"), fmt.Sprintf("set mtu = %d there, or at most %d here", i.MTU, room),
				"%d is more than the %d of %s below it", i.MTU, room, p.where(narrow))
		}
		if mtu := p.mtu(i.Name); mtu < minMTU6 && p.hasIPv6(i) {
			p.bad(at.key("mtu"), fmt.Sprintf("set an mtu of at least %d, or leave IPv6 out", minMTU6), "is %d, which is too little for IPv6", mtu)
		}
	}
}

func (p *parser) hasIPv6(i Interface) bool {
	return i.SLAAC || slices.ContainsFunc(p.addresses, func(a address) bool { return a.owner == i.Name && a.prefix.Addr().Is6() })
}

// mtu is the MTU that an interface will have. It may only be asked for when
// there are no circles.
func (p *parser) mtu(name string) int {
	if i := p.byName[name]; i.MTU != 0 {
		return i.MTU
	}
	room, narrow := p.room(name)
	if narrow == "" {
		return ethernetMTU
	}
	return room
}

// room is the MTU of the narrowest interface that name is made of, and which
// one that is; "" for a port.
func (p *parser) room(name string) (mtu int, narrow string) {
	for _, next := range p.below(name) {
		if m := p.mtu(next); narrow == "" || m < mtu {
			mtu, narrow = m, next
		}
	}
	return mtu, narrow
}

// checkAddresses refuses addresses given twice and networks on two interfaces.
func (p *parser) checkAddresses() {
	for n, a := range p.addresses {
		for _, first := range p.addresses[:n] {
			if a.prefix.Addr() == first.prefix.Addr() {
				p.bad(a.at, "", "%s is the same address as %s", a.prefix, p.whereAddress(first))
				break
			}
			if overlap(a, first) {
				p.bad(a.at, "each interface needs a network of its own; to put ports on one network, make a bridge of them",
					"%s of interface %s overlaps %s", a.prefix, a.owner, p.whereAddress(first))
				break
			}
		}
	}
}

// whereAddress is an address as the problems of another name it.
func (p *parser) whereAddress(a address) string {
	return fmt.Sprintf("%s of interface %s (line %d)", a.prefix, a.owner, p.line(a.at))
}

// checkMetrics refuses two DHCP clients whose default routes would be the same
// to the kernel.
func (p *parser) checkMetrics() {
	owner := map[int]string{}
	for _, i := range p.inFileOrder() {
		if !i.DHCP4.Enabled || !i.DHCP4.DefaultRoute || i.DHCP4.Metric == 0 {
			continue
		}
		if first, taken := owner[i.DHCP4.Metric]; taken {
			p.bad(interfaceAt(i.Name).key("dhcp4"), "give the one to prefer the smaller metric, e.g. dhcp4 = { metric = 50 }",
				"its routes have the metric %d, and so have those of %s", i.DHCP4.Metric, p.where(first))
			continue
		}
		owner[i.DHCP4.Metric] = i.Name
	}
}
