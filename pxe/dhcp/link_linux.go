package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tench/pxe/event"
)

// neighbours reads the kernel's IPv4 neighbour table of one interface. What it
// cannot read is empty: nobody is known then.
func neighbours(index int) map[netip.Addr]neighbour {
	list, err := netlink.NeighList(index, netlink.FAMILY_V4)
	if err != nil {
		return nil
	}
	table := make(map[netip.Addr]neighbour, len(list))
	for _, n := range list {
		a, ok := netip.AddrFromSlice(n.IP.To4())
		if !ok || len(n.HardwareAddr) != len(event.MAC{}) || n.State&(netlink.NUD_FAILED|netlink.NUD_INCOMPLETE|netlink.NUD_NOARP) != 0 {
			continue
		}
		table[a] = neighbour{mac: event.MAC(n.HardwareAddr), fresh: n.State&(netlink.NUD_REACHABLE|netlink.NUD_PERMANENT) != 0}
	}
	return table
}

// errGone is the end of a server whose adapter was pulled out.
var errGone = errors.New("the interface is gone")

// watchCarrier says when the interface's cable is plugged in, until ctx ends. It
// also says so of the first change that it hears of, with the cable in. It fails
// when the interface is gone.
func watchCarrier(ctx context.Context, index int, plugged chan<- struct{}) error {
	for ctx.Err() == nil {
		updates := make(chan netlink.LinkUpdate)
		done := make(chan struct{})
		if err := netlink.LinkSubscribe(updates, done); err != nil {
			return fmt.Errorf("subscribe to link changes: %w", err)
		}
		err := errGone // before we listened
		if _, lookup := net.InterfaceByIndex(index); lookup == nil {
			err = followCarrier(ctx, index, updates, plugged)
		}
		close(done)
		for range updates { // the library closes it
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// followCarrier reads link changes until the kernel sends no more, which it does
// when we were too slow.
func followCarrier(ctx context.Context, index int, updates <-chan netlink.LinkUpdate, plugged chan<- struct{}) error {
	had := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, ok := <-updates:
			switch {
			case !ok:
				return nil
			case int(u.Index) != index:
				continue
			case u.Header.Type == unix.RTM_DELLINK:
				return errGone
			}
			has := u.IfInfomsg.Flags&unix.IFF_RUNNING != 0
			if has && !had {
				select {
				case plugged <- struct{}{}:
				default: // it is being asked already
				}
			}
			had = has
		}
	}
}
