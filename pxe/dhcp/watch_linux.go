package dhcp

import (
	"net"

	"tench/internal/rawudp"
	"tench/pxe/event"
)

// watcher hears what servers say to clients, and sends what a client without an
// address would.
type watcher struct {
	*rawudp.Socket
	iface *net.Interface
}

// watch opens one on an interface.
func watch(iface *net.Interface) (*watcher, error) {
	s, err := rawudp.Open(iface.Index, clientPort)
	if err != nil {
		return nil, hinted(err, iface.Name, 0)
	}
	return &watcher{s, iface}, nil
}

// hear waits for a server's message.
func (w *watcher) hear() (Found, error) {
	for {
		heard, err := w.Receive()
		if err != nil {
			return Found{}, err // closed, or the deadline passed
		}
		if f, ok := found(heard.Payload, heard.From.Addr(), event.MAC(heard.Station)); ok {
			return f, nil
		}
	}
}
