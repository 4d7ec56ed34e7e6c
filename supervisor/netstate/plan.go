package netstate

import (
	"cmp"
	"slices"

	"tench/supervisor/desired"
	"tench/supervisor/system"
)

// Plan lists the changes that turn have into want, in an order in which each
// can succeed and nothing that stays is disturbed. It is empty when nothing
// differs. It touches nothing.
func Plan(have State, want desired.Desired) []Change {
	p := newPlanner(have, want)
	p.removeDevices()
	p.resize()
	p.makeDevices()
	for _, w := range p.links {
		p.configure(w)
	}
	p.freePorts()
	p.raise()
	p.planAddresses()
	p.planRoutes()
	return p.changes
}

// planner holds what the parts of Plan share.
type planner struct {
	have    State
	want    desired.Desired
	now     map[string]system.Link  // links that are, without those that the plan removes
	wanted  map[string]desired.Link // by kernel name
	links   []desired.Link          // wanted ones that there are or will be, parents first
	made    map[string]bool         // links that the plan makes
	blocked map[string]bool         // links that cannot be made: the name is taken
	changes []Change
}

func newPlanner(have State, want desired.Desired) *planner {
	p := &planner{
		have: have, want: want,
		now: map[string]system.Link{}, wanted: map[string]desired.Link{}, made: map[string]bool{}, blocked: map[string]bool{},
	}
	for _, l := range have.Links {
		p.now[l.Name] = l
	}
	for _, w := range want.Links {
		p.wanted[w.Name] = w
		if _, exists := p.now[w.Name]; exists || isMade(w) {
			p.links = append(p.links, w)
		}
	}
	slices.SortStableFunc(p.links, func(a, b desired.Link) int { return cmp.Compare(p.depth(a), p.depth(b)) })
	return p
}

// isMade tells whether tench makes the device.
func isMade(w desired.Link) bool { return w.Kind == "vlan" || w.Kind == "bridge" }

// depth counts the devices below a VLAN.
func (p *planner) depth(w desired.Link) int {
	depth := 0
	for w.Kind == "vlan" && depth < len(p.wanted) {
		depth++
		w = p.wanted[w.Parent]
	}
	return depth
}

// add appends a change to a link.
func (p *planner) add(link, text string, do func(system.System) error) {
	p.changes = append(p.changes, Change{On: p.label(link), Text: text, Link: link, do: do})
}

// label is how the operator calls a link.
func (p *planner) label(link string) string {
	if w, ok := p.wanted[link]; ok && w.Interface != "" {
		return w.Interface
	}
	return link
}

// managed tells whether a link is ours to configure and there (or about to be); lo
// always is.
func (p *planner) managed(link string) bool {
	l, exists := p.now[link]
	w, wanted := p.wanted[link]
	return l.Loopback || wanted && (exists || isMade(w)) && !p.blocked[link]
}

// comesUp tells whether a link will be up: a VLAN cannot be while the device
// below it is kept down.
func (p *planner) comesUp(w desired.Link) bool {
	for range len(p.wanted) + 1 {
		if !w.Up || w.Kind != "vlan" {
			return w.Up
		}
		parent, wanted := p.wanted[w.Parent]
		if !wanted {
			return true
		}
		w = parent
	}
	return false
}
