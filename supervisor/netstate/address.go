package netstate

import (
	"net/netip"
	"slices"

	"tench/supervisor/desired"
	"tench/supervisor/system"
)

// planAddresses adds and removes addresses. New ones are added before old ones
// are removed, because with the last address of a link the kernel drops the
// routes over it. Only an address that would be in the way of a new one goes
// first.
func (p *planner) planAddresses() {
	adds := p.missingAddresses()
	var late []system.Address
	for _, a := range p.have.Addresses {
		if p.leftBehind(a) {
			p.removeAddress(a)
		}
		if !p.unwanted(a) {
			continue
		}
		if inTheWay(a, adds) {
			p.removeAddress(a)
		} else {
			late = append(late, a)
		}
	}
	for _, a := range adds {
		p.add(a.Link, "add address "+a.Prefix.String(), func(sys system.System) error {
			return sys.AddAddress(a.Link, a.Prefix)
		})
	}
	for _, a := range late {
		p.removeAddress(a)
	}
}

func (p *planner) removeAddress(a system.Address) {
	p.add(a.Link, "remove address "+a.Prefix.String(), func(sys system.System) error { return sys.DeleteAddress(a) })
}

// missingAddresses are those to add. IPv6 ones wait until their link is up: the
// kernel drops them from a link that goes down.
func (p *planner) missingAddresses() []desired.Address {
	have := map[desired.Address]bool{}
	for _, a := range p.have.Addresses {
		if _, stays := p.now[a.Link]; stays && !a.Peer.IsValid() {
			have[desired.Address{Link: a.Link, Prefix: a.Prefix}] = true
		}
	}
	var adds []desired.Address
	for _, a := range p.want.Addresses {
		up := p.comesUp(p.wanted[a.Link])
		if p.managed(a.Link) && !have[a] && (up || a.Prefix.Addr().Is4()) {
			adds = append(adds, a)
		}
	}
	return adds
}

// loopback are the addresses that the kernel gives lo.
var loopback = map[netip.Prefix]bool{
	netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8): true,
	netip.PrefixFrom(netip.IPv6Loopback(), 128):                 true,
}

// unwanted tells whether an address is to be removed.
func (p *planner) unwanted(a system.Address) bool {
	_, stays := p.now[a.Link]
	if !stays || !p.managed(a.Link) && !slices.Contains(p.want.Left, a.Link) {
		return false
	}
	for _, w := range p.want.Addresses {
		if w.Link == a.Link && w.Prefix == a.Prefix && !a.Peer.IsValid() {
			return false
		}
	}
	if a.Autoconf {
		return !p.wanted[a.Link].SLAAC && !a.Prefix.Addr().IsLinkLocalUnicast()
	}
	linkLocal := a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast()
	return !a.Dynamic && !linkLocal && !loopback[a.Prefix]
}

// leftBehind tells whether an address is on a port that is not ours to configure,
// in a network that an interface has on another port: it was that interface until
// router.toml named the other one. The kernel would go on sending to the network by
// the old port, also without a cable in it.
func (p *planner) leftBehind(a system.Address) bool {
	l, exists := p.now[a.Link]
	if !exists || p.managed(a.Link) || !l.IsPort() {
		return false
	}
	if a.Dynamic || a.Peer.IsValid() || a.Prefix.IsSingleIP() || a.Prefix.Addr().IsLinkLocalUnicast() {
		return false
	}
	return slices.ContainsFunc(p.want.Addresses, func(w desired.Address) bool {
		return p.managed(w.Link) && w.Prefix.Masked() == a.Prefix.Masked()
	})
}

// inTheWay tells whether an unwanted address must go before the new ones come:
// when it moves to another link, and in IPv6 also when only its prefix length
// changes, because there a link cannot have an address twice.
func inTheWay(a system.Address, adds []desired.Address) bool {
	for _, add := range adds {
		if add.Prefix.Addr() == a.Prefix.Addr() && (add.Link != a.Link || a.Prefix.Addr().Is6()) {
			return true
		}
	}
	return false
}
