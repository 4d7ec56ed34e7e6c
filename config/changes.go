package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Changes says in words what another configuration changes on the box, one
// thing a line, e.g. "interface lan: address 192.168.1.1/24 goes". It is empty
// when nothing but comments and the order of things changed.
func Changes(old, changed Config) []string {
	var c changes
	c.value("hostname", old.Hostname, changed.Hostname)
	c.value("forwarding", onOff(old.Forwarding), onOff(changed.Forwarding))
	for _, i := range old.Interfaces {
		if !slices.ContainsFunc(changed.Interfaces, named(i.Name)) {
			c.add("interface %s goes", i.Name)
		}
	}
	for _, i := range changed.Interfaces {
		at := slices.IndexFunc(old.Interfaces, named(i.Name))
		if at < 0 {
			c.add("interface %s comes", i.Name)
			continue
		}
		c.iface(old.Interfaces[at], i)
	}
	c.list("route", texts(old.Routes, Route.text), texts(changed.Routes, Route.text))
	c.list("sysctl", texts(old.Sysctls, Sysctl.text), texts(changed.Sysctls, Sysctl.text))
	c.list("ssh on interface", old.SSH.Interfaces, changed.SSH.Interfaces)
	if old.SSH.Port != 0 && changed.SSH.Port != 0 {
		c.value("ssh port", fmt.Sprint(old.SSH.Port), fmt.Sprint(changed.SSH.Port))
	}
	for name, differs := range map[string]bool{
		"dns": !reflect.DeepEqual(old.DNS, changed.DNS), "ntp": !reflect.DeepEqual(old.NTP, changed.NTP),
		"console": !reflect.DeepEqual(old.Console, changed.Console), "health": !reflect.DeepEqual(old.Health, changed.Health),
	} {
		if differs {
			c.others = append(c.others, name+" changes")
		}
	}
	slices.Sort(c.others)
	return append(c.lines, c.others...)
}

// changes collects the lines.
type changes struct {
	lines  []string
	others []string // of sections that are not taken apart
}

func (c *changes) add(format string, args ...any) {
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

// value tells of one value that is another now.
func (c *changes) value(what, old, changed string) {
	if old != changed {
		c.add("%s %s -> %s", what, old, changed)
	}
}

// list tells what goes and what comes.
func (c *changes) list(what string, old, changed []string) {
	for _, v := range old {
		if !slices.Contains(changed, v) {
			c.add("%s %s goes", what, v)
		}
	}
	for _, v := range changed {
		if !slices.Contains(old, v) {
			c.add("%s %s comes", what, v)
		}
	}
}

func (c *changes) iface(old, changed Interface) {
	what := "interface " + old.Name + ": "
	c.value(what+"kind", string(old.Kind), string(changed.Kind))
	c.value(what+"device", old.Device.text(), changed.Device.text())
	c.value(what+"over", none(old.Over), none(changed.Over))
	c.value(what+"vlan", fmt.Sprint(old.VLANID), fmt.Sprint(changed.VLANID))
	c.list(what+"member", old.Members, changed.Members)
	c.value(what+"stp", onOff(old.STP), onOff(changed.STP))
	c.value(what+"port", onOff(old.Up), onOff(changed.Up))
	c.value(what+"mtu", mtuText(old.MTU), mtuText(changed.MTU))
	prefix := func(i Interface) (list []string) {
		for _, a := range i.Addresses {
			list = append(list, a.String())
		}
		return list
	}
	c.list(what+"address", prefix(old), prefix(changed))
	c.value(what+"dhcp4", onOff(old.DHCP4.Enabled), onOff(changed.DHCP4.Enabled))
	if old.DHCP4.Enabled && changed.DHCP4.Enabled && old.DHCP4 != changed.DHCP4 {
		c.add("%sdhcp4 asks otherwise", what)
	}
	c.value(what+"slaac", onOff(old.SLAAC), onOff(changed.SLAAC))
}

func named(name string) func(Interface) bool {
	return func(i Interface) bool { return i.Name == name }
}

func texts[T any](list []T, text func(T) string) []string {
	var all []string
	for _, v := range list {
		all = append(all, text(v))
	}
	return all
}

func (r Route) text() string {
	words := []string{r.To.String()}
	if r.Via.IsValid() {
		words = append(words, "via "+r.Via.String())
	}
	if r.Interface != "" {
		words = append(words, "interface "+r.Interface)
	}
	if r.Metric != 0 {
		words = append(words, fmt.Sprintf("metric %d", r.Metric))
	}
	if r.Table != MainTable {
		words = append(words, fmt.Sprintf("table %d", r.Table))
	}
	if r.Blackhole {
		words = append(words, "blackhole")
	}
	return strings.Join(words, " ")
}

func (s Sysctl) text() string { return s.Key + " = " + s.Value }

// text is a selector as the file has it.
func (s Selector) text() string {
	if s.Port != "" {
		return "port:" + s.Port
	}
	return none(s.Name + s.MAC + s.Path) // one of them is set
}

func none(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func mtuText(mtu int) string {
	if mtu == 0 {
		return "of the driver"
	}
	return fmt.Sprint(mtu)
}
