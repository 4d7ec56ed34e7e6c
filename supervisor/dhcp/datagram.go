package dhcp

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// UDP ports of DHCP (RFC 2131, 4.1).
const (
	serverPort = 67
	clientPort = 68
)

const (
	ipHeader  = 20 // bytes, without options
	udpHeader = 8
	protoUDP  = 17
)

// encodeDatagram puts an IPv4 (RFC 791) and a UDP (RFC 768) header before a
// message from a client to servers. It is needed as long as there is no address
// that a UDP socket could send from.
func encodeDatagram(from, to netip.Addr, payload []byte) []byte {
	b := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(payload))
	b = append(b, payload...)
	b[0] = 0x45 // version 4, header of 5 words
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[6:], 0x4000) // don't fragment, so that the ID may be 0 (RFC 6864)
	b[8] = 64
	b[9] = protoUDP
	copy(b[12:16], from.AsSlice())
	copy(b[16:20], to.AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(0, b[:ipHeader]))

	udp := b[ipHeader:]
	binary.BigEndian.PutUint16(udp[0:], clientPort)
	binary.BigEndian.PutUint16(udp[2:], serverPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	// The pseudo header: both addresses, the protocol, the length.
	pseudo := add(uint32(protoUDP)+uint32(len(udp)), b[12:20])
	sum := checksum(pseudo, udp)
	if sum == 0 {
		sum = 0xffff // 0 means "no checksum"
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
	return b
}

// decodeDatagram returns what is in an IPv4 packet to UDP port 68. The UDP
// checksum is not looked at: a packet from a virtual machine or container on
// this host reaches a packet socket before anybody has filled it in.
func decodeDatagram(b []byte) ([]byte, error) {
	if len(b) < ipHeader || b[0]>>4 != 4 {
		return nil, errors.New("not an IPv4 packet")
	}
	header := int(b[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if header < ipHeader || total < header+udpHeader || total > len(b) {
		return nil, errors.New("wrong length in the IPv4 header")
	}
	if checksum(0, b[:header]) != 0 {
		return nil, errors.New("wrong checksum of the IPv4 header")
	}
	// Link layers pad short packets: what follows total is not part of it.
	udp := b[header:total]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	switch {
	case b[9] != protoUDP || binary.BigEndian.Uint16(udp[2:]) != clientPort:
		return nil, errors.New("not for the DHCP client")
	case binary.BigEndian.Uint16(b[6:])&0x3fff != 0:
		return nil, errors.New("a fragment")
	case length < udpHeader || length > len(udp):
		return nil, errors.New("wrong length in the UDP header")
	}
	return udp[udpHeader:length], nil
}

// add sums 16-bit words (RFC 1071).
func add(sum uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// checksum is the Internet checksum of b, begun with sum.
func checksum(sum uint32, b []byte) uint16 {
	sum = add(sum, b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// announcement is the ARP packet that tells everybody whose address this is
// (RFC 5227, 2.3), without its Ethernet header.
func announcement(mac []byte, addr netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, lengths of both, request
	b = append(b, mac...)
	b = append(b, addr.AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, addr.AsSlice()...)
}
