package system

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// dumpTries bounds how often a dump is taken again that a change interrupted
// (NLM_F_DUMP_INTR). The last one is used as it is: whatever interrupted it
// also wakes the loop, which looks again.
const dumpTries = 4

// dump calls list until it was not interrupted.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	var items []T
	var err error
	for range dumpTries {
		items, err = list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return items, err
		}
	}
	return items, nil
}

// Dump implements Network.
func (k *Kernel) Dump() (Dump, error) {
	var d Dump
	links, err := dump(k.reader.LinkList)
	if err != nil {
		return d, fmt.Errorf("system: list links: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range links {
		d.Links = append(d.Links, convertLink(l, names))
	}
	addresses, err := dump(func() ([]netlink.Addr, error) {
		return k.reader.AddrList(nil, netlink.FAMILY_ALL)
	})
	if err != nil {
		return d, fmt.Errorf("system: list addresses: %w", err)
	}
	for _, a := range addresses {
		if addr, ok := convertAddress(a, names); ok {
			d.Addresses = append(d.Addresses, addr)
		}
	}
	for _, of := range []struct{ family, protocol int }{
		{netlink.FAMILY_V4, ProtocolTench}, {netlink.FAMILY_V6, ProtocolTench}, {netlink.FAMILY_V6, ProtocolRA},
	} {
		routes, err := dump(func() ([]netlink.Route, error) { return k.routes(of.family, of.protocol) })
		if err != nil {
			return d, fmt.Errorf("system: list routes: %w", err)
		}
		for _, r := range routes {
			d.Routes = append(d.Routes, convertRoute(r, of.family, names)...)
		}
	}
	return d, nil
}

// routes lists the routes of one protocol in all tables.
func (k *Kernel) routes(family, protocol int) ([]netlink.Route, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC, Protocol: netlink.RouteProtocol(protocol)}
	// An empty table gives ENOENT on some kernels once the request is filtered.
	routes, err := k.reader.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	return routes, err
}

// Link implements Network.
func (k *Kernel) Link(name string) (Link, error) {
	index, err := linkIndex(name)
	if err != nil {
		return Link{}, err
	}
	l, err := k.reader.LinkByIndex(index)
	if err != nil {
		var gone netlink.LinkNotFoundError
		if errors.As(err, &gone) || errors.Is(err, unix.ENODEV) {
			err = ErrNoLink
		}
		return Link{}, fmt.Errorf("%s: read link: %w", name, err)
	}
	return convertLink(l, nil), nil
}

// linkIndex asks the kernel for the index of a link.
func linkIndex(name string) (int, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("%s: find link: the name is longer than 15 bytes", name)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("%s: find link: %w", name, err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		if errors.Is(err, unix.ENODEV) {
			err = ErrNoLink
		}
		return 0, fmt.Errorf("%s: find link: %w", name, err)
	}
	return int(req.Uint32()), nil
}

// convertLink puts a link in our words; names are the links by index, nil when
// parent and master are not needed.
func convertLink(l netlink.Link, names map[int]string) Link {
	a := l.Attrs()
	out := Link{
		Name: a.Name, Index: a.Index, MTU: a.MTU,
		Master:   names[a.MasterIndex],
		Up:       a.RawFlags&unix.IFF_UP != 0,
		Carrier:  a.RawFlags&unix.IFF_LOWER_UP != 0,
		Loopback: a.RawFlags&unix.IFF_LOOPBACK != 0,
		Ours:     a.Alias == OurAlias,
	}
	// "device" is the library's word for a link without IFLA_INFO_KIND.
	if kind := l.Type(); kind != "device" {
		out.Kind = kind
	} else if !out.Loopback {
		out.Path = busPath("/sys", a.Name)
	}
	if !out.Loopback {
		out.MAC, out.PermMAC = a.HardwareAddr.String(), a.PermHWAddr.String()
	}
	switch v := l.(type) {
	case *netlink.Vlan:
		out.Parent, out.VLANID = names[a.ParentIndex], v.VlanId
	case *netlink.Bridge:
		state, err := os.ReadFile("/sys/class/net/" + a.Name + "/bridge/stp_state")
		out.STP = err == nil && strings.TrimSpace(string(state)) != "0"
	}
	return out
}

func convertAddress(a netlink.Addr, names map[int]string) (Address, bool) {
	prefix, ok := prefixOf(a.IPNet)
	link, known := names[a.LinkIndex]
	if !ok || !known {
		return Address{}, false
	}
	out := Address{
		Link: link, Prefix: prefix,
		Dynamic:  a.Flags&unix.IFA_F_PERMANENT == 0,
		Autoconf: prefix.Addr().Is6() && a.Flags&(unix.IFA_F_MANAGETEMPADDR|unix.IFA_F_TEMPORARY) != 0,
	}
	if peer, ok := prefixOf(a.Peer); ok {
		// With a peer the prefix length belongs to the peer's address.
		out.Peer = peer.Addr()
		out.Prefix = netip.PrefixFrom(prefix.Addr(), peer.Bits())
	}
	return out, true
}

// convertRoute puts a route in our words. IPv6 routes that share destination
// and metric come as one with several next hops; each becomes a route here.
func convertRoute(r netlink.Route, family int, names map[int]string) []Route {
	to, ok := prefixOf(r.Dst)
	if !ok {
		to = defaultPrefix(family)
	}
	out := Route{
		To: to, Metric: r.Priority, Table: r.Table, Protocol: int(r.Protocol),
		Blackhole: r.Type == unix.RTN_BLACKHOLE,
	}
	if out.Blackhole {
		return []Route{out} // in IPv6 its link is lo, which says nothing
	}
	hops := r.MultiPath
	if len(hops) == 0 {
		hops = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw}}
	}
	var routes []Route
	for _, hop := range hops {
		via, _ := netip.AddrFromSlice(hop.Gw)
		out.Via, out.Link = via.Unmap(), names[hop.LinkIndex]
		if out.Link != "" {
			routes = append(routes, out)
		}
	}
	return routes
}

func defaultPrefix(family int) netip.Prefix {
	if family == netlink.FAMILY_V4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// prefixOf converts from package net; ok is false for nil.
func prefixOf(n *net.IPNet) (p netip.Prefix, ok bool) {
	if n == nil {
		return p, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits), ok
}

// ipNet converts to package net.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
