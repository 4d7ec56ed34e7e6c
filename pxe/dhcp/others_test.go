package dhcp

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/pxe/event"
)

var (
	other    = netip.MustParseAddr("192.0.2.9")
	otherMAC = event.MAC{2, 0, 0, 0, 0, 9}
)

// from is another server's message.
func from(kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) []byte {
	m := ask(mac, kind, mods...)
	m.OpCode = dhcpv4.OpcodeBootReply
	return m.ToBytes()
}

func TestFound(t *testing.T) {
	yours := func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IP{192, 0, 2, 50} }
	next := func(m *dhcpv4.DHCPv4) { m.ServerIPAddr, m.BootFileName = net.IP{192, 0, 2, 1}, "pxeboot" }
	offer := dhcpv4.MessageTypeOffer
	for _, tc := range []struct {
		name string
		b    []byte
		want Found
	}{
		{"an offer", from(offer, yours, of("192.0.2.9")), Found{Server: other, MAC: otherMAC, Offered: netip.MustParseAddr("192.0.2.50")}},
		{"without an identifier", from(offer, yours), Found{Server: netip.MustParseAddr("192.0.2.8"), MAC: otherMAC, Offered: netip.MustParseAddr("192.0.2.50")}},
		{"names a boot server", from(offer, yours, next, of("192.0.2.9")),
			Found{Server: other, MAC: otherMAC, Offered: netip.MustParseAddr("192.0.2.50"), Next: self.Addr(), File: "pxeboot"}},
		{"a proxy", from(offer, of("192.0.2.9"), option(60, "PXEClient"), option(67, "x")), Found{Server: other, MAC: otherMAC, Proxy: true, File: "x"}},
		{"a refusal", from(dhcpv4.MessageTypeNak, of("192.0.2.9")), Found{Server: other, MAC: otherMAC}},
		{"a client's", ask(mac, dhcpv4.MessageTypeDiscover).ToBytes(), Found{}},
		{"nothing", nil, Found{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := found(tc.b, netip.MustParseAddr("192.0.2.8"), otherMAC)
			if ok != tc.want.Server.IsValid() {
				t.Errorf("found = %v", ok)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); ok && diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	gives := Found{Server: other, Offered: netip.MustParseAddr("192.0.2.50")}
	names := gives
	names.Next, names.File = self.Addr(), "pxeboot"
	proxy := Found{Server: other, Proxy: true}
	for _, tc := range []struct {
		name  string
		mode  Mode
		found []Found
		want  Mode // "" for an error
	}{
		{"nobody", Auto, nil, Full},
		{"a server", Auto, []Found{gives}, Proxy},
		{"a server that names us", Auto, []Found{gives, names}, Foreign},
		{"only a proxy", Auto, []Found{proxy}, ""},
		{"a server and a proxy", Auto, []Found{proxy, gives}, Proxy},
		{"full, nobody", Full, nil, Full},
		{"full, a server", Full, []Found{gives}, ""},
		{"full, a proxy", Full, []Found{proxy}, ""},
		{"proxy, nobody", Proxy, nil, Proxy},
		{"proxy, a server", Proxy, []Found{gives}, Proxy},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := choose(tc.mode, self.Addr(), tc.found)
			if got != tc.want || (err != nil) != (tc.want == "") {
				t.Errorf("choose = %q, %v, want %q", got, err, tc.want)
			}
			if err != nil && !strings.Contains(err.Error(), "\nhint: ") {
				t.Errorf("no hint: %v", err)
			}
		})
	}
}

// TestAnotherServerAppears checks that one is spoken of when it appears, and again
// every few minutes as long as it is there.
func TestAnotherServerAppears(t *testing.T) {
	o := others{mode: Full, server: self, heard: map[netip.Addr]time.Time{}}
	now := start
	f := Found{Server: other, MAC: otherMAC, Offered: netip.MustParseAddr("192.0.2.50")}
	for _, step := range []struct {
		after time.Duration
		f     Found
		news  bool
	}{
		{0, f, true},
		{time.Minute, f, false},
		{3 * time.Minute, f, false},
		{time.Minute, f, true}, // heard all the time
		{4 * time.Minute, f, false},
		{11 * time.Minute, f, true}, // came back
		{11 * time.Minute, Found{Server: self.Addr()}, false},
		{11 * time.Minute, Found{}, false},
	} {
		now = now.Add(step.after)
		e, news := o.hear(step.f, now)
		if news != step.news {
			t.Errorf("%v later: news = %v, want %v", step.after, news, step.news)
		}
		if news && (e.Kind != event.Foreign || e.IP != other || !strings.HasPrefix(e.Text, "192.0.2.9 (02:00:00:00:00:09) gives addresses here too: ")) {
			t.Errorf("event %+v", e)
		}
	}
	for n := range 1000 {
		o.hear(Found{Server: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})}, now)
	}
	if len(o.heard) > mostOthers {
		t.Errorf("%d servers are kept in mind, want %d at most", len(o.heard), mostOthers)
	}
	if _, news := o.hear(f, now.Add(quietTime)); !news {
		t.Error("behind a flood of others, a server is never spoken of again")
	}
}

// TestMerge checks that several answers of a server are one.
func TestMerge(t *testing.T) {
	a := Found{Server: other, Offered: netip.MustParseAddr("192.0.2.50")}
	b := Found{Server: other, Proxy: true, Next: self.Addr(), File: "x"}
	want := []Found{{Server: other, Offered: a.Offered, Next: self.Addr(), File: "x"}}
	for _, order := range [][]Found{{a, b}, {b, a}, {a, b, a}} {
		var got []Found
		for _, f := range order {
			got = merge(got, f)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("merge (-want +got):\n%s", diff)
		}
	}
}
