package dhcp

import (
	"net/netip"
	"testing"

	"tench/pxe/event"
)

func TestSolicited(t *testing.T) {
	const bare = "\x85\x00\x00\x00\x00\x00\x00\x00"
	const withMAC = bare + "\x01\x01\x52\x54\x00\x12\x34\x56"
	from := netip.MustParseAddr("fe80::5054:ff:fe12:3456")
	for _, tc := range []struct {
		name string
		b    string
		hop  int
		from netip.Addr
		to   string // "" for no answer
		mac  event.MAC
	}{
		{"with its Ethernet address", withMAC, 255, netip.MustParseAddr("fe80::1"), "fe80::1", mac},
		{"without one", bare, 255, from, "fe80::5054:ff:fe12:3456", mac},
		{"from no address", bare, 255, netip.IPv6Unspecified(), "ff02::1", event.MAC{}},
		{"without one, and an address that tells none", bare, 255, netip.MustParseAddr("fe80::1"), "fe80::1", event.MAC{}},
		{"from another link", withMAC, 64, from, "", mac},
		{"from a global address", withMAC, 255, netip.MustParseAddr("2001:db8::1"), "", mac},
		{"from no address, with one for Ethernet", withMAC, 255, netip.IPv6Unspecified(), "", mac},
		{"an option without a length", bare + "\x01\x00\x00\x00\x00\x00\x00\x00", 255, from, "", mac},
		{"an option that is cut off", bare + "\x01\x02\x00\x00\x00\x00\x00\x00", 255, from, "", mac},
		{"an option of one byte", bare + "\x01", 255, from, "", mac},
		{"short", bare[:7], 255, from, "", mac},
		{"an advertisement", "\x86" + bare[1:], 255, from, "", mac},
		{"from a group", bare + "\x01\x01\x33\x33\x00\x00\x00\x01", 255, from, "", mac},
	} {
		t.Run(tc.name, func(t *testing.T) {
			to, mac, err := solicited([]byte(tc.b), tc.hop, tc.from)
			if (err == nil) != (tc.to != "") || err == nil && (to.String() != tc.to || mac != tc.mac) {
				t.Errorf("solicited = %v, %v, %v; want %s, %v", to, mac, err, tc.to, tc.mac)
			}
		})
	}
}
