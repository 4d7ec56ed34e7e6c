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
	var absent []string          // interfaces whose device the box does not have
	for _, i := range order {
		if i.Kind != config.Physical {
			continue
		}
		link, cause := c.find(i.Device)
		first := owner[link]
		switch {
		case cause != "" && link == "":
			absent = append(absent, i.Name)
		case cause == "" && first != "":
			cause = fmt.Sprintf("its device %s is %s already", link, first)
		case cause == "":
			owner[link] = i.Name
		}
		c.settle(i.Name, link, cause)
	}
	// Only now it is known which ports nobody wants: on a box that took the place
	// of another one of them is what the operator looks for.
	for _, name := range absent {
		c.causes[name] += "; " + c.unused(owner)
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

// find returns the device that a selector means, or the cause why it means none.
// With a cause, link is "" where there is no such device, and one of them where
// there are several.
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
		return c.only("called "+s.Name+label, func(l unit.Link) bool { return l.Name == s.Name })
	case s.MAC != "":
		return c.only("with MAC "+s.MAC, func(l unit.Link) bool { return l.MAC == s.MAC })
	}
	return c.only("at "+s.Path+label, func(l unit.Link) bool { return l.Path == s.Path })
}

func (c *computer) noPort(label string) string {
	if len(c.ports) == 0 {
		return fmt.Sprintf("there is no port %s: the board's ports have no labels", label)
	}
	return fmt.Sprintf("the board has no port %s; it has %s", label, strings.Join(slices.Sorted(maps.Keys(c.ports)), ", "))
}

// devices lists the ports that the box has, sorted by name.
func (c *computer) devices() []unit.Link {
	var list []unit.Link
	for _, name := range slices.Sorted(maps.Keys(c.facts.Links)) {
		if l := c.facts.Links[name]; name != "lo" && !isMade(l) {
			list = append(list, l)
		}
	}
	return list
}

// only returns the one port that matches. what is what was looked for.
func (c *computer) only(what string, match func(unit.Link) bool) (link, cause string) {
	var found []string
	for _, l := range c.devices() {
		if match(l) {
			found = append(found, l.Name)
		}
	}
	switch len(found) {
	case 0:
		return "", "no device " + what
	case 1:
		return found[0], ""
	}
	return found[0], fmt.Sprintf("there are %d devices %s: %s", len(found), what, strings.Join(found, ", "))
}

// unused lists the ports that no interface is, each with what router.toml may
// call it.
func (c *computer) unused(owner map[string]string) string {
	devices := c.devices()
	var free []string
	for _, l := range devices {
		if owner[l.Name] != "" {
			continue
		}
		text := l.Name
		if label := c.labelOf(l); label != "" {
			text = fmt.Sprintf("port:%s (%s)", label, l.Name)
		} else if l.Path != "" {
			text = fmt.Sprintf("%s (%s)", l.Path, l.Name)
		}
		free = append(free, text)
	}
	switch {
	case len(devices) == 0:
		return "the box has no network device"
	case len(free) == 0:
		return "all ports of the box are in use"
	}
	return "unused: " + strings.Join(free, ", ")
}

// labelOf is what the case calls a port, "" where it has no label.
func (c *computer) labelOf(l unit.Link) string {
	for _, label := range slices.Sorted(maps.Keys(c.ports)) {
		p := c.ports[label]
		if p.Name != "" && p.Name == l.Name || p.Path != "" && p.Path == l.Path {
			return label
		}
	}
	return ""
}
