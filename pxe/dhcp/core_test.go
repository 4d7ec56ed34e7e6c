package dhcp

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/pxe/event"
)

// bench is a core and what is around it.
type bench struct {
	*core
	now  time.Time
	boot Boot // what every client shall do
	near map[netip.Addr]neighbour
}

func newBench(t *testing.T, mode Mode, server netip.Prefix) *bench {
	t.Helper()
	b := &bench{now: start, boot: Boot{File: "loader", Rule: "the rule"}, near: map[netip.Addr]neighbour{}}
	b.core = &core{
		mode: mode, server: server, limit: newLimiter(),
		decide: func(Client) Boot { return b.boot },
		near:   func() map[netip.Addr]neighbour { return b.near },
	}
	if mode == Full {
		var err error
		if b.pool, err = newPool(server); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// send gives the core a message and returns its answer, nil for none.
func (b *bench) send(t *testing.T, m *dhcpv4.DHCPv4, port uint16) (*dhcpv4.DHCPv4, outcome) {
	t.Helper()
	from := nobody
	if a := address(m.ClientIPAddr); a.IsValid() {
		from = netip.AddrPortFrom(a, clientPort)
	}
	out := b.receive(packet{payload: m.ToBytes(), from: from, port: port}, b.now)
	if out.reply == nil {
		return nil, out
	}
	r, err := dhcpv4.FromBytes(out.reply)
	if err != nil {
		t.Fatalf("our reply: %v", err)
	}
	return r, out
}

// says lists the events of an outcome, as "kind: text".
func says(out outcome) []string {
	var list []string
	for _, e := range out.events {
		list = append(list, string(e.Kind)+": "+e.Text)
	}
	return list
}

// shape is what we look at of a reply: the header's boot fields and the options
// that matter to boot clients.
func shape(r *dhcpv4.DHCPv4) map[string]string {
	s := map[string]string{"type": r.MessageType().String(), "file": r.BootFileName, "sname": r.ServerHostName, "siaddr": r.ServerIPAddr.String()}
	for _, code := range []uint8{17, 43, 54, 60, 66, 67, 97, 150, 175} {
		if v, ok := r.Options[code]; ok {
			s[strconv.Itoa(int(code))] = string(v)
		}
	}
	return s
}

// TestBootFileByClient checks where each client finds its boot file, in both modes
// and on port 4011.
func TestBootFileByClient(t *testing.T) {
	const (
		us      = "\xc0\x00\x02\x01"
		control = "\x06\x01\x08\xff"
		piMenu  = "\x06\x01\x03\x09\x14\x00\x00\x11Raspberry Pi Boot\x0a\x04\x00PXE\xff"
	)
	discover, request := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
	// plain is what each of them gets, by field and number of the option; more
	// is added, or takes its place.
	plain := func(kind string, more ...string) map[string]string {
		s := map[string]string{"type": kind, "file": "loader", "sname": "192.0.2.1", "siaddr": "192.0.2.1",
			"54": us, "66": "192.0.2.1", "67": "loader", "150": us}
		for i := 0; i < len(more); i += 2 {
			s[more[i]] = more[i+1]
		}
		return s
	}
	zero := []string{"66", "192.0.2.1\x00", "67", "loader\x00"}
	uuid97 := []string{"97", string(testUUID)}
	for _, tc := range []struct {
		name   string
		mode   Mode
		port   uint16
		kind   dhcpv4.MessageType
		client asClient
		want   map[string]string
	}{
		{"iPXE: no wait for a proxy", Full, 67, discover, ipxeROM, plain("OFFER", "97", string(make([]byte, 17)), "175", "\xb0\x01\x01")},
		{"UEFI: no class, or it would look for a proxy", Full, 67, discover, ovmf, plain("OFFER", uuid97...)},
		{"UEFI HTTP boot: its class", Full, 67, discover, ovmfHTTP, plain("OFFER", append(uuid97, "60", "HTTPClient")...)},
		{"old BIOS: zeros behind names, no UUID", Full, 67, discover, intel, plain("OFFER", zero...)},
		{"Raspberry Pi: its menu", Full, 67, discover, pi4,
			plain("OFFER", "60", "PXEClient", "43", piMenu, "97", "\x00RPi4\x11\x31\xc0\x00\x01\x02\x03\x04\x10\x20\x30\x40")},
		{"FreeBSD", Full, 67, discover, freeBSD, plain("OFFER")},
		{"U-Boot", Full, 67, discover, uboot, plain("OFFER")},
		{"BOOTP", Full, 67, dhcpv4.MessageTypeNone, uboot, map[string]string{
			"type": "unknown (0)", "file": "loader", "sname": "192.0.2.1", "siaddr": "192.0.2.1", "66": "192.0.2.1", "67": "loader", "150": us}},

		{"proxy, iPXE: take this file, do not ask on 4011", Proxy, 67, discover, ipxeROM,
			plain("OFFER", "60", "PXEClient", "43", control, "97", string(make([]byte, 17)))},
		{"proxy, iPXE under UEFI: the same", Proxy, 67, discover, ipxeEFI, plain("OFFER", append(uuid97, "60", "PXEClient", "43", control)...)},
		{"proxy, UEFI: no option 43, so that it asks on 4011", Proxy, 67, discover, ovmf, plain("OFFER", append(uuid97, "60", "PXEClient")...)},
		{"proxy, UEFI HTTP boot", Proxy, 67, discover, ovmfHTTP, plain("OFFER", append(uuid97, "60", "HTTPClient")...)},
		{"proxy, old BIOS", Proxy, 67, discover, intel, plain("OFFER", append(zero, "60", "PXEClient", "43", control)...)},

		{"4011, UEFI without option 43", Proxy, 4011, request, ovmf, plain("ACK", append(uuid97, "60", "PXEClient")...)},
		{"4011, old BIOS without option 43", Proxy, 4011, request, intel, plain("ACK", append(zero, "60", "PXEClient", "43", control)...)},
		{"4011, old BIOS that chose from a menu", Proxy, 4011, request, append(slices.Clone(intel), option(43, "\x47\x04\x00\x00\x00\x00\xff")),
			plain("ACK", append(zero, "60", "PXEClient", "43", "\x47\x04\x00\x00\x00\x00\xff")...)},
		{"4011, option 43 that cannot be read", Proxy, 4011, request, append(slices.Clone(intel), option(43, "\x47\x09\x00")),
			plain("ACK", append(zero, "60", "PXEClient", "43", control)...)},
		{"4011 in full mode", Full, 4011, request, ovmf, plain("ACK", append(uuid97, "60", "PXEClient")...)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, tc.mode, self)
			r, out := b.send(t, ask(mac, tc.kind, tc.client...), tc.port)
			if r == nil {
				t.Fatalf("no answer: %v", says(out))
			}
			if diff := cmp.Diff(tc.want, shape(r)); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
			for _, e := range out.events {
				if e.Box != mac || e.Rule != "the rule" || !e.Time.Equal(start) {
					t.Errorf("event %+v: want box, time and rule", e)
				}
			}
		})
	}
}

// TestSilences checks who gets no answer, and what is said about it.
func TestSilences(t *testing.T) {
	discover, request := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
	for _, tc := range []struct {
		name string
		mode Mode
		port uint16
		boot Boot
		m    *dhcpv4.DHCPv4
		want []string
	}{
		{"the caller wants none", Full, 67, Boot{Silent: "not in boxes.toml"}, ask(mac, discover, ovmf...),
			[]string{"discover: x64 UEFI", "silent: not in boxes.toml"}},
		{"the caller wants none, proxy", Proxy, 67, Boot{Silent: "not in boxes.toml"}, ask(mac, discover, ovmf...),
			[]string{"discover: x64 UEFI", "silent: not in boxes.toml"}},
		{"the caller wants none, 4011", Proxy, 4011, Boot{Silent: "not in boxes.toml"}, ask(mac, request, ovmf...),
			[]string{"silent: not in boxes.toml"}},
		{"the caller wants none, a request", Full, 67, Boot{Silent: "not in boxes.toml"}, ask(mac, request, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IP{192, 0, 2, 200}))),
			[]string{"discover: no boot client", "silent: not in boxes.toml"}},
		{"asks for the address it had, proxy", Proxy, 67, Boot{File: "x"}, ask(mac, request, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IP{192, 0, 2, 200}))),
			[]string{"discover: no boot client", "silent: it asks another server for the address that it had"}},
		{"an operating system beside another server", Proxy, 67, Boot{File: "x"}, ask(mac, discover, udhcpc...),
			[]string{"discover: no boot client", "silent: it asks for an address only, which another server gives"}},
		{"U-Boot beside another server", Proxy, 67, Boot{File: "x"}, ask(mac, discover, uboot...),
			[]string{"discover: U-Boot", "silent: U-Boot knows no proxy DHCP, and would take our offer for its address; use full mode, or let the other server name us"}},
		{"FreeBSD beside another server", Proxy, 67, Boot{File: "x"}, ask(mac, discover, freeBSD...),
			[]string{"discover: FreeBSD", "silent: FreeBSD knows no proxy DHCP, and would take our offer for its address; use full mode, or let the other server name us"}},
		{"no file beside another server", Proxy, 67, Boot{}, ask(mac, discover, ovmf...),
			[]string{"discover: x64 UEFI", "silent: there is no boot file for it"}},
		{"boot your disk, beside another server", Proxy, 67, Boot{Disk: true}, ask(mac, discover, ovmf...),
			[]string{"discover: x64 UEFI", "disk: x64 UEFI: no answer: boot your disk"}},
		{"took another server's offer, full", Full, 67, Boot{File: "x"}, ask(mac, request, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{192, 0, 2, 9}))),
			[]string{"elsewhere: 192.0.2.9"}},
		{"took another server's offer, proxy", Proxy, 67, Boot{File: "x"}, ask(mac, request, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{192, 0, 2, 9}))),
			[]string{"elsewhere: 192.0.2.9"}},
		{"took the proxy's offer", Proxy, 67, Boot{File: "x"}, ask(mac, request, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{192, 0, 2, 1}))),
			[]string{"silent: it takes our offer, which has no address: does another server give addresses?"}},
		{"renews with another server", Proxy, 67, Boot{File: "x"}, ask(mac, request, dhcpv4.WithClientIP(net.IP{192, 0, 2, 77})),
			[]string{"silent: it keeps an address that another server gave it"}},
		{"requests nothing", Full, 67, Boot{File: "x"}, ask(mac, request), []string{"discover: no boot client", "silent: it requests no address"}},
		{"a relay of another network", Full, 67, Boot{File: "x"}, ask(mac, discover, dhcpv4.WithGatewayIP(net.IP{10, 0, 0, 1})),
			[]string{"discover: no boot client", "silent: it asks through the relay 10.0.0.1, and we give addresses of 192.0.2.0/24 only"}},
		{"a message that only servers send", Full, 67, Boot{File: "x"}, ask(mac, dhcpv4.MessageTypeOffer),
			[]string{"silent: nothing is answered to OFFER on port 67 in full mode"}},
		{"RELEASE on 4011", Full, 4011, Boot{File: "x"}, ask(mac, dhcpv4.MessageTypeRelease),
			[]string{"silent: nothing is answered to RELEASE on port 4011 in full mode"}},
		{"declines what it does not have", Full, 67, Boot{File: "x"}, ask(mac, dhcpv4.MessageTypeDecline, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IP{192, 0, 2, 200}))),
			[]string{"silent: it declines 192.0.2.200, which it does not have from us"}},
		{"a file that is too long for the client", Full, 67, Boot{File: strings.Repeat("x", 400)}, ask(mac, discover),
			[]string{"discover: no boot client", "silent: an answer of 666 bytes is more than the client's 548"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, tc.mode, self)
			b.boot = tc.boot
			r, out := b.send(t, tc.m, tc.port)
			if r != nil {
				t.Errorf("an answer: %v", r.Summary())
			}
			if diff := cmp.Diff(tc.want, says(out)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnreadable checks packets that are no client's.
func TestUnreadable(t *testing.T) {
	good := ask(mac, dhcpv4.MessageTypeDiscover, ovmf...).ToBytes()
	change := func(at int, to byte) []byte { b := slices.Clone(good); b[at] = to; return b }
	for _, tc := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "0 bytes from 0.0.0.0:68: "},
		{"cut off in the header", good[:100], "100 bytes"},
		{"cut off in the options", good[:245], "245 bytes"},
		{"oversized", append(slices.Clone(good), make([]byte, 1500)...), "larger than 1472 bytes"},
		{"from a server", change(0, 2), "not from a client"},
		{"token ring", change(1, 6), "not from Ethernet"},
		{"a hardware address of 16 bytes", change(2, 16), "not from Ethernet"},
		{"a hardware address of 200 bytes", change(2, 200), "not from Ethernet"},
		{"from a group of stations", change(28, 0x53), "no station's address"},
		{"no cookie", change(236, 0), "cookie"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := newBench(t, Full, self).receive(packet{payload: tc.b, from: nobody, port: 67}, start)
			if out.reply != nil || len(out.events) != 1 || out.events[0].Kind != event.Silent || !strings.Contains(out.events[0].Text, tc.want) {
				t.Errorf("outcome %+v, want silence about %q", out, tc.want)
			}
		})
	}
}

// TestDestinations checks where replies go.
func TestDestinations(t *testing.T) {
	ip := dhcpv4.WithClientIP
	relay := dhcpv4.WithGatewayIP
	discover, request, inform := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform
	for _, tc := range []struct {
		name string
		mode Mode
		port uint16
		m    *dhcpv4.DHCPv4
		want string
	}{
		{"no address, broadcast flag", Full, 67, ask(mac, discover, dhcpv4.WithBroadcast(true)), "255.255.255.255:68"},
		{"no address, no flag", Full, 67, ask(mac, discover), "255.255.255.255:68"},
		{"through a relay of our network", Full, 67, ask(mac, discover, relay(net.IP{192, 0, 2, 3})), "192.0.2.3:67"},
		{"through a relay of another one, proxy", Proxy, 67, ask(mac, discover, append(ovmf, relay(net.IP{10, 0, 0, 1}))...), "10.0.0.1:67"},
		{"renewing", Full, 67, ask(mac, request, ip(net.IP{192, 0, 2, 200})), "192.0.2.200:68"},
		{"refused", Full, 67, ask(mac, request, ip(net.IP{10, 9, 9, 9})), "255.255.255.255:68"},
		{"refused through a relay", Full, 67, ask(mac, request, ip(net.IP{10, 9, 9, 9}), relay(net.IP{192, 0, 2, 3})), "192.0.2.3:67"},
		{"has an address", Full, 67, ask(mac, inform, ip(net.IP{192, 0, 2, 77})), "192.0.2.77:68"},
		{"says an address of another network", Full, 67, ask(mac, inform, ip(net.IP{8, 8, 8, 8})), "255.255.255.255:68"},
		{"says an address of a group", Full, 67, ask(mac, inform, ip(net.IP{224, 0, 0, 1})), "255.255.255.255:68"},
		{"4011: where it came from", Proxy, 4011, ask(mac, request, append(ovmf, ip(net.IP{192, 0, 2, 77}))...), "192.0.2.77:68"},
		{"4011 without an address", Proxy, 4011, ask(mac, request, ovmf...), "255.255.255.255:68"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, out := newBench(t, tc.mode, self).send(t, tc.m, tc.port)
			if r == nil || out.to.String() != tc.want {
				t.Errorf("reply to %v, want %s; %v", out.to, tc.want, says(out))
			}
		})
	}
}

// TestURLs checks names that do not fit the header's field.
func TestURLs(t *testing.T) {
	for _, tc := range []struct {
		name   string
		length int
		field  bool
	}{{"fits", 127, true}, {"too long for the field", 128, false}, {"in two options", 300, false}} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, Full, self)
			b.boot.File = "http://192.0.2.1/" + strings.Repeat("x", tc.length-17)
			r, out := b.send(t, ask(mac, dhcpv4.MessageTypeDiscover, append(ovmfHTTP, option(57, "\x05\xdc"))...), 67)
			if r == nil {
				t.Fatalf("no answer: %v", says(out))
			}
			if got := r.BootFileNameOption(); got != b.boot.File {
				t.Errorf("option 67 = %q", got)
			}
			if want := map[bool]string{true: b.boot.File}[tc.field]; r.BootFileName != want {
				t.Errorf("file = %q, want %q", r.BootFileName, want)
			}
		})
	}
}

// TestRootPath checks what FreeBSD's loader loads from.
func TestRootPath(t *testing.T) {
	b := newBench(t, Full, self)
	b.boot = Boot{File: "pxeboot", RootPath: "tftp://192.0.2.1/FreeBSD"}
	if r, _ := b.send(t, ask(mac, dhcpv4.MessageTypeDiscover, freeBSD...), 67); r.RootPath() != b.boot.RootPath {
		t.Errorf("root-path = %q, want %q", r.RootPath(), b.boot.RootPath)
	}
}

// TestSmallMessages checks that what a client with little room can do without is
// left out, and nothing else.
func TestSmallMessages(t *testing.T) {
	b := newBench(t, Full, self)
	b.boot.File = strings.Repeat("x", 230)
	r, out := b.send(t, ask(mac, dhcpv4.MessageTypeDiscover), 67)
	if r == nil {
		t.Fatalf("no answer: %v", says(out))
	}
	if len(out.reply) > 548 || r.BootFileNameOption() != b.boot.File || r.IPAddressLeaseTime(0) != leaseTime || r.SubnetMask() == nil {
		t.Errorf("%d bytes:\n%s", len(out.reply), r.Summary())
	}
}
