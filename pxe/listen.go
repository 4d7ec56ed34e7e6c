package pxe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"tench/pxe/dhcp"
)

const tftpPort = 69

// on binds a socket to an interface (SO_BINDTODEVICE): what comes in elsewhere
// does not reach it, whatever address it is for.
func on(device string) net.ListenConfig {
	return net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), device) }); cerr != nil {
			return cerr
		}
		return err
	}}
}

func listenPacket(ctx context.Context, device string, at netip.AddrPort) (net.PacketConn, error) {
	lc := on(device)
	conn, err := lc.ListenPacket(ctx, "udp4", at.String())
	if err != nil {
		return nil, hinted(fmt.Errorf("tftp: %w", err))
	}
	return conn, nil
}

func listenStream(ctx context.Context, device string, at netip.AddrPort) (net.Listener, error) {
	lc := on(device)
	l, err := lc.Listen(ctx, "tcp4", at.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("http: %w\nhint: another server has the port, sudo ss -lntp names it; --http-port takes another", err)
	}
	if err != nil {
		return nil, hinted(fmt.Errorf("http: %w", err))
	}
	return l, nil
}

// hinted says what to do about a socket that cannot be had.
func hinted(err error) error {
	switch {
	case err == nil || strings.Contains(err.Error(), "\nhint: "):
		return err
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return dhcp.MayNot(err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w\nhint: another server has the port; sudo ss -lnp names it", err)
	}
	return err
}
