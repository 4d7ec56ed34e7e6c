// Package config is router.toml: what the operator wants of one box.
//
//	config.go       Config, the checked form that everybody else sees
//	parse.go        Parse: router.toml -> raw -> Config, defaults filled
//	read.go         values of any type -> Go values, with the place of mistakes
//	name.go         host, domain and interface names; placeholders
//	interface.go    [interface.NAME], with device.go and address.go for its values
//	route.go        [[route]]
//	sysctl.go       [sysctl]
//	service.go      [dns], [ntp], [console], [ssh]
//	check.go        what must hold between interfaces
//	checkroute.go   what must hold between routes and interfaces
//	reference.toml  every key with its meaning, default and range
//
// It is pure: no system calls, nothing of the box and nothing of the builder,
// because the builder checks a file before it goes into an image, `tench check`
// checks it on the desk, and the box checks it again before it applies it.
package config

import (
	"net/netip"
	"time"
)

// Config is a router.toml that passed every check, with defaults filled in.
type Config struct {
	Hostname   string
	Interfaces []Interface // sorted by name
	Routes     []Route     // in file order
	Forwarding bool        // route between interfaces, IPv4 and IPv6
	Sysctls    []Sysctl    // sorted by key
	DNS        DNS
	NTP        NTP
	Console    Console
	SSH        SSH
}

// Kind says what an Interface is made of.
type Kind string

// The kinds of interface.
const (
	Physical Kind = "physical" // a device that the kernel found
	VLAN     Kind = "vlan"     // 802.1Q tag over another interface
	Bridge   Kind = "bridge"   // 802.1D bridge with members
	Loopback Kind = "loopback" // lo, with the box's own addresses
)

// Interface is one [interface.NAME].
type Interface struct {
	Name      string // the operator's name, e.g. "wan"; at most 15 characters
	Line      int    // in router.toml, for messages
	Kind      Kind
	Device    Selector       // Physical: which device
	Over      string         // VLAN: the interface that carries it
	VLANID    int            // VLAN: 1..4094
	Members   []string       // Bridge: interfaces, sorted
	STP       bool           // Bridge: spanning tree
	Up        bool           // default true
	MTU       int            // 0 leaves the driver's; 576..9216, at least 1280 with IPv6
	Addresses []netip.Prefix // static, host bits kept, e.g. 192.168.0.1/24
	DHCP4     DHCP4
	SLAAC     bool // take IPv6 addresses and default route from router advertisements
}

// Selector names a device in one of four ways; exactly one is set.
type Selector struct {
	Name string // kernel name, e.g. "eth0"
	MAC  string // lower case, e.g. "52:54:00:12:34:56"
	Path string // bus path, e.g. "pci-0000:00:10.0"
	Port string // label on the case, from board.toml, e.g. "WAN"
}

// DHCP4 configures the DHCPv4 client of an interface (RFC 2131).
type DHCP4 struct {
	Enabled      bool
	Hostname     string // option 12; empty sends none
	ClientID     string // option 61, printable ASCII, at most 254; empty sends the hardware address
	DefaultRoute bool   // install the default and classless routes; default true
	Metric       int    // of those routes; default 100
	UseDNS       bool   // default true
	UseNTP       bool   // default true
}

// Route is one [[route]].
type Route struct {
	Line      int
	To        netip.Prefix // 0.0.0.0/0 and ::/0 for "default"
	Via       netip.Addr   // zero for a directly connected or blackhole route
	Interface string       // where Via is not enough; zero for none
	Metric    int          // 0 means the kernel's default (IPv4 0, IPv6 1024)
	Table     int          // default 254, the main table
	Blackhole bool
}

// Sysctl is one kernel setting below /proc/sys.
type Sysctl struct {
	Key   string // "net.core.rmem_max"
	Value string
}

// DNS is how the box itself resolves names.
type DNS struct {
	Servers []netip.Addr // asked before those that DHCP names
	Search  []string
}

// NTP is how the box sets its clock.
type NTP struct {
	Servers  []string      // names or addresses; beside those that DHCP names
	Interval time.Duration // between two queries once the clock is set; default 30 min
}

// Console is the serial console menu.
type Console struct {
	Ports   []string // e.g. "ttyS0"; empty takes the board's console
	Speed   int      // bit/s; 0 takes the board's
	Trusted *bool    // true shows the menu to whoever holds the cable; nil takes the board's
}

// SSH is the way in over the network.
type SSH struct {
	Interfaces []string // in file order; empty: it is off
	Port       int      // default 22
}
