package tftp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// port is a transfer's socket, and its client's address in the kernel's form. It
// is for the transfer's goroutine, but for wake.
//
// Its system calls go past Go's scheduler (RawSyscall), which they may because
// the socket does not block. Announced calls wake the runtime's monitor thread
// whenever the program was idle before, and that is each time a client without
// windows has taken a block: a sixth of a server's CPU time. The scheduler waits
// for a call that it does not know of, some microseconds for each packet.
type port struct {
	waiter
	client unix.RawSockaddrAny
	length uint32 // of client

	// What receive and send hand to the kernel and get back. The functions are
	// made once, for each would be garbage.
	from     unix.RawSockaddrAny
	buffer   []byte
	messages []unix.Mmsghdr
	n        int
	errno    syscall.Errno
	recvfrom func(fd uintptr) (done bool)
	sendmmsg func(fd uintptr) (done bool)
}

// newPort is the port of a transfer to client, with a thread of its own or not. It
// has conn from now on, which it closes if it fails.
func newPort(conn *net.UDPConn, client netip.AddrPort, thread bool) (*port, error) {
	p := &port{}
	p.recvfrom, p.sendmmsg = p.tryReceive, p.trySend
	if conn.LocalAddr().(*net.UDPAddr).IP.To4() != nil {
		p.length = unix.SizeofSockaddrInet4
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&p.client)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: swapped(client.Port()), Addr: client.Addr().As4()}
	} else {
		p.length = unix.SizeofSockaddrInet6
		*(*unix.RawSockaddrInet6)(unsafe.Pointer(&p.client)) = unix.RawSockaddrInet6{
			Family: unix.AF_INET6, Port: swapped(client.Port()), Addr: client.Addr().As16(), Scope_id: scope(client.Addr().Zone())}
	}
	var err error
	if thread {
		p.waiter, err = newThreaded(conn)
	} else {
		p.waiter, err = newPolled(conn)
	}
	return p, err
}

// swapped is a number in network byte order, as the kernel has ports.
func swapped(port uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, port))
}

// scope is the number of a link-local address's interface.
func scope(zone string) uint32 {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	return 0
}

// receive waits for a packet until the deadline, or less, and reads what of it has
// room in buffer. It also reports whether the client sent it.
func (p *port) receive(buffer []byte, until time.Time) (n int, clients, ok bool) {
	p.buffer = buffer
	if !p.waiter.receive(p.recvfrom, until) || p.errno != 0 {
		return 0, false, false
	}
	return p.n, p.isClients(), true
}

func (p *port) tryReceive(fd uintptr) (done bool) {
	for {
		size := uint32(unix.SizeofSockaddrAny)
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p.buffer[0])), uintptr(len(p.buffer)),
			0, uintptr(unsafe.Pointer(&p.from)), uintptr(unsafe.Pointer(&size)))
		switch errno {
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			p.n, p.errno = int(n), errno
			return true
		}
	}
}

// isClients compares whom a packet is from. A flow label is nobody's address.
func (p *port) isClients() bool {
	if p.from.Addr.Family != p.client.Addr.Family {
		return false
	}
	if p.client.Addr.Family == unix.AF_INET {
		a, b := (*unix.RawSockaddrInet4)(unsafe.Pointer(&p.from)), (*unix.RawSockaddrInet4)(unsafe.Pointer(&p.client))
		return a.Port == b.Port && a.Addr == b.Addr
	}
	a, b := (*unix.RawSockaddrInet6)(unsafe.Pointer(&p.from)), (*unix.RawSockaddrInet6)(unsafe.Pointer(&p.client))
	return a.Port == b.Port && a.Addr == b.Addr && a.Scope_id == b.Scope_id
}

// write sends a packet to the client, reply to whom the last one received was
// from.
func (p *port) write(packet []byte) { p.to(&p.client, packet) }
func (p *port) reply(packet []byte) { p.to(&p.from, packet) }

func (p *port) to(whom *unix.RawSockaddrAny, packet []byte) {
	iov := unix.Iovec{Base: &packet[0]}
	iov.SetLen(len(packet))
	m := make([]unix.Mmsghdr, 1)
	m[0].Hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(whom)), Namelen: p.length, Iov: &iov}
	m[0].Hdr.SetIovlen(1)
	p.send(m)
}

// send sends messages, several with one system call. A packet that the network
// does not take is as good as lost.
func (p *port) send(messages []unix.Mmsghdr) {
	for p.messages = messages; len(p.messages) > 0; p.messages = p.messages[p.n:] {
		p.n = 1
		p.waiter.send(p.sendmmsg)
	}
	p.messages = nil
}

func (p *port) trySend(fd uintptr) (done bool) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&p.messages[0])), uintptr(len(p.messages)), 0, 0, 0)
		switch errno {
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		case 0:
			p.n = int(n)
			return true
		default:
			return true
		}
	}
}
