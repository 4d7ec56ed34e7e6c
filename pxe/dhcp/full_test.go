package dhcp

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/pxe/event"
)

// requested is option 50.
func requested(a netip.Addr) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(a.AsSlice()))
}

// of is option 54.
func of(server string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(server).To4()))
}

// lease takes m through DISCOVER and REQUEST.
func (b *bench) lease(t *testing.T, m event.MAC) netip.Addr {
	t.Helper()
	offer, out := b.send(t, ask(m, dhcpv4.MessageTypeDiscover), 67)
	if offer == nil {
		t.Fatalf("%v: no offer: %v", m, says(out))
	}
	a := address(offer.YourIPAddr)
	if out.look != a {
		t.Errorf("%v: looked for %v, want %v", m, out.look, a)
	}
	ack, out := b.send(t, ask(m, dhcpv4.MessageTypeRequest, requested(a), of("192.0.2.1")), 67)
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck || address(ack.YourIPAddr) != a {
		t.Fatalf("%v: no ACK of %v: %v", m, a, says(out))
	}
	return a
}

// numbered is the nth box's address.
func numbered(n int) event.MAC { return event.MAC{0x52, 0x54, 0, 1, byte(n >> 8), byte(n)} }

// TestRequests checks every kind of REQUEST of RFC 2131, 4.3.2, from a client
// that has 192.0.2.200 and from one that we do not know.
func TestRequests(t *testing.T) {
	has := netip.MustParseAddr("192.0.2.200")
	ciaddr := func(s string) dhcpv4.Modifier { return dhcpv4.WithClientIP(net.ParseIP(s).To4()) }
	addr := netip.MustParseAddr
	for _, tc := range []struct {
		name string
		who  event.MAC
		mods []dhcpv4.Modifier
		want string // the address of an ACK, or the words of a NAK
	}{
		{"takes our offer", mac, []dhcpv4.Modifier{requested(has), of("192.0.2.1")}, "192.0.2.200"},
		{"keeps it over a reboot", mac, []dhcpv4.Modifier{requested(has)}, "192.0.2.200"},
		{"renews", mac, []dhcpv4.Modifier{ciaddr("192.0.2.200")}, "192.0.2.200"},
		{"changes to a free one", mac, []dhcpv4.Modifier{requested(addr("192.0.2.201"))}, "192.0.2.201"},
		{"wants one of another network", mac, []dhcpv4.Modifier{requested(addr("10.0.0.5"))}, "10.0.0.5 is not of the network 192.0.2.0/24"},
		{"wants ours", mac, []dhcpv4.Modifier{requested(addr("192.0.2.1"))}, "192.0.2.1 is none of the addresses that we give"},
		{"renews one of another network", mac, []dhcpv4.Modifier{ciaddr("10.0.0.5")}, "10.0.0.5 is not of the network 192.0.2.0/24"},
		{"unknown, from before our restart", numbered(7), []dhcpv4.Modifier{requested(addr("192.0.2.222"))}, "192.0.2.222"},
		{"unknown, renews from before our restart", numbered(7), []dhcpv4.Modifier{ciaddr("192.0.2.222")}, "192.0.2.222"},
		{"unknown, wants somebody else's", numbered(7), []dhcpv4.Modifier{requested(has)}, "192.0.2.200 is leased to somebody else"},
		{"wants what a stranger uses", numbered(7), []dhcpv4.Modifier{requested(addr("192.0.2.240"))}, "192.0.2.240 is used by 52:54:00:01:00:09"},
		{"its own, and the kernel knows it there", mac, []dhcpv4.Modifier{ciaddr("192.0.2.200")}, "192.0.2.200"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, Full, self)
			b.near[addr("192.0.2.240")] = neighbour{numbered(9), true}
			b.near[has] = neighbour{mac, true}
			b.send(t, ask(mac, dhcpv4.MessageTypeDiscover, requested(has)), 67)
			b.send(t, ask(mac, dhcpv4.MessageTypeRequest, requested(has)), 67)
			r, out := b.send(t, ask(tc.who, dhcpv4.MessageTypeRequest, tc.mods...), 67)
			switch {
			case r == nil:
				t.Fatalf("no answer: %v", says(out))
			case r.MessageType() == dhcpv4.MessageTypeNak:
				if r.Message() != tc.want || !slices.Contains(says(out), "nak: "+tc.want) || address(r.YourIPAddr).IsValid() {
					t.Errorf("NAK %q, %v; want %q", r.Message(), says(out), tc.want)
				}
			case r.YourIPAddr.String() != tc.want || r.IPAddressLeaseTime(0) != leaseTime:
				t.Errorf("ACK of %v for %v, want %s", r.YourIPAddr, r.IPAddressLeaseTime(0), tc.want)
			}
		})
	}
}

// TestWhoAsks checks what a boot's automaton tells a loader from a system by.
func TestWhoAsks(t *testing.T) {
	had := requested(netip.MustParseAddr("192.0.2.200"))
	for _, tc := range []struct {
		name   string
		mode   Mode
		kind   dhcpv4.MessageType
		client asClient
		want   string
	}{
		{"firmware", Full, dhcpv4.MessageTypeDiscover, intel, ""},
		{"a loader", Full, dhcpv4.MessageTypeDiscover, ipxeROM, "iPXE"},
		{"a loader by BOOTP", Full, dhcpv4.MessageTypeNone, uboot, "U-Boot"},
		{"a system", Full, dhcpv4.MessageTypeDiscover, udhcpc, event.System},
		{"a system that had an address", Full, dhcpv4.MessageTypeRequest, append(slices.Clone(udhcpc), had), event.System},
		{"a loader beside another server", Proxy, dhcpv4.MessageTypeDiscover, ipxeROM, "iPXE"},
		{"a system that had an address, beside another server", Proxy, dhcpv4.MessageTypeRequest, append(slices.Clone(udhcpc), had), event.System},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, out := newBench(t, tc.mode, self).send(t, ask(mac, tc.kind, tc.client...), 67)
			if first := out.events[0]; first.Kind != event.Discover || first.Loader != tc.want {
				t.Errorf("first event %s by %q, want one of %q", first.Kind, first.Loader, tc.want)
			}
		})
	}
}

// TestOfferParameters checks the rest of an offer.
func TestOfferParameters(t *testing.T) {
	b := newBench(t, Full, netip.MustParsePrefix("192.0.2.65/26"))
	agent := option(82, "\x01\x04port")
	r, _ := b.send(t, ask(mac, dhcpv4.MessageTypeDiscover, option(61, "\x01id"), agent, dhcpv4.WithBroadcast(true)), 67)
	if got := fmt.Sprint(net.IP(r.SubnetMask()), r.BroadcastAddress(), r.Router(), r.DNS()); got != "255.255.255.192 192.0.2.127 [] []" {
		t.Errorf("network: %s", got)
	}
	if string(r.Options[61]) != "\x01id" || string(r.Options[82]) != "\x01\x04port" || !r.IsBroadcast() || r.TransactionID != (dhcpv4.TransactionID{1, 2, 3, 4}) {
		t.Errorf("not repeated:\n%s", r.Summary())
	}
}

// TestBootYourDisk checks that such a box gets an address and no boot file.
func TestBootYourDisk(t *testing.T) {
	b := newBench(t, Full, self)
	b.boot = Boot{Disk: true, Rule: "installed"}
	a := netip.MustParseAddr("192.0.2.200")
	r, out := b.send(t, ask(mac, dhcpv4.MessageTypeRequest, append(intel, requested(a))...), 67)
	if r == nil || r.BootFileName != "" || r.Options.Has(dhcpv4.OptionBootfileName) || address(r.ServerIPAddr).IsValid() {
		t.Errorf("reply %v", r.Summary())
	}
	if kinds := says(out); len(kinds) != 4 || !strings.HasPrefix(kinds[3], "disk: ") {
		t.Errorf("events %v, want a last one of the kind disk", kinds)
	}
	// UEFI never asks for what it is offered then.
	_, out = b.send(t, ask(mac, dhcpv4.MessageTypeDiscover, append(ovmf, requested(a))...), 67)
	if kinds := says(out); len(kinds) == 0 || !strings.HasPrefix(kinds[len(kinds)-1], "disk: ") {
		t.Errorf("events %v, want a last one of the kind disk", kinds)
	}
}

// TestLeases follows addresses through what clients do with them.
func TestLeases(t *testing.T) {
	t.Run("the same one again, long after", func(t *testing.T) {
		b := newBench(t, Full, self)
		a := b.lease(t, mac)
		b.now = b.now.Add(48 * time.Hour)
		if again := b.lease(t, mac); again != a {
			t.Errorf("%v, then %v", a, again)
		}
		if owner, ok := b.pool.owner(a); !ok || owner != mac {
			t.Errorf("owner of %v = %v, %v", a, owner, ok)
		}
	})
	t.Run("the same one from a server that was restarted", func(t *testing.T) {
		if a, b := newBench(t, Full, self).lease(t, mac), newBench(t, Full, self).lease(t, mac); a != b {
			t.Errorf("%v, then %v", a, b)
		}
	})
	t.Run("declined", func(t *testing.T) {
		b := newBench(t, Full, self)
		a := b.lease(t, mac)
		_, out := b.send(t, ask(mac, dhcpv4.MessageTypeDecline, requested(a), of("192.0.2.1")), 67)
		if got := says(out); len(got) != 1 || got[0] != "decline: not given to anybody for 10m0s" {
			t.Errorf("events %v", got)
		}
		if next := b.lease(t, mac); next == a {
			t.Errorf("got %v again", a)
		}
		if _, ok := b.pool.owner(a); ok {
			t.Errorf("%v has an owner", a)
		}
	})
	t.Run("offered, and somebody is there", func(t *testing.T) {
		b := newBench(t, Full, self)
		offer, _ := b.send(t, ask(mac, dhcpv4.MessageTypeDiscover), 67)
		a := address(offer.YourIPAddr)
		b.near[a] = neighbour{numbered(9), true}
		r, _ := b.send(t, ask(mac, dhcpv4.MessageTypeRequest, requested(a), of("192.0.2.1")), 67)
		if r == nil || r.MessageType() != dhcpv4.MessageTypeNak {
			t.Fatalf("no NAK")
		}
		if next := b.lease(t, mac); next == a {
			t.Errorf("got %v, which is used", a)
		}
	})
	t.Run("a cable that goes from box to box has one address", func(t *testing.T) {
		b := newBench(t, Full, netip.MustParsePrefix("192.0.2.1/30"))
		a := b.lease(t, mac)
		b.near[a] = neighbour{mac, false}
		if r, out := b.send(t, ask(numbered(1), dhcpv4.MessageTypeDiscover), 67); r != nil || says(out)[1] != "silent: all 1 addresses are leased" {
			t.Errorf("while it is leased: %v", says(out))
		}
		b.send(t, ask(mac, dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(a.AsSlice())), 67)
		b.now = b.now.Add(time.Second)
		if next := b.lease(t, numbered(1)); next != a {
			t.Errorf("got %v, want %v", next, a)
		}
		b.now = b.now.Add(leaseTime + time.Second)
		if next := b.lease(t, numbered(2)); next != a {
			t.Errorf("got %v, want %v", next, a)
		}
		if owner, _ := b.pool.owner(a); owner != numbered(2) {
			t.Errorf("owner %v", owner)
		}
	})
	t.Run("an offer that nobody took is free again", func(t *testing.T) {
		b := newBench(t, Full, netip.MustParsePrefix("192.0.2.1/30"))
		b.send(t, ask(mac, dhcpv4.MessageTypeDiscover), 67)
		b.now = b.now.Add(offerTime + time.Second)
		b.lease(t, numbered(1))
	})
	t.Run("BOOTP", func(t *testing.T) {
		b := newBench(t, Full, self)
		r, _ := b.send(t, ask(mac, dhcpv4.MessageTypeNone), 67)
		if owner, ok := b.pool.owner(address(r.YourIPAddr)); !ok || owner != mac || r.Options.Has(dhcpv4.OptionIPAddressLeaseTime) {
			t.Errorf("owner %v, %v\n%s", owner, ok, r.Summary())
		}
	})
	t.Run("took another server's offer", func(t *testing.T) {
		b := newBench(t, Full, netip.MustParsePrefix("192.0.2.1/30"))
		b.send(t, ask(mac, dhcpv4.MessageTypeDiscover), 67)
		_, out := b.send(t, ask(mac, dhcpv4.MessageTypeRequest, of("192.0.2.9"), requested(netip.MustParseAddr("192.0.2.2"))), 67)
		if out.other != netip.MustParseAddr("192.0.2.9") || out.events[0].Kind != event.Elsewhere {
			t.Errorf("outcome %+v", out)
		}
		b.now = b.now.Add(time.Second)
		b.lease(t, numbered(1))
	})
}

// TestPools checks which addresses are given.
func TestPools(t *testing.T) {
	for _, tc := range []struct{ server, first, last, count string }{
		{"192.0.2.1/24", "192.0.2.128", "192.0.2.254", "127"},
		{"192.0.2.200/24", "192.0.2.128", "192.0.2.254", "126"},
		{"192.0.2.1/29", "192.0.2.2", "192.0.2.6", "5"},
		{"192.0.2.2/30", "192.0.2.1", "192.0.2.1", "1"},
		{"10.1.2.3/8", "10.128.0.1", "10.128.16.32", "4096"},
		{"10.0.0.1/21", "10.0.4.1", "10.0.7.254", "1016"},
		{"192.0.2.1/28", "192.0.2.8", "192.0.2.14", "7"},
	} {
		p, err := newPool(netip.MustParsePrefix(tc.server))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(p.addrs[0], p.addrs[len(p.addrs)-1], len(p.addrs))
		if want := fmt.Sprintf("%s %s %s", tc.first, tc.last, tc.count); got != want {
			t.Errorf("pool of %s: %s, want %s", tc.server, got, want)
		}
	}
	for _, server := range []string{"192.0.2.1/31", "192.0.2.1/32"} {
		if _, err := newPool(netip.MustParsePrefix(server)); err == nil || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("pool of %s: %v, want an error with a hint", server, err)
		}
	}
}
