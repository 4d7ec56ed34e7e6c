package dhcp

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// UDP ports of DHCP (RFC 2131, 4.1).
const (
	serverPort = 67
	clientPort = 68
)

// asked are the options that the client asks servers for.
var asked = []dhcpv4.OptionCode{
	dhcpv4.OptionSubnetMask, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionRouter,
	dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName, dhcpv4.OptionInterfaceMTU,
	dhcpv4.OptionNTPServers, dhcpv4.OptionIPAddressLeaseTime,
	dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
}

// largestMessage is what we accept (option 57): a whole Ethernet frame.
const largestMessage = 1500

// message starts a message: type, transaction, addresses, and the options that
// every message has. The broadcast flag stays clear, since the packet socket
// hears unicast before there is an address (RFC 2131, 4.1).
func (m *machine) message(kind dhcpv4.MessageType, now time.Duration, more ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	id := append([]byte{1}, m.mac...) // hardware type 1: Ethernet (RFC 2132, 9.14)
	if m.cfg.ClientID != "" {
		id = []byte(m.cfg.ClientID)
	}
	p := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootRequest, HWType: 1, ClientHWAddr: m.mac, TransactionID: m.xid,
		NumSeconds:   uint16(min((now-m.started)/time.Second, 1<<16-1)),
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero,
		Options: dhcpv4.Options{},
	}
	options := append([]dhcpv4.Option{
		dhcpv4.OptMessageType(kind),
		dhcpv4.OptClientIdentifier(id),
		dhcpv4.OptParameterRequestList(asked...),
		dhcpv4.OptMaxMessageSize(largestMessage),
	}, more...)
	if m.cfg.Hostname != "" {
		options = append(options, dhcpv4.OptHostName(m.cfg.Hostname))
	}
	for _, o := range options {
		p.UpdateOption(o)
	}
	return p
}

// discover is the DISCOVER of SELECTING; it mentions the address we had.
func (m *machine) discover(now time.Duration) *outgoing {
	var more []dhcpv4.Option
	if m.hint.IsValid() {
		more = append(more, dhcpv4.OptRequestedIPAddress(m.hint.AsSlice()))
	}
	return &outgoing{message: m.message(dhcpv4.MessageTypeDiscover, now, more...)}
}

// request is the REQUEST of the present state; which fields it must and must
// not have is the table in RFC 2131, 4.3.6.
func (m *machine) request(now time.Duration) *outgoing {
	switch m.state {
	case requesting:
		return &outgoing{message: m.message(dhcpv4.MessageTypeRequest, now,
			dhcpv4.OptRequestedIPAddress(m.offer.Address.Addr().AsSlice()),
			dhcpv4.OptServerIdentifier(m.offer.Server.AsSlice()))}
	case rebooting:
		return &outgoing{message: m.message(dhcpv4.MessageTypeRequest, now,
			dhcpv4.OptRequestedIPAddress(m.hint.AsSlice()))}
	}
	// RENEWING and REBINDING
	out := &outgoing{message: m.message(dhcpv4.MessageTypeRequest, now), from: m.held.Address.Addr()}
	out.message.ClientIPAddr = out.from.AsSlice()
	if m.state == renewing {
		out.to = m.held.Server
	}
	return out
}

// outgoing is a message to send.
type outgoing struct {
	message *dhcpv4.DHCPv4
	from    netip.Addr // our address; zero while there is none
	to      netip.Addr // unicast to this server; zero to broadcast
}
