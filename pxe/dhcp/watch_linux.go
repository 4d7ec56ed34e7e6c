package dhcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"tench/pxe/event"
)

// watcher is a packet socket (packet(7)) that hears what servers say to clients,
// and sends what a client without an address would.
type watcher struct {
	f     *os.File
	iface *net.Interface
}

// toClients lets IPv4 UDP to port 68 through, seen from the IPv4 header on.
var toClients = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoUDP, SkipTrue: 6},
	bpf.LoadAbsolute{Off: 6, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4}, // a later fragment
	bpf.LoadMemShift{Off: 0},                                    // X = length of the header
	bpf.LoadIndirect{Off: 2, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: clientPort, SkipTrue: 1},
	bpf.RetConstant{Val: 1 << 16},
	bpf.RetConstant{Val: 0},
}

// watch opens one on an interface.
func watch(iface *net.Interface) (*watcher, error) {
	// Without a protocol the socket hears nothing yet: the filter comes first.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket on %s: %w", iface.Name, hinted(err, iface.Name, 0))
	}
	err = attach(fd, toClients)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swapped(unix.ETH_P_IP), Ifindex: iface.Index})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up packet socket on %s: %w", iface.Name, err)
	}
	return &watcher{f: os.NewFile(uintptr(fd), "dhcp watch"), iface: iface}, nil
}

// attach puts a filter on a socket.
func attach(fd int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic("dhcp: assemble filter: " + err.Error())
	}
	filters := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filters[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
}

// swapped is a 16-bit number in network byte order, in which the kernel wants
// EtherTypes.
func swapped(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// hear waits for a server's message. What this machine sent itself is none.
func (w *watcher) hear() (Found, error) {
	conn, err := w.f.SyscallConn()
	if err != nil {
		return Found{}, err
	}
	buf := make([]byte, largestFrame)
	for {
		var n int
		var from unix.Sockaddr
		var rerr error
		err := conn.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(rerr, unix.EAGAIN)
		})
		if err != nil {
			return Found{}, err // closed, or the deadline passed
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if rerr != nil || !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue // rerr: the link went down, which is said once (ENETDOWN)
		}
		payload, source, err := decodeDatagram(buf[:n])
		if err != nil {
			continue
		}
		if f, ok := found(payload, source, event.MAC(ll.Addr[:6])); ok {
			return f, nil
		}
	}
}

// send puts an IPv4 packet on the link, to everybody.
func (w *watcher) send(b []byte) error {
	to := &unix.SockaddrLinklayer{
		Protocol: swapped(unix.ETH_P_IP), Ifindex: w.iface.Index, Halen: 6,
		Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	}
	conn, err := w.f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = conn.Control(func(fd uintptr) { serr = unix.Sendto(int(fd), b, 0, to) })
	return errors.Join(err, serr)
}
