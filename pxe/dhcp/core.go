package dhcp

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"tench/pxe/event"
)

// UDP ports.
const (
	serverPort = 67   // RFC 2131, 4.1
	clientPort = 68   // the same
	bootPort   = 4011 // the boot server of the PXE specification
)

// core says what is answered to a packet. It has no sockets and no clock. One
// goroutine owns it.
//
//	packet ─▶ read ─▶ limit ─▶ classify ─▶ rule of mode, port and message ─▶ outcome
//	                                         └─▶ decide (the caller's)
type core struct {
	mode   Mode // Full or Proxy
	server netip.Prefix
	decide func(Client) Boot
	pool   *pool // nil in proxy mode
	limit  *limiter
	// near is the kernel's neighbour table, asked when an address is given.
	near func() map[netip.Addr]neighbour
}

// packet is what came in on one of our ports.
type packet struct {
	payload []byte
	from    netip.AddrPort
	port    uint16 // ours: 67 or 4011
}

// outcome is what becomes of it.
type outcome struct {
	reply []byte // nil for none
	to    netip.AddrPort
	// look is an address that was offered: is somebody there already?
	look   netip.Addr
	events []event.Event
	// other is a server that the client named; not valid for none.
	other netip.Addr
}

// exchange is one packet on its way through the rules.
type exchange struct {
	*core
	packet
	m    *dhcpv4.DHCPv4
	who  Client
	boot Boot
	now  time.Time
	out  outcome
}

// rules are what is done about a message. What is not here is not answered.
type rules map[dhcpv4.MessageType]func(*exchange)

// fullRules are those of port 67 in full mode; the others are in proxy.go.
var fullRules = rules{
	dhcpv4.MessageTypeDiscover: (*exchange).offer,
	dhcpv4.MessageTypeRequest:  (*exchange).request,
	dhcpv4.MessageTypeDecline:  (*exchange).decline,
	dhcpv4.MessageTypeRelease:  (*exchange).release,
	dhcpv4.MessageTypeInform:   (*exchange).inform,
	dhcpv4.MessageTypeNone:     (*exchange).bootp,
}

// receive takes one packet.
func (c *core) receive(p packet, now time.Time) outcome {
	x := &exchange{core: c, packet: p, now: now}
	m, err := read(p.payload)
	if err != nil {
		if c.limit.take(event.MAC{}, now) == pass {
			x.silent("not a DHCP message, %d bytes from %v: %v", len(p.payload), p.from, err)
		}
		return x.out
	}
	x.m, x.who = m, classify(m)
	switch c.limit.take(x.who.MAC, now) {
	case ignore:
		return x.out
	case say:
		x.silent("more than %d packets a second", perClient)
		return x.out
	}
	x.rule()
	return x.out
}

// rule runs the rule for the message.
func (x *exchange) rule() {
	table := fullRules
	switch {
	case x.port == bootPort:
		table = bootServerRules
	case x.mode == Proxy:
		table = proxyRules
	}
	kind := x.m.MessageType()
	rule := table[kind]
	if rule == nil {
		x.silent("nothing is answered to %s on port %d in %s mode", strings.ToUpper(kind.String()), x.port, x.mode)
		return
	}
	x.boot = x.decide(x.who)
	rule(x)
}

// largestPacket is what we read of a packet; a longer one is refused.
const largestPacket = largestFrame - headers

// read parses a message from a client.
func read(b []byte) (*dhcpv4.DHCPv4, error) {
	if len(b) > largestPacket {
		return nil, fmt.Errorf("larger than %d bytes", largestPacket)
	}
	m, err := dhcpv4.FromBytes(b)
	if err != nil {
		return nil, err
	}
	switch {
	case m.OpCode != dhcpv4.OpcodeBootRequest:
		return nil, fmt.Errorf("not from a client")
	case m.HWType != iana.HWTypeEthernet || len(m.ClientHWAddr) != len(event.MAC{}):
		return nil, fmt.Errorf("not from Ethernet")
	}
	if mac := event.MAC(m.ClientHWAddr); mac.IsZero() || mac[0]&1 != 0 {
		return nil, fmt.Errorf("from %v, which is no station's address", m.ClientHWAddr)
	}
	return m, nil
}

// say adds an event about the client.
func (x *exchange) say(kind event.Kind, ip netip.Addr, format string, args ...any) {
	x.out.events = append(x.out.events, event.Event{
		Time: x.now, Box: x.who.MAC, IP: ip, Kind: kind, Rule: x.boot.Rule, Text: fmt.Sprintf(format, args...),
	})
}

// asks says that a client asks for an address or a boot server.
func (x *exchange) asks() {
	x.say(event.Discover, netip.Addr{}, "%v", x.who)
	e := &x.out.events[len(x.out.events)-1]
	if e.Loader = x.who.Loader; !x.who.Boots {
		e.Loader = event.System
	}
}

// silent says why there is no answer.
func (x *exchange) silent(format string, args ...any) {
	x.say(event.Silent, netip.Addr{}, format, args...)
}

// quiet reports whether the caller wants no answer, and says so.
func (x *exchange) quiet() bool {
	if x.boot.Silent != "" {
		x.silent("%s", x.boot.Silent)
	}
	return x.boot.Silent != ""
}

// send makes r the reply and says so.
func (x *exchange) send(r *dhcpv4.DHCPv4, to netip.AddrPort, kind event.Kind, ip netip.Addr, text string) bool {
	b, err := encode(r, x.m)
	if err != nil {
		x.silent("%v", err)
		return false
	}
	x.out.reply, x.out.to = b, to
	x.say(kind, ip, "%s", text)
	x.out.events[len(x.out.events)-1].File = x.boot.File
	return true
}
