package system

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// groups are the rtnetlink multicast groups of each topic, as a bit mask.
var groups = map[Topic]uint32{
	Links: unix.RTMGRP_LINK,
	Anything: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
		unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE,
}

// Notify implements Network. Messages are not parsed: any of them, and also the
// loss of some (ENOBUFS), means "look again".
func (k *Kernel) Notify(ctx context.Context, topic Topic) (<-chan struct{}, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("system: open netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups[topic]}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("system: subscribe to netlink groups: %w", err)
	}
	f := os.NewFile(uintptr(fd), "netlink")
	tokens := make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, func() { f.Close() })
	go func() {
		defer close(tokens)
		defer stop()
		defer f.Close()
		relay(f, tokens)
	}()
	return tokens, nil
}

// relay leaves a token for each message until f is closed. A message longer
// than the buffer is cut, which does not matter.
func relay(f *os.File, tokens chan<- struct{}) {
	buf := make([]byte, 256)
	for {
		_, err := f.Read(buf)
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return
		}
		select {
		case tokens <- struct{}{}:
		default: // one is waiting already
		}
	}
}
