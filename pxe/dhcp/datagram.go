package dhcp

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

// encodeDatagram puts IPv4 (RFC 791) and UDP (RFC 768) headers before a message
// from a client without an address to all servers.
func encodeDatagram(payload []byte) []byte {
	b := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(payload))
	b = append(b, payload...)
	b[0] = 0x45 // version 4, header of 5 words
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[8], b[9] = 64, protoUDP
	copy(b[16:20], "\xff\xff\xff\xff") // to everybody, from 0.0.0.0
	binary.BigEndian.PutUint16(b[10:], checksum(b[:ipHeader]))
	udp := b[ipHeader:]
	binary.BigEndian.PutUint16(udp[0:], clientPort)
	binary.BigEndian.PutUint16(udp[2:], serverPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	return b // a UDP checksum of 0 is none
}

// decodeDatagram is what an IPv4 packet from a server to clients holds, and who
// sent it. Checksums are not looked at: a packet from a virtual machine of this
// host reaches a packet socket before anybody has filled them in.
func decodeDatagram(b []byte) ([]byte, netip.Addr, error) {
	if len(b) < ipHeader || b[0]>>4 != 4 {
		return nil, netip.Addr{}, errors.New("not an IPv4 packet")
	}
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < ipHeader || total < header+udpHeader || total > len(b) {
		return nil, netip.Addr{}, errors.New("wrong length in the IPv4 header")
	}
	udp := b[header:total] // behind it is the link layer's padding
	length := int(binary.BigEndian.Uint16(udp[4:]))
	switch {
	case b[9] != protoUDP || binary.BigEndian.Uint16(udp[2:]) != clientPort:
		return nil, netip.Addr{}, errors.New("not for DHCP clients")
	case binary.BigEndian.Uint16(b[6:])&0x3fff != 0:
		return nil, netip.Addr{}, errors.New("a fragment")
	case length < udpHeader || length > len(udp):
		return nil, netip.Addr{}, errors.New("wrong length in the UDP header")
	}
	return udp[udpHeader:length], netip.AddrFrom4([4]byte(b[12:16])), nil
}

// checksum is the Internet checksum (RFC 1071) of an even number of bytes.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
