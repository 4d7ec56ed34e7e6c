// Package desired computes what the box should look like, purely: the same
// Config and Facts always give the same Desired.
//
//	desired.go  Desired and its parts
//	compute.go  Compute: links, addresses, settings, services
//	resolve.go  which device an interface is, or why it is none
//	route.go    static routes and those of leases
//
// netstate makes the kernel's network equal to it; the loop makes the running
// units equal to it.
package desired

import (
	"fmt"
	"net/netip"

	"tench/config"
)

// Desired is all that should be so. Slices are sorted, so that two equal ones
// print alike.
type Desired struct {
	Hostname  string
	Links     []Link
	Addresses []Address
	Routes    []Route
	Sysctls   []config.Sysctl
	DNS       []netip.Addr
	Search    []string
	NTP       []string
	DHCP      []DHCP
	Missing   []Missing
	// Left are ports that router.toml named before, and does no more: they lose
	// their addresses and go down. The loop knows them; Compute does not.
	Left []string
}

// Link is a device to configure (Kind "") or to make ("vlan", "bridge").
type Link struct {
	Name      string // kernel name; for a made device the interface's name
	Interface string // name in router.toml
	Kind      string // "", "vlan", "bridge", "loopback"
	Parent    string // vlan: kernel name of the device below
	VLANID    int
	STP       bool
	Master    string // bridge to be a member of; "" for none
	MTU       int    // 0 leaves it alone
	Up        bool
	SLAAC     bool // accept router advertisements
}

// Address is a static or leased address on a link.
type Address struct {
	Link   string
	Prefix netip.Prefix
}

// Route is a route to have. Table is never 0.
type Route struct {
	To        netip.Prefix
	Via       netip.Addr
	Link      string // kernel name; "" for a blackhole or where Via decides
	Metric    int
	Table     int
	Blackhole bool
}

// DHCP is a DHCPv4 client to run.
type DHCP struct {
	Interface string
	Link      string
	MAC       string
	Config    config.DHCP4
}

// Missing is something in the Config that cannot be had now, and why. An
// interface can be missing and have a link all the same: then what is missing
// is a part of it, which the cause names.
type Missing struct {
	Interface string // name in router.toml; or that of a route, see RouteName
	Cause     string // e.g. "no device with MAC 52:54:00:12:34:56"
	// Over is, of a route, the interface whose absence keeps it away; "" where none
	// is known.
	Over string
}

// RouteName is what a route of router.toml is called, e.g. "route 10.0.0.0/8": no
// two of them have destination, metric and table in common.
func RouteName(r config.Route) string {
	name := "route " + r.To.String()
	if r.Metric != 0 {
		name += fmt.Sprintf(" metric %d", r.Metric)
	}
	if r.Table != config.MainTable {
		name += fmt.Sprintf(" table %d", r.Table)
	}
	return name
}
