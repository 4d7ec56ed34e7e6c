package reach

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"tench/config"
)

// maxAddrs is how many addresses of a host are asked.
const maxAddrs = 8

// ask asks a target once. The error says why it does not count as reached.
func ask(ctx context.Context, t config.Target) error {
	if t.Port != 0 {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", t.String())
		if err != nil {
			return plain(err)
		}
		return conn.Close()
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.Host)
	if err != nil {
		return plain(err)
	}
	return anyOf(ctx, addrs[:min(len(addrs), maxAddrs)], echo)
}

// anyOf asks all addresses of a host at once and returns nil when one answers. In
// turn, a silent one would use up the time of the others: one of IPv6, say, where
// that leads nowhere.
func anyOf(ctx context.Context, addrs []netip.Addr, ask func(context.Context, netip.Addr) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(addrs))
	for _, a := range addrs {
		go func() { errs <- ask(ctx, a.Unmap()) }()
	}
	var err error
	for range addrs {
		if err = <-errs; err == nil {
			return nil
		}
	}
	return err
}

// plain drops what the reader knows: whom we asked, and from which port.
func plain(err error) error {
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer")
	case errors.As(err, &dns):
		return fmt.Errorf("look up %s: %s", dns.Name, dns.Err)
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

// protocol is ICMP for one version of IP (RFC 792, RFC 4443).
type protocol struct {
	network string // of net.ListenPacket
	number  int    // IANA's
	ask     icmp.Type
	answer  icmp.Type
}

var (
	icmp4 = protocol{"ip4:icmp", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply}
	icmp6 = protocol{"ip6:ipv6-icmp", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply}
)

// echo sends an ICMP echo request and waits for its answer until ctx ends.
func echo(ctx context.Context, to netip.Addr) error {
	p, any := icmp4, "0.0.0.0"
	if to.Is6() {
		p, any = icmp6, "::"
	}
	conn, err := icmp.ListenPacket(p.network, any)
	if err != nil {
		return plain(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// Every raw socket gets every answer: the identifier tells ours.
	id, seq := rand.IntN(1<<16), rand.IntN(1<<16)
	request, err := (&icmp.Message{Type: p.ask, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("tench")}}).Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := conn.WriteTo(request, &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}); err != nil {
		return plain(err)
	}
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return plain(err)
		}
		if answers(buf[:n], p, id, seq) && sameHost(from, to) {
			return nil
		}
	}
}

func sameHost(from net.Addr, to netip.Addr) bool {
	a, ok := from.(*net.IPAddr)
	return ok && a.IP.Equal(to.AsSlice())
}

// answers reports whether a packet is the echo reply with the given numbers.
func answers(packet []byte, p protocol, id, seq int) bool {
	m, err := icmp.ParseMessage(p.number, packet)
	if err != nil || m.Type != p.answer {
		return false
	}
	e, ok := m.Body.(*icmp.Echo)
	return ok && e.ID == id && e.Seq == seq
}
