package netstate

import (
	"fmt"
	"slices"

	"tench/supervisor/desired"
	"tench/supervisor/system"
)

// same tells whether a device is the one wanted, or must be made again: neither
// the parent nor the tag of a VLAN can be changed.
func same(l system.Link, w desired.Link) bool {
	return l.Kind == w.Kind && (w.Kind != "vlan" || l.Parent == w.Parent && l.VLANID == w.VLANID)
}

// removeDevices removes those of our devices that are not wanted, or not like
// this. With a device the kernel removes the VLANs over it.
func (p *planner) removeDevices() {
	gone := map[string]bool{}
	for _, l := range p.have.Links {
		w, wanted := p.wanted[l.Name]
		if l.Ours && (l.Kind == "vlan" || l.Kind == "bridge") && !(wanted && same(l, w)) {
			gone[l.Name] = true
		}
	}
	for _, l := range p.have.Links {
		if gone[l.Name] && !gone[l.Parent] {
			p.add(l.Name, "remove "+l.Kind, func(sys system.System) error { return sys.DeleteLink(l.Name) })
		}
	}
	for range p.have.Links { // a pass for each storey of VLANs over VLANs, at most
		for _, l := range p.have.Links {
			if l.Kind == "vlan" && gone[l.Parent] {
				gone[l.Name] = true
			}
		}
	}
	for name := range gone {
		delete(p.now, name)
	}
	for name, l := range p.now {
		if gone[l.Master] {
			l.Master = ""
			p.now[name] = l
		}
	}
}

// resize sets the MTU of links that there are. A VLAN cannot be larger than the
// device below it: shrinking starts at the top, growing at the bottom.
func (p *planner) resize() {
	for _, w := range slices.Backward(p.links) {
		if l, ok := p.now[w.Name]; ok && w.MTU != 0 && w.MTU < l.MTU {
			p.setMTU(w)
		}
	}
	for _, w := range p.links {
		if l, ok := p.now[w.Name]; ok && w.MTU != 0 && w.MTU > l.MTU {
			p.setMTU(w)
		}
	}
}

func (p *planner) setMTU(w desired.Link) {
	p.add(w.Name, fmt.Sprintf("set MTU %d", w.MTU), func(sys system.System) error { return sys.SetMTU(w.Name, w.MTU) })
}

// makeDevices makes what is missing, parents first. Where a device of somebody
// else has the name, making ours fails, in the words of AddLink, and nothing
// else is planned on it or above it.
func (p *planner) makeDevices() {
	var links []desired.Link
	for _, w := range p.links {
		l, exists := p.now[w.Name]
		taken := exists && isMade(w) && !same(l, w)
		p.blocked[w.Name] = taken || p.blocked[w.Parent]
		if isMade(w) && !p.blocked[w.Parent] && (taken || !exists) {
			p.makeDevice(w)
		}
		if !p.blocked[w.Name] {
			links = append(links, w)
		}
	}
	p.links = links
}

func (p *planner) makeDevice(w desired.Link) {
	text := "make bridge"
	if w.Kind == "vlan" {
		text = fmt.Sprintf("make VLAN %d over %s", w.VLANID, p.label(w.Parent))
	}
	n := system.NewLink{Name: w.Name, Kind: w.Kind, Parent: w.Parent, VLANID: w.VLANID}
	p.add(w.Name, text, func(sys system.System) error { return sys.AddLink(n) })
	p.changes[len(p.changes)-1].Makes = true
	p.made[w.Name] = true
}

// configure sets all of a link but addresses, MTU of old links, and up.
func (p *planner) configure(w desired.Link) {
	l := p.now[w.Name] // zero for one that the plan makes
	if isMade(w) && !p.made[w.Name] && !l.Ours {
		p.add(w.Name, "take over "+w.Kind, func(sys system.System) error { return sys.MarkOurs(w.Name) })
	}
	if p.made[w.Name] && w.MTU != 0 {
		p.setMTU(w)
	}
	if !l.Loopback {
		p.setSysctls(w)
	}
	if w.Kind == "bridge" && l.STP != w.STP {
		text := "switch spanning tree off"
		if w.STP {
			text = "switch spanning tree on"
		}
		p.add(w.Name, text, func(sys system.System) error { return sys.SetSTP(w.Name, w.STP) })
	}
	if l.Master != w.Master || w.Master != "" && p.made[w.Master] {
		text := "join bridge " + w.Master
		if w.Master == "" {
			text = "leave bridge " + l.Master
		}
		p.add(w.Name, text, func(sys system.System) error { return sys.SetMaster(w.Name, w.Master) })
	}
}

// freePorts takes ports that nobody wants out of our bridges: what is plugged into
// one would go on being in that network. A member that is no port, e.g. a tap
// device, was put there by somebody, and stays.
func (p *planner) freePorts() {
	for _, l := range p.have.Links {
		_, wanted := p.wanted[l.Name]
		bridged := p.managed(l.Master) && p.wanted[l.Master].Kind == "bridge"
		if wanted || !bridged || !l.IsPort() {
			continue
		}
		p.add(l.Name, "leave bridge "+l.Master, func(sys system.System) error { return sys.SetMaster(l.Name, "") })
	}
}

// setSysctls sets the settings of a link that differ; those of a link that the
// plan makes are not known and all set. accept_ra is 2 and not 1 because 1
// means "unless this is a router", which it is.
func (p *planner) setSysctls(w desired.Link) {
	values := map[string]string{"promote_secondaries": "1", "accept_ra": "0", "autoconf": "0"}
	if w.SLAAC {
		values["accept_ra"], values["autoconf"] = "2", "1"
	}
	for _, setting := range linkSettings {
		key := system.LinkSysctl(setting.family, w.Name, setting.name)
		have, known := p.have.Sysctls[key]
		// Without IPv6 in the kernel no link has the setting.
		if p.made[w.Name] {
			_, known = p.have.Sysctls[system.LinkSysctl(setting.family, "lo", setting.name)]
		}
		value := values[setting.name]
		if !known || have == value && !p.made[w.Name] {
			continue
		}
		p.add(w.Name, "set "+setting.name+" to "+value, func(sys system.System) error {
			return sys.WriteSysctl(key, value)
		})
	}
}

// raise sets links up and down, parents first, and lo up in any case: the box
// talks to itself. Ports that were left go down.
func (p *planner) raise() {
	for _, w := range p.links {
		up, l := p.comesUp(w), p.now[w.Name]
		switch {
		case up && !l.Up:
			p.add(w.Name, "set up", func(sys system.System) error { return sys.SetUp(w.Name, true) })
		case !w.Up && l.Up && !l.Loopback:
			p.add(w.Name, "set down", func(sys system.System) error { return sys.SetUp(w.Name, false) })
		}
	}
	for _, l := range p.have.Links {
		if w, wanted := p.wanted[l.Name]; l.Loopback && !l.Up && !(wanted && w.Up) {
			p.add(l.Name, "set up", func(sys system.System) error { return sys.SetUp(l.Name, true) })
		}
		if _, wanted := p.wanted[l.Name]; l.Up && !wanted && slices.Contains(p.want.Left, l.Name) {
			p.add(l.Name, "set down", func(sys system.System) error { return sys.SetUp(l.Name, false) })
		}
	}
}
