package dhcp

import (
	"net/netip"

	"github.com/vishvananda/netlink"

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
