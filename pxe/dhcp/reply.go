package dhcp

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// largestFile is the room of the header's field for the boot file, in bytes, with
// a zero at the end.
const largestFile = 127

const (
	headers      = 28   // IPv4 and UDP, in bytes
	leastMessage = 576  // what every client takes, with headers (RFC 2131, 2)
	largestFrame = 1500 // boot ROMs put no fragments together
)

// reply begins the answer to m, with what every answer repeats.
func (c *core) reply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	r := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: m.HWType, ClientHWAddr: m.ClientHWAddr, TransactionID: m.TransactionID,
		Flags: m.Flags, GatewayIPAddr: m.GatewayIPAddr,
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero,
		Options: dhcpv4.Options{},
	}
	if kind != dhcpv4.MessageTypeNone { // BOOTP has none (RFC 1534)
		r.UpdateOption(dhcpv4.OptMessageType(kind))
		r.UpdateOption(dhcpv4.OptServerIdentifier(c.self()))
	}
	for _, code := range []dhcpv4.OptionCode{
		dhcpv4.OptionClientIdentifier,        // RFC 6842
		dhcpv4.OptionRelayAgentInformation,   // RFC 3046
		dhcpv4.OptionClientMachineIdentifier, // RFC 4578: only if it was sent; some ROMs have none
	} {
		if m.Options.Has(code) {
			r.UpdateOption(dhcpv4.OptGeneric(code, m.Options.Get(code)))
		}
	}
	return r
}

// self is our address for the library.
func (c *core) self() net.IP { return c.server.Addr().AsSlice() }

// addNetwork adds what a client needs of its network. There is no router and no
// name server: a box that boots finds all it needs here.
func (c *core) addNetwork(r *dhcpv4.DHCPv4) {
	mask := net.CIDRMask(c.server.Bits(), 32)
	r.UpdateOption(dhcpv4.OptSubnetMask(mask))
	base := c.server.Masked().Addr().As4()
	for i := range base {
		base[i] |= ^mask[i]
	}
	r.UpdateOption(dhcpv4.OptBroadcastAddress(net.IP(base[:])))
}

// addLease adds how long the address is the client's.
func addLease(r *dhcpv4.DHCPv4) {
	r.UpdateOption(dhcpv4.OptIPAddressLeaseTime(leaseTime))
	r.UpdateOption(dhcpv4.OptRenewTimeValue(leaseTime / 2))
	r.UpdateOption(dhcpv4.OptRebindingTimeValue(leaseTime / 8 * 7))
}

// addBoot adds where the boot file is, everywhere that clients look for it: many
// read only the header, others only the options.
func (c *core) addBoot(r *dhcpv4.DHCPv4, who Client, b Boot) {
	if b.RootPath != "" {
		r.UpdateOption(dhcpv4.OptRootPath(b.RootPath))
	}
	if b.File == "" {
		return
	}
	// The server's name is its address: OpenBSD's installer takes the name for
	// the place of its answers and sets, before it looks at the address.
	name, end := c.server.Addr().String(), ""
	if who.Loader == "" && who.Firmware == BIOS {
		end = "\x00" // old ROMs read options up to a zero
	}
	r.ServerIPAddr, r.ServerHostName = c.self(), name
	if len(b.File) <= largestFile {
		r.BootFileName = b.File
	}
	r.UpdateOption(dhcpv4.OptTFTPServerName(name + end))
	r.UpdateOption(dhcpv4.OptBootFileName(b.File + end))
	// FreeBSD's loader takes option 150 for "root-path is by TFTP".
	r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionTFTPServerAddress, c.self()))
}

// addClass adds the vendor class, and what goes with it. A client of UEFI HTTP
// boot takes only offers of its own class. PXE clients take one with the class
// for a proxy's, and go on to port 4011 even where it came with an address, so
// that only proxies send it; but a Raspberry Pi knows a boot server by nothing
// else.
func addClass(r *dhcpv4.DHCPv4, who Client, proxy bool) {
	switch {
	case who.HTTP && who.Loader == "":
		r.UpdateOption(dhcpv4.OptClassIdentifier("HTTPClient"))
	case who.Firmware == RaspberryPi:
		r.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient"))
		setVendor(r, dhcpv4.Options{
			pxeControl: {3},
			pxeMenu:    []byte("\x00\x00\x11Raspberry Pi Boot"),
			pxePrompt:  []byte("\x00PXE"),
		})
	case proxy:
		r.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient"))
		// UEFI, but not iPXE in it, often knows no discovery control. Without
		// option 43 all of it asks once more on port 4011.
		if !who.Firmware.EFI() || who.Loader == "iPXE" {
			setVendor(r, dhcpv4.Options{pxeControl: {pxeBootFile}})
		}
	}
}

// Sub-options of option 43 for PXE clients (PXE specification 2.1, table 2-1).
const (
	pxeControl = 6  // discovery control, a byte of bits
	pxeMenu    = 9  // boot servers to choose from: type, length, text
	pxePrompt  = 10 // seconds, text
	pxeItem    = 71 // which boot server was chosen: type and layer
)

// pxeBootFile of pxeControl: load the boot file of this very offer.
const pxeBootFile = 1 << 3

// setVendor sets option 43.
func setVendor(r *dhcpv4.DHCPv4, sub dhcpv4.Options) {
	r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, append(sub.ToBytes(), dhcpv4.OptionEnd.Code())))
}

// noProxyWait is in option 175 for iPXE: nobody else will name a boot file
// (sub-option 176), which saves its wait of 3 s for a proxy.
var noProxyWait = dhcpv4.OptGeneric(dhcpv4.OptionEtherboot, []byte{176, 1, 1})

// spare are the options that a client can do without, the least needed first.
var spare = []dhcpv4.OptionCode{
	dhcpv4.OptionBroadcastAddress, dhcpv4.OptionRebindingTimeValue, dhcpv4.OptionRenewTimeValue,
	dhcpv4.OptionTFTPServerName, dhcpv4.OptionTFTPServerAddress,
}

// encode is r as bytes, in the size that the client takes (option 57 of m).
func encode(r, m *dhcpv4.DHCPv4) ([]byte, error) {
	limit := leastMessage
	if n, err := m.MaxMessageSize(); err == nil {
		limit = min(max(limit, int(n)), largestFrame)
	}
	limit -= headers
	b := r.ToBytes()
	for i := 0; len(b) > limit && i < len(spare); i++ {
		r.DeleteOption(spare[i])
		b = r.ToBytes()
	}
	if len(b) > limit {
		return nil, fmt.Errorf("an answer of %d bytes is more than the client's %d", len(b), limit)
	}
	return b, nil
}

// destination is where a reply to m goes (RFC 2131, 4.1). from is where m came
// from.
func (c *core) destination(m, r *dhcpv4.DHCPv4) netip.AddrPort {
	broadcast := netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), clientPort)
	if relay := address(m.GatewayIPAddr); relay.IsValid() {
		return netip.AddrPortFrom(relay, serverPort)
	}
	// A client that gives an address of another network gave a wrong one.
	has := address(m.ClientIPAddr)
	if has.IsValid() && c.server.Contains(has) && r.MessageType() != dhcpv4.MessageTypeNak {
		return netip.AddrPortFrom(has, clientPort)
	}
	return broadcast
}

// address is a field's address; not valid for 0.0.0.0 and for what cannot be a
// station's.
func address(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}
	}
	return a
}
