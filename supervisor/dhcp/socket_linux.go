package dhcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// socket is a packet socket (packet(7)) that hears DHCP on one link, with or
// without an address on it.
type socket struct {
	f        *os.File
	index    int
	messages chan *dhcpv4.DHCPv4 // closed when the socket is
}

// onlyDHCP lets IPv4 UDP to port 68 through, seen from the IPv4 header on.
var onlyDHCP = []bpf.Instruction{
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

// openSocket hears DHCP on the link with this index.
func openSocket(index int) (*socket, error) {
	// Without a protocol the socket hears nothing yet: the filter comes first.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	err = attach(fd, onlyDHCP)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swapped(unix.ETH_P_IP), Ifindex: index})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up packet socket: %w", err)
	}
	s := &socket{f: os.NewFile(uintptr(fd), "dhcp"), index: index, messages: make(chan *dhcpv4.DHCPv4, 8)}
	go s.read()
	return s, nil
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

// read parses what arrives until the socket is closed. When nobody takes the
// messages, new ones are dropped, as on any network.
func (s *socket) read() {
	defer close(s.messages)
	conn, err := s.f.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 2*largestMessage)
	for {
		var n int
		var from unix.Sockaddr
		var rerr error
		err := conn.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(rerr, unix.EAGAIN)
		})
		if err != nil {
			return // closed
		}
		if rerr != nil {
			continue // the link went down (ENETDOWN), which is said once
		}
		// Frames for others are seen when the link is promiscuous.
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OTHERHOST {
			continue
		}
		payload, err := decodeDatagram(buf[:n])
		if err != nil {
			continue
		}
		if m, err := dhcpv4.FromBytes(payload); err == nil {
			select {
			case s.messages <- m:
			default:
			}
		}
	}
}

// close ends read.
func (s *socket) close() { s.f.Close() }

// send puts a payload of the given EtherType on the link, to everybody.
func (s *socket) send(etherType uint16, payload []byte) error {
	to := &unix.SockaddrLinklayer{
		Protocol: swapped(etherType), Ifindex: s.index, Halen: 6,
		Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	}
	conn, err := s.f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = conn.Control(func(fd uintptr) { serr = unix.Sendto(int(fd), payload, 0, to) })
	return errors.Join(err, serr)
}

// unicast is a UDP socket from our address to a server. It stays open while an
// answer may come, so that the kernel does not call the port closed.
type unicast struct{ fd int }

// openUnicast binds to our address on one link.
func openUnicast(link string, from netip.Addr) (unicast, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return unicast{}, fmt.Errorf("open UDP socket: %w", err)
	}
	err = unix.BindToDevice(fd, link)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: clientPort, Addr: from.As4()})
	}
	if err != nil {
		unix.Close(fd)
		return unicast{}, fmt.Errorf("bind UDP socket to %v on %s: %w", from, link, err)
	}
	return unicast{fd}, nil
}

func (u unicast) send(to netip.Addr, payload []byte) error {
	return unix.Sendto(u.fd, payload, 0, &unix.SockaddrInet4{Port: serverPort, Addr: to.As4()})
}

func (u unicast) close() { unix.Close(u.fd) }
