package rawudp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// largestFrame is what is read of a frame, in bytes: more than Ethernet's 1500.
const largestFrame = 3000

// Socket is a packet socket on one interface. One goroutine may receive while
// others send and close.
type Socket struct {
	f     *os.File
	index int
	buf   [largestFrame]byte
}

// Open hears UDP datagrams to a port on the interface with this index. It needs
// CAP_NET_RAW.
func Open(index int, port uint16) (*Socket, error) {
	// Without a protocol the socket hears nothing yet: the filter comes first.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	err = attach(fd, onlyUDP(port))
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swapped(unix.ETH_P_IP), Ifindex: index})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up packet socket: %w", err)
	}
	return &Socket{f: os.NewFile(uintptr(fd), "packet socket"), index: index}, nil
}

// onlyUDP lets IPv4 UDP to a port through, seen from the IPv4 header on.
func onlyUDP(port uint16) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoUDP, SkipTrue: 6},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4}, // a later fragment
		bpf.LoadMemShift{Off: 0},                                    // X = length of the header
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	}
}

// attach puts a filter on a socket.
func attach(fd int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic("rawudp: assemble filter: " + err.Error())
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

// Receive waits for a datagram; its payload is valid until the next call. It
// fails when the socket is closed, and with os.ErrDeadlineExceeded; not when the
// interface goes down.
func (s *Socket) Receive() (Heard, error) {
	conn, err := s.f.SyscallConn()
	if err != nil {
		return Heard{}, err
	}
	for {
		var n int
		var from unix.Sockaddr
		var rerr error
		err := conn.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), s.buf[:], 0)
			return !errors.Is(rerr, unix.EAGAIN)
		})
		if err != nil {
			return Heard{}, err
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if rerr != nil || !ok {
			continue // rerr: the interface went down, which is said once (ENETDOWN)
		}
		if d, err := Decode(s.buf[:n]); err == nil {
			return Heard{Datagram: d, Station: [6]byte(ll.Addr[:6]), Others: ll.Pkttype == unix.PACKET_OTHERHOST}, nil
		}
	}
}

// SetReadDeadline is when Receive gives up; the zero time is never.
func (s *Socket) SetReadDeadline(at time.Time) error { return s.f.SetReadDeadline(at) }

// Send puts a packet of the given EtherType on the interface, to everybody.
func (s *Socket) Send(etherType uint16, packet []byte) error {
	to := &unix.SockaddrLinklayer{
		Protocol: swapped(etherType), Ifindex: s.index, Halen: 6,
		Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	}
	conn, err := s.f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = conn.Control(func(fd uintptr) { serr = unix.Sendto(int(fd), packet, 0, to) })
	return errors.Join(err, serr)
}

// Close ends Receive.
func (s *Socket) Close() error { return s.f.Close() }
