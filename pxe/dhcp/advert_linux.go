package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"tench/pxe/event"
)

// advertiser answers router solicitations on one interface.
type advertiser struct {
	conn  *ipv6.PacketConn
	iface *net.Interface
	limit *limiter
}

// newAdvertiser opens its raw socket.
func newAdvertiser(ctx context.Context, iface *net.Interface) (*advertiser, error) {
	lc := net.ListenConfig{Control: onDevice(iface.Name)}
	pc, err := lc.ListenPacket(ctx, "ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, fmt.Errorf("open ICMPv6 socket on %s: %w", iface.Name, hinted(err, iface.Name, 0))
	}
	conn := ipv6.NewPacketConn(pc)
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterSolicitation)
	for _, err := range []error{
		conn.SetICMPFilter(&filter),
		conn.JoinGroup(iface, &net.UDPAddr{IP: net.IPv6linklocalallrouters}),
		conn.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagInterface, true),
		conn.SetHopLimit(255), conn.SetMulticastHopLimit(255),
		conn.SetMulticastLoopback(false), conn.SetMulticastInterface(iface),
	} {
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("set up ICMPv6 socket on %s: %w", iface.Name, err)
		}
	}
	return &advertiser{conn: conn, iface: iface, limit: newLimiter()}, nil
}

// serve answers until the socket is closed.
func (a *advertiser) serve(now func() time.Time, sink event.Sink) error {
	buf := make([]byte, largestFrame)
	for {
		n, cm, from, err := a.conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		ip, ok := from.(*net.IPAddr)
		if !ok || cm == nil || cm.IfIndex != a.iface.Index {
			continue
		}
		source, _ := netip.AddrFromSlice(ip.IP)
		to, mac, err := solicited(buf[:n], cm.HopLimit, source)
		if err != nil || a.limit.take(mac, now()) != pass {
			continue
		}
		_, err = a.conn.WriteTo(advert(event.MAC(a.iface.HardwareAddr)), &ipv6.ControlMessage{IfIndex: a.iface.Index, HopLimit: 255},
			&net.IPAddr{IP: to.AsSlice(), Zone: a.iface.Name})
		e := event.Event{Time: now(), Box: mac, IP: source, Kind: event.Solicit, Text: "told that there is no IPv6 router"}
		switch {
		case errors.Is(err, unix.EADDRNOTAVAIL):
			// For a second from when the cable is plugged in (RFC 4862, 5.4).
			e.Kind, e.Text = event.Silent, "it asks for an IPv6 router while our own address is still being checked; it will ask again"
		case err != nil:
			e.Kind, e.Text = event.Trouble, fmt.Sprintf("dhcp: send router advertisement to %v: %v", to, err)
		}
		sink.Send(e)
	}
}
