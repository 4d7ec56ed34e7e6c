package dhcp

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"tench/internal/rawudp"
	"tench/pxe/event"
)

const (
	// tellAgain is after how long a server is told of again that goes on answering:
	// before package track forgets it, which shows what it heard of in ten minutes.
	tellAgain = 5 * time.Minute
	// quietTime is after how long one that was told of makes room for others.
	quietTime = 10 * time.Minute
	// mostOthers bounds how many we keep in mind.
	mostOthers = 64
)

// others are the DHCP servers on the wire that are not we. One goroutine owns it.
type others struct {
	mode   Mode
	server netip.Prefix
	heard  map[netip.Addr]time.Time // when it was told of last
}

// hear notes that a server was heard, and says so when it is due.
func (o *others) hear(f Found, now time.Time) (event.Event, bool) {
	if !f.Server.IsValid() || f.Server == o.server.Addr() {
		return event.Event{}, false
	}
	told, known := o.heard[f.Server]
	if known && now.Sub(told) < tellAgain {
		return event.Event{}, false
	}
	if !known && len(o.heard) >= mostOthers {
		maps.DeleteFunc(o.heard, func(_ netip.Addr, told time.Time) bool { return now.Sub(told) >= quietTime })
		if len(o.heard) >= mostOthers {
			return event.Event{}, false
		}
	}
	o.heard[f.Server] = now
	return event.Event{Time: now, IP: f.Server, Kind: event.Foreign, Text: o.meaning(f)}, true
}

// meaning is what the server means for our boxes.
func (o *others) meaning(f Found) string {
	switch {
	case f.Proxy:
		return fmt.Sprintf("%v names boot files here too: a box follows whom it hears first", f)
	case o.mode == Full:
		return fmt.Sprintf("%v gives addresses here too: a box that takes one of it never comes to us; unplug it, or start again with --mode proxy", f)
	}
	return fmt.Sprintf("%v gives the addresses here", f)
}

// found reads a server's message. It is nothing for messages of others.
func found(payload []byte, from netip.Addr, mac event.MAC) (Found, bool) {
	m, err := dhcpv4.FromBytes(payload)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootReply {
		return Found{}, false
	}
	f := Found{Server: address(m.ServerIdentifier()), MAC: mac, Offered: address(m.YourIPAddr), Next: address(m.ServerIPAddr), File: m.BootFileName}
	if !f.Server.IsValid() {
		f.Server = address(from.AsSlice())
	}
	if name := m.BootFileNameOption(); f.File == "" {
		f.File = name
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeOffer:
		f.Proxy = !f.Offered.IsValid() && strings.HasPrefix(m.ClassIdentifier(), "PXEClient")
	case dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak:
	default:
		return Found{}, false
	}
	return f, f.Server.IsValid()
}

// merge adds what was found to a list that has each server once. The answer that
// names a boot file says most.
func merge(list []Found, f Found) []Found {
	for i, old := range list {
		if old.Server != f.Server {
			continue
		}
		f.Proxy = f.Proxy && old.Proxy
		if f.File == "" {
			f.File, f.Next = old.File, old.Next
		}
		if !f.Offered.IsValid() {
			f.Offered = old.Offered
		}
		list[i] = f
		return list
	}
	return append(list, f)
}

// probes are the messages that other servers answer: one of a plain client, and
// one of a PXE client for servers that know no others. The identifier keeps the
// lease that this machine may have itself.
func probes(mac net.HardwareAddr, xid [2]dhcpv4.TransactionID) [][]byte {
	var list [][]byte
	for i, id := range xid {
		m := &dhcpv4.DHCPv4{
			OpCode: dhcpv4.OpcodeBootRequest, HWType: iana.HWTypeEthernet, ClientHWAddr: mac, TransactionID: id, Flags: 0x8000,
			ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero,
			Options: dhcpv4.Options{},
		}
		asked := []dhcpv4.OptionCode{dhcpv4.OptionSubnetMask, dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName}
		m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeDiscover))
		m.UpdateOption(dhcpv4.OptClientIdentifier(append([]byte("\x00tench probe "), bytes.Clone(mac)...)))
		m.UpdateOption(dhcpv4.OptParameterRequestList(asked...))
		if i == 1 {
			m.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001"))
			m.UpdateOption(dhcpv4.OptClientArch(iana.INTEL_X86PC))
			m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 2, 1}))
			m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, make([]byte, 17)))
		}
		list = append(list, rawudp.Datagram{
			From: netip.AddrPortFrom(netip.IPv4Unspecified(), clientPort), Payload: m.ToBytes(),
			To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), serverPort),
		}.Encode())
	}
	return list
}
