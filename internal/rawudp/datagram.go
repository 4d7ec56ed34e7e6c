package rawudp

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

const (
	ipHeader  = 20 // bytes, without options
	udpHeader = 8
	protoUDP  = 17
)

// Datagram is a UDP datagram over IPv4.
type Datagram struct {
	From, To netip.AddrPort
	Payload  []byte
}

// Encode puts an IPv4 (RFC 791) and a UDP (RFC 768) header before the payload.
// Both addresses have to be IPv4, and everything has to fit into 65,535 bytes.
func (d Datagram) Encode() []byte {
	b := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(d.Payload))
	b = append(b, d.Payload...)
	b[0] = 0x45 // version 4, header of 5 words
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[6:], 0x4000) // don't fragment, so that the ID may be 0 (RFC 6864)
	b[8] = 64
	b[9] = protoUDP
	copy(b[12:16], d.From.Addr().AsSlice())
	copy(b[16:20], d.To.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(0, b[:ipHeader]))

	udp := b[ipHeader:]
	binary.BigEndian.PutUint16(udp[0:], d.From.Port())
	binary.BigEndian.PutUint16(udp[2:], d.To.Port())
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

// Decode reads an IPv4 packet that holds a whole UDP datagram. The payload is
// part of b. The UDP checksum is not looked at: a packet from a virtual machine
// or container on this host reaches a packet socket before anybody has filled it
// in.
func Decode(b []byte) (Datagram, error) {
	if len(b) < ipHeader || b[0]>>4 != 4 {
		return Datagram{}, errors.New("not an IPv4 packet")
	}
	header := int(b[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if header < ipHeader || total < header+udpHeader || total > len(b) {
		return Datagram{}, errors.New("wrong length in the IPv4 header")
	}
	if checksum(0, b[:header]) != 0 {
		return Datagram{}, errors.New("wrong checksum of the IPv4 header")
	}
	// Link layers pad short packets: what follows total is not part of it.
	udp := b[header:total]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	switch {
	case b[9] != protoUDP:
		return Datagram{}, errors.New("not UDP")
	case binary.BigEndian.Uint16(b[6:])&0x3fff != 0:
		return Datagram{}, errors.New("a fragment")
	case length < udpHeader || length > len(udp):
		return Datagram{}, errors.New("wrong length in the UDP header")
	}
	return Datagram{
		From:    netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:16])), binary.BigEndian.Uint16(udp)),
		To:      netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:20])), binary.BigEndian.Uint16(udp[2:])),
		Payload: udp[udpHeader:length],
	}, nil
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
