package door

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"tench/internal/sshline"
)

// listenOn listens on all addresses of one device, also on those that it gets
// later; IPv6 sockets take IPv4 connections too. What comes in by another device
// does not reach the socket, whatever address it is for.
func listenOn(ctx context.Context, d Device, port int) (net.Listener, error) {
	bind := net.ListenConfig{KeepAlive: -1, Control: func(network, address string, c syscall.RawConn) error {
		var err error
		ctlErr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), d.Name) })
		return errors.Join(ctlErr, err, sshline.ShortQueue(network, address, c))
	}}
	address := net.JoinHostPort("", strconv.Itoa(port))
	l, err := bind.Listen(ctx, "tcp", address)
	if errors.Is(err, unix.EAFNOSUPPORT) { // a kernel without IPv6
		l, err = bind.Listen(ctx, "tcp4", address)
	}
	if err != nil {
		return nil, fmt.Errorf("door: listen on %s port %d: %w", d.Name, port, err)
	}
	return l, nil
}
