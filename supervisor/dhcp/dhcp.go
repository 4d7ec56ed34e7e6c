// Package dhcp is the DHCPv4 client (RFC 2131) of one interface.
//
//	dhcp.go           Config, New
//	machine.go        the automaton: clock, random numbers and packets go in,
//	                  packets and changes of the lease come out
//	message.go        the messages it sends
//	grant.go          what a server's message grants, checked
//	record.go         the lease file
//	announce.go       the ARP packet that tells the neighbours of an address
//	client_linux.go   Run: sockets, timers, link state
//	socket_linux.go   the sockets: of a link (internal/rawudp), and of an address
//
// Messages are encoded and parsed by github.com/insomniacslk/dhcp. The client
// only reports (unit.Lease, unit.State); the address is put on the link by the
// loop.
//
// Where it deviates from RFC 2131, and why:
//
//   - It does not wait 1 to 10 seconds before the first DISCOVER (4.4.1): that
//     is against many hosts starting together on one wire, and a router's
//     uplink has few.
//   - The first retransmission comes after 0.5 s, not 4 s (4.1), because
//     switches and modems often forward only some moments after the carrier is
//     there. The pause doubles up to 32 s instead of 64 s.
//   - It takes the first good offer instead of collecting them.
//   - It does not probe the address with ARP before use (4.4.1, RFC 5227),
//     which would cost seconds of each boot; servers probe before they offer.
//     It announces the address with one ARP packet instead.
//   - It sends no RELEASE when it ends: the box keeps its address over a
//     restart of the loop and over a reboot.
//
// The clock is CLOCK_BOOTTIME, which setting the wall clock does not move: a
// box without a battery clock gets its time after its lease.
package dhcp

import (
	"tench/config"
	"tench/supervisor/system"
	"tench/supervisor/unit"
)

// Config is what a client needs to know.
type Config struct {
	Interface string // name in router.toml, e.g. "wan"
	Link      string // kernel name, e.g. "eth0"
	DHCP4     config.DHCP4
	StateDir  string // holds the lease file, dhcp-INTERFACE.json
}

// New returns the client for one interface.
func New(cfg Config, sys system.System) unit.Unit {
	return &client{cfg: cfg, sys: sys, name: "dhcp " + cfg.Interface}
}
