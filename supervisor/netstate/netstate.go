// Package netstate makes the kernel's network equal to what is desired.
//
//	netstate.go  State, Observe, and the Facts about links
//	plan.go      Plan: the smallest ordered list of changes (pure)
//	devices.go   its part about devices
//	address.go   its part about addresses
//	route.go     its part about routes
//	settings.go  host name, kernel settings, resolv.conf
//	change.go    Change and Apply
//	watch.go     Watch, which wakes the loop
//
// It is level-triggered: every cycle observes everything and plans from there,
// so that whatever happened in between, by hand or by the kernel itself, is
// repaired, and a second cycle finds nothing to do.
//
// What it manages, and what it leaves alone:
//
//   - Only links that Desired names are touched, and lo, which is always up. But
//     another port loses addresses in a network that Desired has on one of its own,
//     and leaves a bridge that Desired names.
//   - On those, permanent addresses that are not desired are removed, but never
//     link-local ones, 127.0.0.1/8 and ::1/128 on lo, or addresses with a
//     lifetime that somebody else looks after. Addresses and routes from router
//     advertisements go where advertisements are not (or no longer) wanted.
//   - Routes with our protocol (system.ProtocolTench) that are not desired are
//     removed; routes of others stay, except that in IPv4 a desired route takes
//     the place of another with the same destination, metric and table.
//   - VLANs and bridges that we made (system.OurAlias) and that are no longer
//     desired are removed.
package netstate

import (
	"tench/supervisor/system"
	"tench/supervisor/unit"
)

// State is the network as it is.
type State struct {
	system.Dump
	// Sysctls holds the settings in linkSettings of every link, by key. A
	// setting that the kernel lacks, for example without IPv6, is missing.
	Sysctls map[string]string
}

// linkSetting is a setting below /proc/sys/net/FAMILY/conf/LINK.
type linkSetting struct{ family, name string }

// linkSettings are those that Plan cares for.
var linkSettings = []linkSetting{
	// Without it the kernel deletes all addresses of a subnet together with the
	// first one (ip-sysctl.rst).
	{"ipv4", "promote_secondaries"},
	{"ipv6", "accept_ra"},
	{"ipv6", "autoconf"},
}

// Observe reads the network.
func Observe(sys system.System) (State, error) {
	dump, err := sys.Dump()
	if err != nil {
		return State{}, err
	}
	s := State{Dump: dump, Sysctls: map[string]string{}}
	for _, l := range s.Links {
		for _, setting := range linkSettings {
			key := system.LinkSysctl(setting.family, l.Name, setting.name)
			// A link can vanish since the dump, and its settings with it.
			if value, err := sys.ReadSysctl(key); err == nil {
				s.Sysctls[key] = value
			}
		}
	}
	return s, nil
}

// Links gives the Facts about links, by kernel name.
func Links(s State) map[string]unit.Link {
	links := make(map[string]unit.Link, len(s.Links))
	for _, l := range s.Links {
		mac := l.PermMAC
		if mac == "" {
			mac = l.MAC
		}
		links[l.Name] = unit.Link{
			Name: l.Name, Index: l.Index, MAC: mac, Path: l.Path, Kind: l.Kind, Parent: l.Parent, VLANID: l.VLANID,
			Master: l.Master, STP: l.STP, MTU: l.MTU, Up: l.Up, Carrier: l.Carrier,
		}
	}
	return links
}
