package dhcp

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/internal/lab"
	"tench/pxe/event"
)

// TestBesideDnsmasqLab has another server on the wire from the start.
func TestBesideDnsmasqLab(t *testing.T) {
	lab.RequireRoot(t, "dnsmasq", "tshark", "tcpdump", "udhcpc")
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	dnsmasq(t)
	second, err := net.InterfaceByName("eth1")
	if err != nil {
		t.Fatal(err)
	}
	router := netip.MustParseAddr("192.0.2.9")
	probe := func() []Found {
		list, err := Probe(t.Context(), second, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	lab.Eventually(t, 20*time.Second, "dnsmasq answers a probe", func() bool {
		list := probe()
		return len(list) == 1 && list[0].Server == router && list[0].Offered.IsValid() && !list[0].Proxy
	})
	// Behind the first answer a probe goes on for half a second only, so that a long
	// one costs nothing here.
	patient := func(mode Mode) Options {
		o := options(t, mode)
		o.ProbeWait = 20 * time.Second
		return o
	}
	_, err = Listen(t.Context(), patient(Full))
	if err == nil || !strings.Contains(err.Error(), "another DHCP server answers: 192.0.2.9") || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("full mode beside another server: %v", err)
	}

	packets := capture(t, "udp port 67 or udp port 68 or udp port 4011")
	s := serve(t, patient(Auto))
	if s.Mode() != Proxy {
		t.Fatalf("auto mode is %s beside another server", s.Mode())
	}
	var list []Found
	lab.Eventually(t, 20*time.Second, "a probe finds dnsmasq and our proxy", func() bool {
		list = probe()
		return len(list) == 2
	})
	for _, f := range list {
		if f.Server == self.Addr() && (!f.Proxy || f.Next != self.Addr() || f.File == "") {
			t.Errorf("our proxy is seen as %+v", f)
		}
	}
	// A plain client is left to the other server, and known to the kernel.
	lab.Run(t, "box", "udhcpc", "-i", "box0", "-n", "-q", "-f", "-s", "/bin/true")
	lab.Run(t, "box", "ip", "addr", "add", "192.0.2.77/24", "dev", "box0")
	lab.Run(t, "box", "ping", "-c", "1", "192.0.2.1")
	if m, ok := s.MAC(netip.MustParseAddr("192.0.2.77")); !ok || m != boxMAC {
		t.Errorf("MAC(192.0.2.77) = %v, %v", m, ok)
	}
	// With that address it asks our boot server, from a port of its own.
	question, answer := filepath.Join(t.TempDir(), "question"), filepath.Join(t.TempDir(), "answer")
	m := ask(boxMAC, dhcpv4.MessageTypeRequest, append(ovmf, dhcpv4.WithClientIP(net.IP{192, 0, 2, 77}))...)
	if err := os.WriteFile(question, m.ToBytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	lab.Run(t, "box", "bash", "-c", "exec 3<>/dev/udp/192.0.2.1/4011; cat "+question+" >&3; timeout 30 head -c 300 <&3 >"+answer)
	got, err := os.ReadFile(answer)
	if err != nil || !strings.Contains(string(got), "loader-"+boxMAC.Dashed()) {
		t.Errorf("the answer from port 4011: %q, %v", got, err)
	}
	text := packets("User Datagram Protocol, Src Port: 4011")
	for _, want := range []string{"PXEClient", "PXE discovery control", "Client MAC address: 52:54:00:00:00:b0", "Option: (97) UUID/GUID-based Client Identifier"} {
		if !strings.Contains(text, want) {
			t.Errorf("tshark does not read %q", want)
		}
	}
	lab.Eventually(t, 10*time.Second, "it is said why we were silent", func() bool {
		return s.said(event.Silent, boxMAC, "address only") && s.said(event.Elsewhere, boxMAC, "192.0.2.9") && s.said(event.Foreign, event.MAC{}, "192.0.2.9")
	})
}

// TestForeignLab has another server that names us.
func TestForeignLab(t *testing.T) {
	lab.RequireRoot(t, "dnsmasq")
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	dnsmasq(t, "--dhcp-boot=pxeboot,,192.0.2.1")
	lab.Eventually(t, 30*time.Second, "auto mode is foreign", func() bool {
		s, err := Listen(t.Context(), options(t, Auto))
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		return s.Mode() == Foreign
	})
	// The port is free: another program could have it.
	for _, port := range []string{":67", ":4011"} {
		c, err := net.ListenPacket("udp4", port)
		if err != nil {
			t.Errorf("in foreign mode: %v", err)
			continue
		}
		c.Close()
	}
}

// TestAnotherServerAppearsLab starts another server in the middle of a run, which
// a probe finds; and one that answers a box is heard at once.
func TestAnotherServerAppearsLab(t *testing.T) {
	lab.RequireRoot(t, "dnsmasq", "udhcpc")
	if !lab.Isolate(t) {
		return
	}
	for _, tc := range []struct {
		name         string
		every        time.Duration
		box, unplugs bool
	}{
		{"by a probe", 300 * time.Millisecond, false, false},
		{"by its answer to a box", time.Hour, true, false},
		{"when the cable is plugged in", time.Hour, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Cleanup(func() {
				for _, peer := range []string{"switch", "box", "router"} {
					lab.Run(t, "", "ip", "netns", "del", peer)
				}
				for _, device := range []string{"eth0", "eth1"} {
					lab.Eventually(t, 5*time.Second, device+" is gone", func() bool { _, err := net.InterfaceByName(device); return err != nil })
				}
			})
			plugTogether(t)
			o := options(t, Full)
			o.ProbeEvery = tc.every
			if tc.unplugs {
				lab.Run(t, "switch", "ip", "link", "set", "port-eth0", "down")
			}
			s := serve(t, o)
			if s.said(event.Foreign, event.MAC{}, "") {
				t.Fatal("another server is spoken of, and there is none")
			}
			dnsmasq(t, "--dhcp-broadcast")
			if tc.unplugs {
				lab.Eventually(t, 10*time.Second, "dnsmasq listens", func() bool {
					return strings.Contains(lab.Run(t, "router", "ss", "-uln"), ":67")
				})
				lab.Run(t, "switch", "ip", "link", "set", "port-eth0", "up")
			}
			lab.Eventually(t, 30*time.Second, "it is said", func() bool {
				if tc.box { // until dnsmasq is quicker, or answers as well
					lab.Run(t, "box", "udhcpc", "-i", "box0", "-n", "-q", "-f", "-B", "-s", "/bin/true")
				}
				return s.said(event.Foreign, event.MAC{}, "192.0.2.9")
			})
		})
	}
}
