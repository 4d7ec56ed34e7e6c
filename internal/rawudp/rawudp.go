// Package rawudp sends and hears UDP over IPv4 on one interface, with or without
// an address on it, which no UDP socket can. DHCP clients need that, and who
// listens to DHCP servers.
//
//	rawudp.go        Heard
//	datagram.go      IPv4 and UDP headers
//	socket_linux.go  Socket: a packet socket (packet(7))
package rawudp

// Heard is a datagram as it came in.
type Heard struct {
	Datagram
	Station [6]byte // the Ethernet address that sent the frame
	Others  bool    // the frame is for another station: the interface is promiscuous
}
