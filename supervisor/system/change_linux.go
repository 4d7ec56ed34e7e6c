package system

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// plain gives the errors of rtnetlink in words that say what is wrong. The
// errno stays wrapped for those who ask.
func plain(err error) error {
	for errno, text := range map[error]string{
		unix.ENODEV:      "the device is gone",
		unix.ENETDOWN:    "the link is down",
		unix.ENETUNREACH: "the gateway is on no network of this box",
		unix.EOPNOTSUPP:  "this kernel cannot do that",
		unix.EBUSY:       "the device is in use",
	} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%s (%w)", text, err)
		}
	}
	return err
}

// unless returns nil where err is one of those that mean that there is nothing
// to do.
func unless(err error, done ...error) error {
	for _, d := range done {
		if errors.Is(err, d) {
			return nil
		}
	}
	return err
}

// attrs names a link for a change.
func attrs(name string) (*netlink.Dummy, error) {
	index, err := linkIndex(name)
	if err != nil {
		return nil, err
	}
	// The library wants some kind of link; only the index is used.
	return &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index}}, nil
}

// onLink runs one change to a link and words its error.
func onLink(name, verb string, change func(netlink.Link) error) error {
	l, err := attrs(name)
	if err != nil {
		return err
	}
	if err := change(l); err != nil {
		return fmt.Errorf("%s: %s: %w", name, verb, plain(err))
	}
	return nil
}

// AddLink implements Network.
func (k *Kernel) AddLink(n NewLink) error {
	base := netlink.NewLinkAttrs()
	base.Name = n.Name
	var l netlink.Link
	switch n.Kind {
	case "bridge":
		l = &netlink.Bridge{LinkAttrs: base}
	case "vlan":
		parent, err := linkIndex(n.Parent)
		if err != nil {
			return fmt.Errorf("%s: make vlan: %w", n.Name, err)
		}
		base.ParentIndex = parent
		l = &netlink.Vlan{LinkAttrs: base, VlanId: n.VLANID, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	default:
		panic("system: unknown kind of link " + n.Kind)
	}
	if err := netlink.LinkAdd(l); err != nil {
		if errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s: make %s: there is a device of that name, which tench did not make, or its VLAN id is taken (%w)", n.Name, n.Kind, err)
		}
		return fmt.Errorf("%s: make %s: %w", n.Name, n.Kind, plain(err))
	}
	return k.MarkOurs(n.Name)
}

// MarkOurs implements Network.
func (k *Kernel) MarkOurs(name string) error {
	return onLink(name, "mark as ours", func(l netlink.Link) error { return netlink.LinkSetAlias(l, OurAlias) })
}

// DeleteLink implements Network.
func (k *Kernel) DeleteLink(name string) error {
	err := onLink(name, "delete", netlink.LinkDel)
	return unless(err, ErrNoLink, unix.ENODEV)
}

// SetUp implements Network.
func (k *Kernel) SetUp(name string, up bool) error {
	if up {
		return onLink(name, "set up", netlink.LinkSetUp)
	}
	return onLink(name, "set down", netlink.LinkSetDown)
}

// SetMTU implements Network.
func (k *Kernel) SetMTU(name string, mtu int) error {
	verb := fmt.Sprintf("set MTU %d", mtu)
	return onLink(name, verb, func(l netlink.Link) error { return netlink.LinkSetMTU(l, mtu) })
}

// SetMaster implements Network.
func (k *Kernel) SetMaster(name, bridge string) error {
	if bridge == "" {
		return onLink(name, "leave bridge", netlink.LinkSetNoMaster)
	}
	index, err := linkIndex(bridge)
	if err != nil {
		return fmt.Errorf("%s: join bridge: %w", name, err)
	}
	return onLink(name, "join bridge "+bridge, func(l netlink.Link) error {
		return netlink.LinkSetMasterByIndex(l, index)
	})
}

// SetSTP implements Network. The library knows no such attribute, so this goes
// through sysfs.
func (k *Kernel) SetSTP(bridge string, on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	f, err := os.OpenFile("/sys/class/net/"+bridge+"/bridge/stp_state", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("%s: set spanning tree: %w", bridge, err)
	}
	_, err = f.WriteString(value)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: set spanning tree: %w", bridge, err)
	}
	return nil
}

// AddAddress implements Network.
func (k *Kernel) AddAddress(link string, prefix netip.Prefix) error {
	err := onLink(link, "add address "+prefix.String(), func(l netlink.Link) error {
		return netlink.AddrAdd(l, &netlink.Addr{IPNet: ipNet(prefix)})
	})
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w\nhint: is IPv6 switched off on %s? see net.ipv6.conf.%s.disable_ipv6", err, link, link)
	}
	return unless(err, unix.EEXIST)
}

// DeleteAddress implements Network.
func (k *Kernel) DeleteAddress(a Address) error {
	err := onLink(a.Link, "remove address "+a.Prefix.String(), func(l netlink.Link) error {
		addr := &netlink.Addr{IPNet: ipNet(a.Prefix)}
		if a.Peer.IsValid() {
			addr.Peer = ipNet(netip.PrefixFrom(a.Peer, a.Prefix.Bits()))
		}
		return netlink.AddrDel(l, addr)
	})
	return unless(err, ErrNoLink, unix.EADDRNOTAVAIL, unix.ENODEV)
}

// AddRoute implements Network.
func (k *Kernel) AddRoute(r Route, how AddMode) error {
	route, err := kernelRoute(r)
	if err != nil {
		return err
	}
	route.Protocol = ProtocolTench
	if how == Append {
		err = netlink.RouteAppend(route)
	} else {
		err = netlink.RouteReplace(route)
	}
	if err := unless(err, unix.EEXIST); err != nil {
		return fmt.Errorf("add route to %s: %w", r.To, plain(err))
	}
	return nil
}

// DeleteRoute implements Network.
func (k *Kernel) DeleteRoute(r Route) error {
	route, err := kernelRoute(r)
	if err != nil {
		return unless(err, ErrNoLink)
	}
	route.Protocol = netlink.RouteProtocol(r.Protocol)
	route.Scope = netlink.SCOPE_NOWHERE // whichever scope it has
	if err := unless(netlink.RouteDel(route), unix.ESRCH, unix.ENODEV); err != nil {
		return fmt.Errorf("remove route to %s: %w", r.To, plain(err))
	}
	return nil
}

// kernelRoute puts a route in the kernel's words.
func kernelRoute(r Route) (*netlink.Route, error) {
	route := &netlink.Route{
		Dst: ipNet(r.To), Gw: r.Via.AsSlice(), Priority: r.Metric, Table: r.Table, Type: unix.RTN_UNICAST,
	}
	if r.Blackhole {
		route.Type = unix.RTN_BLACKHOLE
	} else if !r.Via.IsValid() && r.To.Addr().Is4() {
		route.Scope = netlink.SCOPE_LINK
	}
	if r.Link == "" {
		return route, nil
	}
	index, err := linkIndex(r.Link)
	if err != nil {
		return nil, fmt.Errorf("route to %s: %w", r.To, err)
	}
	route.LinkIndex = index
	return route, nil
}
