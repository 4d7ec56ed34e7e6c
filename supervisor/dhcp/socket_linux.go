package dhcp

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/internal/rawudp"
)

// socket hears DHCP on one link, with or without an address on it.
type socket struct {
	*rawudp.Socket
	messages chan *dhcpv4.DHCPv4 // closed when the socket is
}

// openSocket hears DHCP on the link with this index.
func openSocket(index int) (*socket, error) {
	p, err := rawudp.Open(index, clientPort)
	if err != nil {
		return nil, err
	}
	s := &socket{Socket: p, messages: make(chan *dhcpv4.DHCPv4, 8)}
	go s.read()
	return s, nil
}

// read parses what arrives until the socket is closed. When nobody takes the
// messages, new ones are dropped, as on any network.
func (s *socket) read() {
	defer close(s.messages)
	for {
		heard, err := s.Receive()
		if err != nil {
			return // closed
		}
		if heard.Others {
			continue
		}
		if m, err := dhcpv4.FromBytes(heard.Payload); err == nil {
			select {
			case s.messages <- m:
			default:
			}
		}
	}
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
