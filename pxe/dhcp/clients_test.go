package dhcp

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"tench/pxe/event"
)

// The clients below send what such clients were seen to send, or what their
// documentation says, where that is named.

var (
	self     = netip.MustParsePrefix("192.0.2.1/24")
	mac      = event.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}
	piMAC    = event.MAC{0xb8, 0x27, 0xeb, 1, 2, 3}
	start    = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	nobody   = netip.MustParseAddrPort("0.0.0.0:68")
	testUUID = []byte{0, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x30, 0x31, 0x40, 0x41, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55}
)

// option is a raw option of a message.
func option(code uint8, value string) dhcpv4.Modifier {
	return dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), []byte(value))
}

// ask is a client's message of a kind.
func ask(m event.MAC, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	d := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootRequest, HWType: iana.HWTypeEthernet, ClientHWAddr: m[:], TransactionID: dhcpv4.TransactionID{1, 2, 3, 4},
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero,
		Options: dhcpv4.Options{},
	}
	if kind != dhcpv4.MessageTypeNone {
		d.UpdateOption(dhcpv4.OptMessageType(kind))
	}
	for _, mod := range mods {
		mod(d)
	}
	return d
}

// asClient are the options by which a client says what it is.
type asClient []dhcpv4.Modifier

var (
	ipxeROM = asClient{
		option(93, "\x00\x00"), option(94, "\x01\x02\x01"), option(60, "PXEClient:Arch:00000:UNDI:002001"), option(77, "iPXE"),
		option(175, "\xb1\x05\x01\x80\x86\x10\x0e"), option(61, "\x01RT\x00\x124V"), option(97, string(make([]byte, 17))),
		option(55, "\x01\x03\x06\x07\x0c\x0f\x11+<BCw\x80\x81\x82\x83\x84\x85\x86\x87\xaf\xcb"), option(57, "\x05\xc0"),
	}
	ipxeEFI = asClient{
		option(93, "\x00\x07"), option(94, "\x01\x03\x10"), option(60, "PXEClient:Arch:00007:UNDI:003016"), option(77, "iPXE"),
		option(175, "\xb1\x05\x01\x80\x86\x10\x0e"), option(97, string(testUUID)),
	}
	ovmf = asClient{
		dhcpv4.WithBroadcast(true), option(93, "\x00\x07"), option(94, "\x01\x03\x00"), option(97, string(testUUID)),
		option(60, "PXEClient:Arch:00007:UNDI:003000"), option(57, "\x05\xb8"),
	}
	ovmfHTTP = asClient{
		dhcpv4.WithBroadcast(true), option(93, "\x00\x10"), option(94, "\x01\x03\x00"), option(97, string(testUUID)),
		option(60, "HTTPClient:Arch:00016:UNDI:003000"),
	}
	aavmf  = asClient{dhcpv4.WithBroadcast(true), option(93, "\x00\x0b"), option(60, "PXEClient:Arch:00011:UNDI:003000"), option(97, string(testUUID))}
	efi32  = asClient{option(93, "\x00\x06"), option(60, "PXEClient:Arch:00006:UNDI:003000")}
	intel  = asClient{option(60, "PXEClient:Arch:00000:UNDI:002001"), option(93, "\x00\x00"), option(94, "\x01\x02\x01")} // no 97
	noArch = asClient{option(60, "PXEClient:Arch:00009:UNDI:003010")}
	pi3    = asClient{
		option(60, "PXEClient:Arch:00000:UNDI:002001"), option(93, "\x00\x00"), option(94, "\x01\x02\x01"),
		option(97, "\x00"+string(bytes.Repeat([]byte{0x44}, 16))),
	}
	pi4     = asClient{option(60, "PXEClient:Arch:00000:UNDI:002001"), option(93, "\x00\x00"), option(97, "\x00RPi4\x11\x31\xc0\x00\x01\x02\x03\x04\x10\x20\x30\x40")}
	freeBSD = asClient{option(60, "PXEClient"), option(77, "\x07FreeBSD"), option(55, "\x01\x11\x03\x0c\x96")} // pxeboot(8)
	uboot   = asClient{option(60, "U-Boot.armv8"), option(93, "\x00\x16"), option(94, "\x01\x00\x00"), option(55, "\x01\x03\x06\x0c\x11")}
	netBSD  = asClient{option(60, "NetBSD:i386:libsa")}
	uroot   = asClient{option(60, "PXE UROOT"), option(55, "\x01BC")}
	udhcpc  = asClient{option(60, "udhcp 1.35.0"), option(12, "gw0"), option(55, "\x01\x03\x06")}
)

func TestClassify(t *testing.T) {
	for _, tc := range []struct {
		name   string
		mac    event.MAC
		client asClient
		want   string // Client.String
		boots  bool
		uuid   string
	}{
		{"iPXE as a network card's ROM", mac, ipxeROM, "iPXE on x86 BIOS", true, ""},
		{"iPXE under UEFI", mac, ipxeEFI, "iPXE on x64 UEFI", true, "10111213-2021-3031-4041-505152535455"},
		{"iPXE without its user class", mac, asClient{option(175, "\x01\x01\x01")}, "iPXE", true, ""},
		{"iPXE with a user class as in RFC 3004", mac, asClient{option(77, "\x04iPXE")}, "iPXE", true, ""},
		{"64-bit UEFI", mac, ovmf, "x64 UEFI", true, "10111213-2021-3031-4041-505152535455"},
		{"64-bit UEFI that says EBC", mac, asClient{option(93, "\x00\x09"), option(60, "PXEClient")}, "x64 UEFI", true, ""},
		{"64-bit UEFI, HTTP boot", mac, ovmfHTTP, "x64 UEFI, HTTP boot", true, "10111213-2021-3031-4041-505152535455"},
		{"arm64 UEFI", mac, aavmf, "arm64 UEFI", true, "10111213-2021-3031-4041-505152535455"},
		{"32-bit UEFI", mac, efi32, "ia32 UEFI", true, ""},
		{"Intel's boot agent without a UUID", mac, intel, "x86 BIOS", true, ""},
		{"architecture in the vendor class only", mac, noArch, "x64 UEFI", true, ""},
		{"a Raspberry Pi 3", mac, pi3, "Raspberry Pi ROM", true, "44444444-4444-4444-4444-444444444444"},
		{"a Raspberry Pi 4", mac, pi4, "Raspberry Pi ROM", true, "52506934-1131-c000-0102-030410203040"},
		{"a Raspberry Pi by its address", piMAC, intel, "Raspberry Pi ROM", true, ""},
		{"iPXE on a Raspberry Pi", piMAC, asClient{option(93, "\x00\x0b"), option(77, "iPXE"), option(60, "PXEClient:Arch:00011")}, "iPXE on arm64 UEFI", true, ""},
		{"FreeBSD's loader", mac, freeBSD, "FreeBSD", true, ""},
		{"U-Boot", mac, uboot, "U-Boot", true, ""},
		{"U-Boot that says its architecture only", mac, asClient{option(93, "\x00\x15")}, "U-Boot", true, ""},
		{"NetBSD's second stage", mac, netBSD, "NetBSD", true, ""},
		{"u-root's pxeboot", mac, uroot, "u-root", true, ""},
		{"an operating system", mac, udhcpc, "no boot client", false, ""},
		{"an unknown architecture", mac, asClient{option(93, "\x01\x00"), option(60, "PXEClient:Arch:00256")}, "unknown firmware", true, ""},
		{"an empty list of architectures", mac, asClient{option(93, "")}, "no boot client", false, ""},
		{"half an architecture", mac, asClient{option(93, "\x07")}, "no boot client", false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := classify(ask(tc.mac, dhcpv4.MessageTypeDiscover, tc.client...))
			if c.String() != tc.want || c.Boots != tc.boots || c.UUID != tc.uuid {
				t.Errorf("classify = %v, boots %v, UUID %q; want %v, %v, %q", c, c.Boots, c.UUID, tc.want, tc.boots, tc.uuid)
			}
		})
	}
}

// TestCPUOfUBoot tells the boxes apart that U-Boot starts.
func TestCPUOfUBoot(t *testing.T) {
	for name, tc := range map[string]struct {
		client asClient
		want   string
	}{
		"both":                {uboot, "arm64"},
		"its class":           {asClient{option(60, "U-Boot.armv7")}, "arm"},
		"an old one's class":  {asClient{option(60, "U-boot.arm")}, "arm"},
		"its architecture":    {asClient{option(93, "\x00\x15")}, "arm"},
		"no word":             {asClient{option(60, "U-Boot")}, ""},
		"no U-Boot":           {aavmf, ""},
		"no U-Boot, an x.arm": {asClient{option(60, "x.arm"), option(93, "\x00\x00")}, ""},
	} {
		if got := classify(ask(mac, dhcpv4.MessageTypeDiscover, tc.client...)).CPU; got != tc.want {
			t.Errorf("%s: CPU %q, want %q", name, got, tc.want)
		}
	}
}

// TestTextsAreBounded checks what a client may make us keep.
func TestTextsAreBounded(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 1000))
	c := classify(ask(mac, dhcpv4.MessageTypeDiscover, option(60, long), option(12, long)))
	if len(c.Vendor) != largestText || len(c.Host) != largestText {
		t.Errorf("kept %d and %d bytes, want %d", len(c.Vendor), len(c.Host), largestText)
	}
}
