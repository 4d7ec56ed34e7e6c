package unit

import (
	"net/netip"
	"time"
)

// Facts is what is so right now. One goroutine, the supervisor's loop, owns it.
type Facts struct {
	Links  map[string]Link  // by kernel name
	Leases map[string]Lease // by the interface's name in router.toml
	Clock  Clock
	Units  map[string]State // by Unit.String
}

// Link is a network device as the kernel reports it.
type Link struct {
	Name    string // kernel name, e.g. "eth0"
	Index   int    // kernel's ifindex
	MAC     string // lower case with colons; the permanent one where there is one
	Path    string // where a physical device sits, e.g. "pci-0000:00:10.0"; empty otherwise
	Kind    string // kernel's link kind: "" for physical devices, "vlan", "bridge", "veth" …
	Parent  string // device below, for a VLAN
	VLANID  int    // 802.1Q tag, for a VLAN
	Master  string // bridge that this is a member of
	STP     bool   // for a bridge: spanning tree is on
	MTU     int    // bytes
	Up      bool   // administratively up
	Carrier bool   // has a link partner
}

// Lease is what a DHCPv4 server granted (RFC 2131).
type Lease struct {
	Link      string // kernel name of the device it belongs to
	Address   netip.Prefix
	Server    netip.Addr // server identifier, option 54
	Routes    []LeaseRoute
	DNS       []netip.Addr
	NTP       []netip.Addr
	Domain    string
	MTU       int // option 26; 0 when absent
	Since     time.Time
	Renew     time.Time // T1
	Rebind    time.Time // T2
	Expires   time.Time
	Restored  bool   // taken from flash and not yet confirmed by the server
	HWAddress string // MAC it was granted to
}

// LeaseRoute is a route out of a lease: option 121 (RFC 3442), else option 3.
type LeaseRoute struct {
	To  netip.Prefix
	Via netip.Addr // zero: directly connected
}

// Clock tells whether the wall clock can be believed.
type Clock struct {
	Set    bool
	Server string // who set it
	When   time.Time
}

// State is how a unit does.
type State struct {
	Since time.Time
	Text  string // e.g. "asking", "bound until 14:02"
	OK    bool
}

// Clone returns a copy that shares nothing with f.
func (f Facts) Clone() Facts {
	c := Facts{Links: map[string]Link{}, Leases: map[string]Lease{}, Clock: f.Clock, Units: map[string]State{}}
	for k, v := range f.Links {
		c.Links[k] = v
	}
	for k, v := range f.Leases {
		c.Leases[k] = v
	}
	for k, v := range f.Units {
		c.Units[k] = v
	}
	return c
}
