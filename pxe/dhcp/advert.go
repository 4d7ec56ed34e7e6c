package dhcp

import (
	"bytes"
	"errors"
	"net/netip"

	"tench/pxe/event"
)

// ICMPv6 of neighbour discovery (RFC 4861, 4).
const (
	routerSolicitation  = 133
	routerAdvertisement = 134
	sourceLinkLayer     = 1 // the option with the sender's Ethernet address
)

// advert is the router advertisement (RFC 4861, 4.2) that ends a boot ROM's wait
// for a router: no router (lifetime 0), no prefix, no DHCPv6. The kernel fills in
// the checksum.
func advert(mac event.MAC) []byte {
	b := make([]byte, 16)
	b[0] = routerAdvertisement
	return append(append(b, sourceLinkLayer, 1), mac[:]...) // length in units of 8 bytes
}

// solicited checks a router solicitation as RFC 4861, 6.1.1 demands, and returns
// whom to answer, and the sender's Ethernet address when it gave one.
func solicited(b []byte, hopLimit int, from netip.Addr) (to netip.Addr, mac event.MAC, err error) {
	switch {
	case len(b) < 8 || b[0] != routerSolicitation || b[1] != 0:
		return to, mac, errors.New("not a router solicitation")
	case hopLimit != 255:
		return to, mac, errors.New("from beyond this link")
	case !from.IsUnspecified() && !from.IsLinkLocalUnicast():
		return to, mac, errors.New("not from a link-local address")
	}
	for rest := b[8:]; len(rest) > 0; {
		size := 8
		if len(rest) >= 2 {
			size *= int(rest[1])
		}
		if size == 0 || size > len(rest) {
			return to, mac, errors.New("an option of a wrong length")
		}
		if rest[0] == sourceLinkLayer && size == 8 {
			mac = event.MAC(rest[2:8])
		}
		rest = rest[size:]
	}
	if from.IsUnspecified() {
		if mac != (event.MAC{}) {
			return to, mac, errors.New("an Ethernet address, and no other")
		}
		return netip.IPv6LinkLocalAllNodes(), mac, nil
	}
	if mac.IsZero() {
		mac = fromEUI64(from)
	}
	if mac[0]&1 != 0 {
		return to, mac, errors.New("from an Ethernet address of a group")
	}
	return from, mac, nil
}

// fromEUI64 is the Ethernet address that a link-local address is made of (RFC
// 4291, appendix A), or the zero MAC.
func fromEUI64(a netip.Addr) event.MAC {
	b := a.As16()
	if !bytes.Equal(b[11:13], []byte{0xff, 0xfe}) {
		return event.MAC{}
	}
	return event.MAC{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}
}
