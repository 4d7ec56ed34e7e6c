package tftp

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// maxVolley is how many packets go out with one system call: enough that its cost
// does not matter, and little memory for each of many transfers.
const maxVolley = 16

// volley sends DATA packets, several at once (sendmmsg): half of a server's work
// is otherwise the system calls.
type volley struct {
	udp     *net.UDPConn
	conn    *ipv4.PacketConn // udp
	to      netip.AddrPort
	block   int
	packets []ipv4.Message
	n       int // how many are ready
}

// newVolley makes room for what the terms allow. The type of conn does not
// matter to WriteBatch: ipv4's does the same as ipv6's.
func newVolley(conn *net.UDPConn, to netip.AddrPort, t terms) *volley {
	v := &volley{udp: conn, conn: ipv4.NewPacketConn(conn), to: to, block: t.block, packets: make([]ipv4.Message, min(t.window, maxVolley))}
	for i := range v.packets {
		v.packets[i].Buffers = [][]byte{make([]byte, header+t.block)}
		v.packets[i].Addr = net.UDPAddrFromAddrPort(to)
	}
	return v
}

// add reads a block of the file and gets its packet ready.
func (v *volley) add(file File, block int64) error {
	if v.n == len(v.packets) {
		v.fire()
	}
	p := v.packets[v.n].Buffers[0][:header+v.block]
	at := (block - 1) * int64(v.block)
	p = p[:header+min(int64(v.block), file.Size()-at)]
	if n, err := file.ReadAt(p[header:], at); n < len(p)-header {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	binary.BigEndian.PutUint16(p, opDATA)
	binary.BigEndian.PutUint16(p[2:], uint16(block))
	v.packets[v.n].Buffers[0] = p
	v.n++
	return nil
}

// fire sends what is ready. A packet that the network does not take is as good as
// lost.
func (v *volley) fire() {
	if v.n == 1 {
		v.udp.WriteToUDPAddrPort(v.packets[0].Buffers[0], v.to) // without sendmmsg's overhead
		v.n = 0
	}
	for sent := 0; sent < v.n; {
		n, err := v.conn.WriteBatch(v.packets[sent:v.n], 0)
		if err != nil {
			n = max(n, 1)
		}
		sent += n
	}
	v.n = 0
}
