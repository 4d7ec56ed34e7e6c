package desired

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tench/config"
	"tench/supervisor/unit"
)

// resolve finds the kernel's name of each interface, or why it has none. Of two
// interfaces that turn out to be one device, the first in router.toml has it.
func (c *computer) resolve() {
	order := slices.Clone(c.cfg.Interfaces)
	slices.SortStableFunc(order, func(a, b config.Interface) int { return cmp.Compare(a.Line, b.Line) })
	owner := map[string]string{} // of a device
	for _, i := range order {
		if i.Kind != config.Physical {
			continue
		}
		link, cause := c.find(i.Device)
		if first := owner[link]; cause == "" && first != "" {
			cause = fmt.Sprintf("its device %s is %s already", link, first)
		}
		if cause == "" {
			owner[link] = i.Name
		}
		c.settle(i.Name, link, cause)
	}
	for _, i := range order {
		c.resolveMade(i)
	}
}

func (c *computer) settle(name, link, cause string) {
	if cause != "" {
		c.causes[name] = cause
		return
	}
	c.links[name] = link
}

// resolveMade settles an interface that is no port, after what it is made of.
func (c *computer) resolveMade(i config.Interface) {
	if c.settled(i.Name) {
		return
	}
	for _, below := range append([]string{i.Over}, i.Members...) {
		if next, exists := c.byName[below]; exists {
			c.resolveMade(next)
		}
	}
	c.settle(i.Name, i.Name, c.hindrance(i))
}

func (c *computer) settled(name string) bool {
	return c.links[name] != "" || c.causes[name] != ""
}

// hindrance is why an interface that is no port cannot be had, or "". A bridge
// is there as soon as one of its members is.
func (c *computer) hindrance(i config.Interface) string {
	have, exists := c.facts.Links[i.Name]
	switch {
	case i.Kind == config.Loopback && !exists:
		return "the kernel has no loopback device"
	case i.Kind == config.Loopback:
		return ""
	case exists && !isMade(have):
		return fmt.Sprintf("the box has a device called %s already; choose another name", i.Name)
	case i.Kind == config.VLAN && c.links[i.Over] == "":
		return i.Over + " is missing"
	case i.Kind == config.Bridge && !slices.ContainsFunc(i.Members, func(m string) bool { return c.links[m] != "" }):
		return "all its members are missing: " + strings.Join(i.Members, ", ")
	}
	return ""
}

// isMade reports whether a device is of a kind that tench makes.
func isMade(l unit.Link) bool { return l.Kind == "vlan" || l.Kind == "bridge" }

// find returns the device that a selector means, or why there is none.
func (c *computer) find(s config.Selector) (link, cause string) {
	label := ""
	if s.Port != "" {
		labelled, known := c.ports[s.Port]
		if !known {
			return "", c.noPort(s.Port)
		}
		s, label = labelled, fmt.Sprintf(" (port %s)", s.Port)
	}
	switch {
	case s.Name != "":
		return c.only("called "+s.Name+label, nil, func(l unit.Link) bool { return l.Name == s.Name })
	case s.MAC != "":
		show := func(l unit.Link) string { return l.MAC }
		return c.only("with MAC "+s.MAC, show, func(l unit.Link) bool { return l.MAC == s.MAC })
	}
	show := func(l unit.Link) string { return l.Path }
	return c.only("at "+s.Path+label, show, func(l unit.Link) bool { return l.Path == s.Path })
}

func (c *computer) noPort(label string) string {
	if len(c.ports) == 0 {
		return fmt.Sprintf("there is no port %s: the board's ports have no labels", label)
	}
	return fmt.Sprintf("the board has no port %s; it has %s", label, strings.Join(slices.Sorted(maps.Keys(c.ports)), ", "))
}

// only returns the one port that matches. what is what was looked for; show is
// the property to name of those that there are, nil for their names alone.
func (c *computer) only(what string, show func(unit.Link) string, match func(unit.Link) bool) (link, cause string) {
	var found, all []string
	for _, name := range slices.Sorted(maps.Keys(c.facts.Links)) {
		l := c.facts.Links[name]
		if name == "lo" || isMade(l) {
			continue
		}
		if match(l) {
			found = append(found, name)
		}
		if show != nil && show(l) != "" {
			name = fmt.Sprintf("%s %s", name, show(l))
		}
		all = append(all, name)
	}
	switch {
	case len(found) == 1:
		return found[0], ""
	case len(found) > 1:
		return "", fmt.Sprintf("there are %d devices %s: %s", len(found), what, strings.Join(found, ", "))
	case len(all) == 0:
		return "", fmt.Sprintf("no device %s; the box has no network device", what)
	}
	return "", fmt.Sprintf("no device %s; the box has %s", what, strings.Join(all, ", "))
}
