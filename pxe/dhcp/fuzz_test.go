package dhcp

import (
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/pxe/event"
)

// FuzzReceive sends any bytes to both ports in both modes. Whatever comes, an
// answer can be read, fits a frame, and goes to one station or to all; and it is
// said what was done.
func FuzzReceive(f *testing.F) {
	for _, c := range []asClient{ipxeROM, ipxeEFI, ovmf, ovmfHTTP, aavmf, efi32, intel, noArch, pi3, pi4, freeBSD, uboot, netBSD, uroot, udhcpc} {
		for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeNone, dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform} {
			f.Add(ask(mac, kind, c...).ToBytes(), "loader")
		}
	}
	f.Add(ask(mac, dhcpv4.MessageTypeDecline, requested(netip.MustParseAddr("192.0.2.200"))).ToBytes(), "")
	f.Add(ask(mac, dhcpv4.MessageTypeRelease, option(43, "\x47\x04\x00\x00\x00\x00")).ToBytes(), "http://192.0.2.1/x")
	f.Fuzz(func(t *testing.T, b []byte, file string) {
		for _, mode := range []Mode{Full, Proxy} {
			for _, port := range []uint16{serverPort, bootPort} {
				bench := newBench(t, mode, self)
				bench.boot.File = file
				out := bench.receive(packet{payload: b, from: nobody, port: port}, start)
				if len(out.events) == 0 {
					t.Errorf("%s, port %d: nothing is said", mode, port)
				}
				if out.reply == nil {
					continue
				}
				r, err := dhcpv4.FromBytes(out.reply)
				if err != nil || r.OpCode != dhcpv4.OpcodeBootReply || len(out.reply) > largestPacket {
					t.Errorf("%s, port %d: reply of %d bytes: %v", mode, port, len(out.reply), err)
				}
				if a := out.to.Addr(); !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
					t.Errorf("%s, port %d: reply to %v", mode, port, out.to)
				}
			}
		}
	})
}

// FuzzFound reads any bytes as another server's message.
func FuzzFound(f *testing.F) {
	f.Add(from(dhcpv4.MessageTypeOffer, of("192.0.2.9")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if other, ok := found(b, self.Addr(), event.MAC{}); ok && !other.Server.Is4() {
			t.Errorf("a server at %v", other.Server)
		}
	})
}

// FuzzSolicited reads any bytes as a router solicitation.
func FuzzSolicited(f *testing.F) {
	f.Add([]byte("\x85\x00\x00\x00\x00\x00\x00\x00\x01\x01\x52\x54\x00\x12\x34\x56"), true)
	f.Fuzz(func(t *testing.T, b []byte, linkLocal bool) {
		from := netip.IPv6Unspecified()
		if linkLocal {
			from = netip.MustParseAddr("fe80::1")
		}
		if to, mac, err := solicited(b, 255, from); err == nil && (!to.Is6() || mac[0]&1 != 0) {
			t.Errorf("answer to %v, %v", to, mac)
		}
	})
}
