package dhcp

import (
	"fmt"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/pxe/event"
)

// offer answers a DISCOVER.
func (x *exchange) offer() {
	x.asks()
	if x.quiet() || x.strayRelay() {
		return
	}
	a, ok := x.pool.offer(x.who.MAC, address(x.m.RequestedIPAddress()), x.now, x.near())
	if !ok {
		x.silent("all %d addresses are leased", len(x.pool.addrs))
		return
	}
	r := x.answer(dhcpv4.MessageTypeOffer, a)
	if x.send(r, x.destination(x.m, r), event.Offer, a, x.told()) {
		x.out.look = a
		// UEFI takes no offer without a boot file: it boots its disk, and this is the
		// last that is heard of it.
		if x.boot.Disk && x.who.Firmware.EFI() {
			x.say(event.Disk, netip.Addr{}, "%v", x.who)
		}
	}
}

// answer is an OFFER or an ACK of the address a.
func (x *exchange) answer(kind dhcpv4.MessageType, a netip.Addr) *dhcpv4.DHCPv4 {
	r := x.reply(x.m, kind)
	r.YourIPAddr = a.AsSlice()
	addLease(r)
	x.addParameters(r)
	return r
}

// addParameters adds all but an address.
func (x *exchange) addParameters(r *dhcpv4.DHCPv4) {
	x.addNetwork(r)
	x.addBoot(r, x.who, x.boot)
	if x.boot.File != "" {
		addClass(r, x.who, false)
	}
	if x.who.Loader == "iPXE" {
		r.UpdateOption(noProxyWait)
	}
}

// told says what the client is told to do.
func (x *exchange) told() string {
	switch {
	case x.boot.Disk:
		return fmt.Sprintf("%v: an address and no boot file: boot your disk", x.who)
	case x.boot.File == "":
		return fmt.Sprintf("%v: an address and no boot file", x.who)
	}
	return x.who.String()
}

// strayRelay reports, and says, that a relay is in a network that we have no
// addresses of.
func (x *exchange) strayRelay() bool {
	relay := address(x.m.GatewayIPAddr)
	stray := relay.IsValid() && !x.server.Contains(relay)
	if stray {
		x.silent("it asks through the relay %v, and we give addresses of %v only", relay, x.server.Masked())
	}
	return stray
}

// request answers a REQUEST, which a client sends to take an offer, to keep its
// address over a reboot, and to renew (RFC 2131, 4.3.2).
func (x *exchange) request() {
	want := address(x.m.RequestedIPAddress())
	if !want.IsValid() {
		want = address(x.m.ClientIPAddr)
	}
	if other := address(x.m.ServerIdentifier()); other.IsValid() && other != x.server.Addr() {
		x.elsewhere(other, want)
		x.pool.release(x.who.MAC, x.now)
		return
	}
	if x.reboots() {
		x.asks()
	}
	if x.quiet() || x.strayRelay() {
		return
	}
	switch {
	case !want.IsValid():
		x.silent("it requests no address")
		return
	case !x.server.Contains(want):
		x.nak(want, fmt.Sprintf("%v is not of the network %v", want, x.server.Masked()))
		return
	}
	if refusal := x.pool.take(x.who.MAC, want, x.now, x.near()); refusal != "" {
		x.nak(want, refusal)
		return
	}
	x.say(event.Request, want, "%v", x.who)
	r := x.answer(dhcpv4.MessageTypeAck, want)
	r.ClientIPAddr = x.m.ClientIPAddr
	if x.send(r, x.destination(x.m, r), event.Ack, want, x.told()) && x.boot.Disk {
		x.say(event.Disk, want, "%v", x.who)
	}
}

// reboots reports whether the client, instead of a DISCOVER, asks for the address
// that it had before it was started (INIT-REBOOT).
func (x *exchange) reboots() bool {
	return !address(x.m.ServerIdentifier()).IsValid() && !address(x.m.ClientIPAddr).IsValid()
}

// elsewhere says that the client took another server's offer.
func (x *exchange) elsewhere(other, want netip.Addr) {
	x.out.other = other
	x.say(event.Elsewhere, want, "%v", other)
}

// nak refuses what the client requests, so that it begins anew at once.
func (x *exchange) nak(want netip.Addr, why string) {
	r := x.reply(x.m, dhcpv4.MessageTypeNak)
	r.UpdateOption(dhcpv4.OptMessage(why))
	if address(x.m.GatewayIPAddr).IsValid() {
		r.SetBroadcast() // the relay must not look for an address that is not
	}
	b, err := encode(r, x.m)
	if err != nil {
		x.silent("%v", err)
		return
	}
	x.out.reply, x.out.to = b, x.destination(x.m, r)
	x.say(event.Nak, want, "%s", why)
}

// decline takes an address out of use: the client found somebody at it.
func (x *exchange) decline() {
	a := address(x.m.RequestedIPAddress())
	if !a.IsValid() || a != x.pool.address(x.who.MAC) {
		x.silent("it declines %v, which it does not have from us", a)
		return
	}
	x.pool.spoil(a, x.now)
	x.say(event.Decline, a, "not given to anybody for %v", spoiltTime)
}

// release ends a lease.
func (x *exchange) release() {
	if a := address(x.m.ClientIPAddr); a.IsValid() && a == x.pool.address(x.who.MAC) {
		x.pool.release(x.who.MAC, x.now)
	}
	x.silent("it gives back its address; nothing is answered to that")
}

// inform answers a client that has an address of its own (RFC 2131, 4.3.5).
func (x *exchange) inform() {
	if x.quiet() {
		return
	}
	r := x.reply(x.m, dhcpv4.MessageTypeAck)
	r.ClientIPAddr = x.m.ClientIPAddr
	x.addParameters(r)
	x.send(r, x.destination(x.m, r), event.Ack, address(x.m.ClientIPAddr), x.told())
}

// bootp answers a client of RFC 951, such as U-Boot's `bootp`.
func (x *exchange) bootp() {
	x.asks()
	if x.quiet() || x.strayRelay() {
		return
	}
	near := x.near()
	a, ok := x.pool.offer(x.who.MAC, netip.Addr{}, x.now, near)
	if !ok {
		x.silent("all %d addresses are leased", len(x.pool.addrs))
		return
	}
	if refusal := x.pool.take(x.who.MAC, a, x.now, near); refusal != "" {
		x.silent("%s", refusal)
		return
	}
	r := x.reply(x.m, dhcpv4.MessageTypeNone)
	r.YourIPAddr = a.AsSlice()
	x.addParameters(r)
	x.send(r, x.destination(x.m, r), event.Ack, a, x.told())
}
