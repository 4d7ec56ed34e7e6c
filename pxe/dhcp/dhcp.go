// Package dhcp tells boxes that boot over the network where their boot file is,
// as a DHCP server (RFC 2131) or beside one.
//
//	dhcp.go             Mode, Options, Boot
//	client.go           Client: who asks, told from the options of its packet
//	core.go             the automaton: packet, clients and time in; reply, events out
//	full.go             its rules where we give out the addresses
//	proxy.go            its rules beside another DHCP server, and on port 4011
//	reply.go            the messages we send
//	pool.go             addresses and who has them
//	limit.go            how much one client may ask
//	others.go           the other DHCP servers on the wire
//	advert.go           the router advertisement
//	server_linux.go     Listen, Serve
//	socket_linux.go     UDP 67 and 4011, on one interface
//	watch_linux.go      hears what other servers say (internal/rawudp)
//	probe_linux.go      Probe: who answers a DISCOVER
//	advert_linux.go     the socket for it
//	link_linux.go       the kernel's word on the interface: neighbours, carrier
//
// Messages are encoded and parsed by github.com/insomniacslk/dhcp. The rules for
// boot clients are from the PXE specification 2.1 (Intel, 1999), RFC 4578, the
// UEFI specification's HTTP boot, and from what clients were seen to do; each has
// its reason where it is.
//
// Where it deviates from RFC 2131, and why:
//
//   - It sends to 255.255.255.255 when the client has no address yet, whether or
//     not the client set the broadcast flag (4.1). Unicast to an address that
//     nobody has needs an entry in the ARP cache by hand; every client that we
//     know takes a broadcast.
//   - It gives a client that it does not know the address it asks to keep, when
//     that is free, and refuses it otherwise, where a server that is not alone
//     must be silent (4.3.2). Full mode is for a wire where we are alone, and
//     leases are kept in memory: a client must not wait after we were restarted.
//   - It does not wait for a probe of an address before it offers it (2.2). It
//     lets the kernel look for the address when it makes the offer, and refuses
//     it when somebody else has answered by the time that it is requested.
//   - BOOTP clients (RFC 1534) get an address that is given to others when it is
//     needed, 30 minutes later at the earliest.
package dhcp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"tench/pxe/event"
)

// Mode is how we stand to other DHCP servers.
type Mode string

// The modes.
const (
	// Full: we give out addresses. We refuse to start where somebody else does.
	Full Mode = "full"
	// Proxy: another server gives out addresses, we add the boot file (proxy
	// DHCP of the PXE specification).
	Proxy Mode = "proxy"
	// Foreign: another server gives out addresses and names us as the server
	// with the boot file. We speak no DHCP at all and open no socket.
	Foreign Mode = "foreign"
	// Auto: look who answers, and choose. Nobody: Full. Somebody who names us:
	// Foreign. Somebody else: Proxy.
	Auto Mode = "auto"
)

// Modes are all modes, for flags and completion.
func Modes() []Mode { return []Mode{Auto, Full, Proxy, Foreign} }

// ParseMode reads a mode's name.
func ParseMode(s string) (Mode, error) {
	for _, m := range Modes() {
		if s == string(m) {
			return m, nil
		}
	}
	return "", fmt.Errorf("mode %q: known are auto, full, proxy and foreign", s)
}

// Boot is what a client shall do.
type Boot struct {
	// File is a path for TFTP, or a URL. Empty: an address and no boot file,
	// where we give addresses; no answer, where we do not. Firmware then goes on
	// to its next device at once.
	File string
	// RootPath is option 17, e.g. "tftp://192.0.2.1/FreeBSD"; "" for none.
	RootPath string
	// Silent is why the client gets no answer at all; "" when it does.
	Silent string
	// Disk says that File is empty because the box shall boot its disk.
	Disk bool
	// Rule is what decided, for `tench pxe explain`.
	Rule string
}

// Options are what a server needs to know.
type Options struct {
	// Interface is the one we hear and answer on. Nothing leaves by another.
	Interface *net.Interface
	// Server is our address there with the length of its network, e.g.
	// 192.0.2.1/24; Address finds it.
	Server netip.Prefix
	Mode   Mode
	// Decide says what a client shall do. It is called for each packet, by one
	// goroutine, and must not block.
	Decide func(Client) Boot
	Sink   event.Sink
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Random gives transaction numbers of probes; nil for crypto/rand.
	Random io.Reader
	// ProbeWait is how long Listen waits for other servers to answer, and
	// ProbeEvery how often it is asked for them in a run; 0 for the defaults.
	ProbeWait, ProbeEvery time.Duration
}

// Found is a DHCP server that answered or was heard.
type Found struct {
	Server  netip.Addr // its identifier (option 54), or else where its packet came from
	MAC     event.MAC  // of the station that sent the packet
	Offered netip.Addr // the address it offered; not valid for a proxy
	Proxy   bool       // it offers a boot file and no address
	Next    netip.Addr // the server with the boot file that it names; not valid for none
	File    string     // the boot file it names
}

// String says who it is, e.g. "192.168.1.1 (52:54:00:12:34:56)".
func (f Found) String() string {
	text := f.Server.String()
	if !f.MAC.IsZero() {
		text += " (" + f.MAC.String() + ")"
	}
	if f.Proxy {
		text += ", a proxy"
	}
	return text
}

// choose says which mode Auto means, and whether full mode may be.
func choose(mode Mode, self netip.Addr, found []Found) (Mode, error) {
	var giving, naming []Found
	for _, f := range found {
		if !f.Proxy {
			giving = append(giving, f)
		}
		if f.Next == self && f.File != "" {
			naming = append(naming, f)
		}
	}
	switch {
	case mode == Full && len(found) > 0:
		return "", fmt.Errorf("another DHCP server answers: %v\nhint: --mode proxy works beside it; --mode full needs a cable of its own", found[0])
	case mode != Auto:
		return mode, nil
	case len(naming) > 0:
		return Foreign, nil
	case len(giving) > 0:
		return Proxy, nil
	case len(found) > 0:
		return "", fmt.Errorf("another boot server answers, and nobody gives addresses: %v\nhint: switch it off, or say --mode proxy", found[0])
	}
	return Full, nil
}

// Address is the first IPv4 address of an interface, with its network.
func Address(i *net.Interface) (netip.Prefix, error) {
	addrs, err := i.Addrs()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("dhcp: %s: read addresses: %w", i.Name, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLinkLocalUnicast() {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("dhcp: %s: find address: it has no IPv4 address\nhint: sudo ip addr add 192.0.2.1/24 dev %s", i.Name, i.Name)
}

// check refuses options that cannot work.
func (o Options) check() error {
	switch {
	case o.Interface == nil:
		return errors.New("no interface")
	case !o.Server.IsValid() || !o.Server.Addr().Is4():
		return fmt.Errorf("%s: our address %v: want an IPv4 address with its network, e.g. 192.0.2.1/24", o.Interface.Name, o.Server)
	case o.Decide == nil:
		return errors.New("nobody decides about clients")
	}
	_, err := ParseMode(string(o.Mode))
	return err
}
