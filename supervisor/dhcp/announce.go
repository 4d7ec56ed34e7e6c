package dhcp

import "net/netip"

// announcement is the ARP packet that tells everybody whose address this is
// (RFC 5227, 2.3), without its Ethernet header.
func announcement(mac []byte, addr netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, lengths of both, request
	b = append(b, mac...)
	b = append(b, addr.AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, addr.AsSlice()...)
}
