package supervisor

import (
	"slices"

	"tench/config"
	"tench/supervisor/desired"
	"tench/supervisor/netstate"
	"tench/supervisor/system"
)

// leave notes the ports that one router.toml names and the next does not: what
// they were set to is to go. A port that the next names, and that only cannot be
// had now, is left as it is.
func (l *loop) leave(old, next config.Config) {
	gone := map[string]bool{} // interfaces
	for _, i := range old.Interfaces {
		gone[i.Name] = !slices.ContainsFunc(next.Interfaces, func(n config.Interface) bool { return n.Device == i.Device })
	}
	for _, w := range desired.Compute(old, l.ports, l.facts).Links {
		if w.Kind == "" && gone[w.Interface] {
			l.left[w.Name] = true
		}
	}
}

// noteMTUs keeps what each port has before its MTU is set for the first time.
func (l *loop) noteMTUs(state netstate.State) {
	for _, w := range l.want.Links {
		_, known := l.mtus[w.Name]
		i := slices.IndexFunc(state.Links, func(h system.Link) bool { return h.Name == w.Name })
		if w.Kind == "" && w.MTU != 0 && !known && i >= 0 {
			l.mtus[w.Name] = state.Links[i].MTU
		}
	}
}

// ownMTUs gives the ports whose MTU router.toml sets no more the one that they had,
// and VLANs that of their port.
func (l *loop) ownMTUs(links []desired.Link) {
	byName := map[string]desired.Link{}
	for _, w := range links {
		byName[w.Name] = w
	}
	for i, w := range links {
		for w.Kind == "vlan" {
			w = byName[w.Parent]
		}
		if links[i].MTU == 0 && w.Kind == "" {
			links[i].MTU = l.mtus[w.Name]
		}
	}
}
