package dhcp

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/pxe/event"
)

// proxyRules are those of port 67 beside another DHCP server.
var proxyRules = rules{
	dhcpv4.MessageTypeDiscover: (*exchange).proxyOffer,
	dhcpv4.MessageTypeRequest:  (*exchange).proxyRequest,
	dhcpv4.MessageTypeInform:   (*exchange).bootServer,
	dhcpv4.MessageTypeNone:     (*exchange).proxyOffer,
}

// bootServerRules are those of port 4011. Most clients send a REQUEST; the
// specification has it so, though nothing is requested.
var bootServerRules = rules{
	dhcpv4.MessageTypeDiscover: (*exchange).bootServer,
	dhcpv4.MessageTypeRequest:  (*exchange).bootServer,
	dhcpv4.MessageTypeInform:   (*exchange).bootServer,
}

// proxyOffer names the boot file and offers no address.
func (x *exchange) proxyOffer() {
	x.asks()
	if x.dumb() {
		return
	}
	r := x.reply(x.m, dhcpv4.MessageTypeOffer)
	x.addBoot(r, x.who, x.boot)
	addClass(r, x.who, true)
	x.send(r, x.destination(x.m, r), event.Proxy, netip.Addr{}, x.named())
}

// dumb reports, and says, that a proxy has nothing to tell the client.
func (x *exchange) dumb() bool {
	why := ""
	switch {
	case !x.who.Boots:
		why = "it asks for an address only, which another server gives"
	case x.boot.Silent != "":
		why = x.boot.Silent
	case !x.takesProxies():
		why = x.who.String() + " knows no proxy DHCP, and would take our offer for its address; use full mode, or let the other server name us"
	case x.boot.Disk:
		x.say(event.Disk, netip.Addr{}, "%v: no answer: boot your disk", x.who)
		return true
	case x.boot.File == "":
		why = "there is no boot file for it"
	}
	if why != "" {
		x.silent("%s", why)
	}
	return why != ""
}

// takesProxies reports whether the client understands an offer without an
// address: firmware and iPXE do. FreeBSD's loader calls itself a PXE client too.
func (x *exchange) takesProxies() bool {
	class := strings.HasPrefix(x.who.Vendor, "PXEClient") || strings.HasPrefix(x.who.Vendor, "HTTPClient")
	return class && x.m.MessageType() != dhcpv4.MessageTypeNone && (x.who.Loader == "" || x.who.Loader == "iPXE")
}

// proxyRequest sees a client take an offer. All servers hear a request, and only
// the one that is named in it answers.
func (x *exchange) proxyRequest() {
	want := address(x.m.RequestedIPAddress())
	switch other := address(x.m.ServerIdentifier()); {
	case other == x.server.Addr():
		x.silent("it takes our offer, which has no address: does another server give addresses?")
	case other.IsValid():
		x.elsewhere(other, want)
	case x.reboots():
		x.asks()
		x.silent("it asks another server for the address that it had")
	default:
		x.silent("it keeps an address that another server gave it")
	}
}

// bootServer answers on port 4011, and those who already have an address.
func (x *exchange) bootServer() {
	if x.dumb() {
		return
	}
	r := x.reply(x.m, dhcpv4.MessageTypeAck)
	r.ClientIPAddr = x.m.ClientIPAddr
	x.addBoot(r, x.who, x.boot)
	addClass(r, x.who, true)
	if item := x.item(); item != nil {
		setVendor(r, dhcpv4.Options{pxeItem: item})
	}
	// The client waits at the port that it sent from.
	to := x.from
	if a := to.Addr(); !a.Is4() || a.IsUnspecified() {
		to = x.destination(x.m, r)
	}
	x.send(r, to, event.Proxy, address(to.Addr().AsSlice()), x.named())
}

// named says that the client was named its file, and where.
func (x *exchange) named() string { return fmt.Sprintf("%v, on port %d", x.who, x.port) }

// item is the boot server that the client chose of a menu, which the answer has
// to repeat; nil where it was asked without option 43.
func (x *exchange) item() []byte {
	sub := dhcpv4.Options{}
	if sub.FromBytes(x.m.Options.Get(dhcpv4.OptionVendorSpecificInformation)) != nil {
		return nil
	}
	if item := sub[pxeItem]; len(item) == 4 {
		return item
	}
	return nil
}
