package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// socket is a UDP port on one interface.
type socket struct {
	conn  *ipv4.PacketConn
	iface *net.Interface
	port  uint16
}

// listen opens a port. The socket is bound to the interface: what comes in by
// another does not reach it, and nothing leaves by another.
func listen(ctx context.Context, iface *net.Interface, port uint16) (*socket, error) {
	lc := net.ListenConfig{Control: onDevice(iface.Name)}
	pc, err := lc.ListenPacket(ctx, "udp4", netip.AddrPortFrom(netip.IPv4Unspecified(), port).String())
	if err != nil {
		return nil, fmt.Errorf("open UDP port %d on %s: %w", port, iface.Name, hinted(err, iface.Name, port))
	}
	// A thousand boxes that are switched on at once do not fit the usual buffer;
	// where the kernel allows no more, they ask again.
	_ = pc.(*net.UDPConn).SetReadBuffer(1 << 20)
	conn := ipv4.NewPacketConn(pc)
	if err := conn.SetControlMessage(ipv4.FlagInterface, true); err != nil {
		conn.Close()
		return nil, fmt.Errorf("set up UDP port %d on %s: %w", port, iface.Name, err)
	}
	return &socket{conn: conn, iface: iface, port: port}, nil
}

// onDevice binds a socket to an interface before it gets its port.
func onDevice(name string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var berr error
		err := c.Control(func(fd uintptr) { berr = unix.BindToDevice(int(fd), name) })
		return errors.Join(err, berr)
	}
}

// hinted adds what to do about an error of a socket; port is 0 for one without.
func hinted(err error, name string, port uint16) error {
	switch {
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("%w\nhint: sudo ip link set %s up", err, name)
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		return MayNot(err)
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%w\nhint: another server runs on this machine: sudo ss -ulpn sport = :%d", err, port)
	}
	return err
}

// MayNot adds what to do about a socket that this process may not open. What a file
// may is gone when it is built anew.
func MayNot(err error) error {
	self, perr := os.Executable()
	if perr != nil {
		self = "tench"
	}
	return fmt.Errorf("%w\nhint: run it with sudo; or once after each build: sudo setcap cap_net_bind_service,cap_net_raw+ep %s", err, self)
}

// receive waits for a packet on the interface.
func (s *socket) receive() (packet, error) {
	buf := make([]byte, largestPacket+1)
	for {
		n, cm, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return packet{}, err
		}
		udp, ok := from.(*net.UDPAddr)
		if !ok || cm == nil || cm.IfIndex != s.iface.Index {
			continue
		}
		from4 := udp.AddrPort()
		return packet{payload: buf[:n], from: netip.AddrPortFrom(from4.Addr().Unmap(), from4.Port()), port: s.port}, nil
	}
}

// send sends from our address.
func (s *socket) send(b []byte, from netip.Addr, to netip.AddrPort) error {
	cm := &ipv4.ControlMessage{IfIndex: s.iface.Index, Src: from.AsSlice()}
	_, err := s.conn.WriteTo(b, cm, net.UDPAddrFromAddrPort(to))
	return err
}
