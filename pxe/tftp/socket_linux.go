package tftp

import (
	"context"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen opens a transfer's own port: on the address that the request's port is
// bound to, and on the device if one is named. Its number is the transfer's TID
// (RFC 1350 section 4), drawn by the kernel.
func listen(ctx context.Context, at *net.UDPAddr, device string) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if device == "" {
			return nil
		}
		var bindErr error
		if err := c.Control(func(fd uintptr) { bindErr = unix.BindToDevice(int(fd), device) }); err != nil {
			return err
		}
		return bindErr
	}}
	conn, err := lc.ListenPacket(ctx, "udp", (&net.UDPAddr{IP: at.IP, Zone: at.Zone}).String())
	if err != nil {
		return nil, fmt.Errorf("tftp: open a transfer's port: %w", err)
	}
	return conn.(*net.UDPConn), nil
}
