// Package system is the only door to the kernel, /proc and /sys on the box.
//
//	system.go          the interfaces, and the types that pass through the door
//	kernel_linux.go    Kernel, the real thing: sysctls, host name, resolv.conf
//	dump_linux.go      links, addresses and routes as rtnetlink(7) reports them
//	change_linux.go    changes to links, addresses and routes
//	notify_linux.go    the kernel's notice that something changed
//	clock_linux.go     the clocks
//	sysctl.go          names of kernel settings and their files
//	file.go            files that a power cut cannot halve
//	path.go            where on its buses a device sits
//	fake.go            Fake, a kernel in memory for tests
//
// Kernel works in the network namespace of the process, so that labs run the
// same code as the box. Links are named, not numbered: the loop plans by name,
// and a device that was pulled and put back has a new index but its old name.
package system

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// System is all that the box's network side may ask of a kernel.
type System interface {
	Network
	Sysctls
	Host
	Clock
}

// Network reads and changes links, addresses and routes. Each change is done
// when it returns; one that finds its work already done returns nil.
type Network interface {
	// Dump reads everything at once.
	Dump() (Dump, error)
	// Link reads one link by its kernel name. The error is ErrNoLink when there
	// is none of that name.
	Link(name string) (Link, error)
	// Notify returns a channel that holds a token after anything in topic
	// changed since the last token was taken, or may have. It is closed when
	// ctx ends.
	Notify(ctx context.Context, topic Topic) (<-chan struct{}, error)

	// AddLink makes a device and marks it as ours (see Link.Ours).
	AddLink(l NewLink) error
	DeleteLink(name string) error
	SetUp(name string, up bool) error
	SetMTU(name string, mtu int) error
	SetMaster(name, bridge string) error // bridge "" takes it out of its bridge
	SetSTP(bridge string, on bool) error
	// MarkOurs marks a made device as ours.
	MarkOurs(name string) error

	AddAddress(link string, prefix netip.Prefix) error
	DeleteAddress(a Address) error

	AddRoute(r Route, how AddMode) error
	DeleteRoute(r Route) error
}

// Sysctls reads and writes the files below /proc/sys. Keys are written as
// sysctl(8) takes them, see SysctlPath. Values are without a final newline.
type Sysctls interface {
	ReadSysctl(key string) (string, error)
	WriteSysctl(key, value string) error
}

// Host is what the box is called and how it resolves names.
type Host interface {
	Hostname() (string, error)
	SetHostname(name string) error
	// ReadResolvConf returns nil when there is no such file.
	ReadResolvConf() ([]byte, error)
	WriteResolvConf(data []byte) error
}

// Clock is the wall clock and the one that never jumps.
type Clock interface {
	Now() time.Time
	// Boottime is CLOCK_BOOTTIME: time since the kernel started. Setting the
	// wall clock does not move it.
	Boottime() time.Duration
	// BootID tells one boot from another (random(4)).
	BootID() string
	// StepClock sets the wall clock at once.
	StepClock(to time.Time) error
	// SlewClock lets the wall clock run up to 0.05 % faster or slower until it
	// has moved by offset (adjtime(3)); it replaces a slew under way.
	SlewClock(offset time.Duration) error
}

// ErrNoLink is wrapped by errors about a link that does not exist.
var ErrNoLink = errors.New("no such device")

// Topic says which changes Notify tells of.
type Topic int

// The topics.
const (
	Links    Topic = iota // link state and carrier
	Anything              // links, addresses and routes, IPv4 and IPv6
)

// Dump is the network at one moment. Slices are in the kernel's order.
type Dump struct {
	Links     []Link
	Addresses []Address
	// Routes holds those with protocol ProtocolTench or ProtocolRA in all
	// tables; routes of others are not asked for.
	Routes []Route
}

// Link is a network device.
type Link struct {
	Name     string
	Index    int
	Kind     string // kernel's link kind: "" for physical devices, "dsa", "vlan", "bridge", "veth" …
	MAC      string // lower case with colons; "" where there is none
	PermMAC  string // the one in the hardware; "" where the kernel knows none
	Path     string // bus path as udev's ID_PATH, e.g. "pci-0000:00:10.0"; "" for made devices
	Parent   string // vlan: device below
	VLANID   int    // vlan: 802.1Q tag
	Master   string // bridge it is a member of
	STP      bool   // bridge: spanning tree is on
	MTU      int
	Up       bool // administratively up
	Carrier  bool // up, and with a link partner
	Loopback bool
	Ours     bool // made by tench: its alias (ip-link(8)) is OurAlias
}

// IsPort reports whether a link is a port of the box: the kernel names no kind for
// one, and "dsa" for those of a switch chip.
func (l Link) IsPort() bool { return (l.Kind == "" || l.Kind == "dsa") && !l.Loopback }

// OurAlias is the interface alias that marks devices made by tench. It outlives
// a restart of the loop, and `ip link` shows it.
const OurAlias = "tench"

// NewLink is a device to make.
type NewLink struct {
	Name   string
	Kind   string // "vlan" or "bridge"
	Parent string // vlan
	VLANID int    // vlan, 1..4094
}

// Address is an IP address on a link.
type Address struct {
	Link     string
	Prefix   netip.Prefix // with host bits, e.g. 192.168.0.1/24
	Peer     netip.Addr   // IPv4 point to point: the other end; zero otherwise
	Dynamic  bool         // has a lifetime: autoconfigured, temporary or leased by another program
	Autoconf bool         // made by the kernel from a router advertisement (RFC 4862)
}

// Route protocols, rtm_protocol of rtnetlink(7).
const (
	// ProtocolTench marks our routes. 116 is 't'; iproute2's rt_protos gives it
	// to nobody.
	ProtocolTench = 116
	// ProtocolRA marks the kernel's routes from router advertisements.
	ProtocolRA = 9
)

// Route is a route in the kernel. Metric is what the kernel reports, where an
// IPv6 route that was given none has 1024.
type Route struct {
	To        netip.Prefix
	Via       netip.Addr // zero: directly connected, or a blackhole
	Link      string     // "" for a blackhole, and for "wherever Via is" in a new route
	Metric    int
	Table     int
	Protocol  int // ProtocolTench in new routes, whatever is given
	Blackhole bool
}

// AddMode says what AddRoute does about routes to the same destination with
// the same metric in the same table.
type AddMode int

// The modes of AddRoute.
const (
	Replace AddMode = iota // takes the place of the first of them, if any
	Append                 // comes behind them; in IPv6 it shares the traffic with them
)
