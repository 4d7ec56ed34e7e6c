package dhcp

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/pxe/event"
)

// These labs run the server against clients and servers that are not ours, and
// have its packets read by tshark.
//
//	here: eth0 192.0.2.1 ───┐
//	here: eth1, no address ─┤ switch (br0)
//	box:    box0 ───────────┤
//	router: wan0 192.0.2.9 ─┘

// boxMAC is box0's address.
var boxMAC = event.MAC{0x52, 0x54, 0, 0, 0, 0xb0}

// plugTogether makes the network.
func plugTogether(t *testing.T) {
	t.Helper()
	lab.NewPeer(t, "switch")
	lab.Run(t, "switch", "ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
	lab.Run(t, "switch", "ip", "link", "set", "br0", "up")
	for _, port := range []struct{ peer, device string }{{"", "eth0"}, {"", "eth1"}, {"box", "box0"}, {"router", "wan0"}} {
		if port.peer != "" {
			lab.NewPeer(t, port.peer)
		}
		far := "port-" + port.device
		lab.Run(t, "", "ip", "link", "add", port.device, "type", "veth", "peer", "name", far, "netns", "switch")
		if port.peer != "" {
			lab.Run(t, "", "ip", "link", "set", port.device, "netns", port.peer)
		}
		if port.peer == "box" { // before it makes an IPv6 address of it
			lab.Run(t, "box", "ip", "link", "set", "box0", "address", boxMAC.String())
		}
		lab.Run(t, "switch", "ip", "link", "set", far, "master", "br0", "up")
		lab.Run(t, port.peer, "ip", "link", "set", port.device, "up")
	}
	// eth1 is on the same wire, and must not say that eth0's address is there.
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/eth1/arp_ignore", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	lab.Run(t, "", "ip", "addr", "add", "192.0.2.1/24", "dev", "eth0")
	lab.Run(t, "router", "ip", "addr", "add", "192.0.2.9/24", "dev", "wan0")
}

// running is a server in a lab, and what it said.
type running struct {
	*Server
	mu     sync.Mutex
	events []event.Event
}

// options are those of eth0, with a short probe.
func options(t *testing.T, mode Mode) Options {
	t.Helper()
	iface, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Interface: iface, Server: self, Mode: mode, ProbeWait: time.Second,
		Decide: func(c Client) Boot { return Boot{File: "loader-" + c.MAC.Dashed(), Rule: "the rule"} },
	}
}

// serve starts a server until the test ends.
func serve(t *testing.T, o Options) *running {
	t.Helper()
	r := &running{}
	o.Sink = func(e event.Event) { r.mu.Lock(); defer r.mu.Unlock(); r.events = append(r.events, e) }
	var err error
	if r.Server, err = Listen(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if t.Failed() {
			for _, e := range r.events {
				t.Logf("%s %v %v %s: %s", e.Kind, e.Box, e.IP, e.File, e.Text)
			}
		}
	})
	return r
}

// said reports whether there was an event of this kind about box.
func (r *running) said(kind event.Kind, box event.MAC, words string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == kind && e.Box == box && strings.Contains(e.Text, words) {
			return true
		}
	}
	return false
}

// capture starts tshark on eth0 and returns a function that ends it and gives its
// reading of all that passed, after it has seen what.
func capture(t *testing.T, filter string) func(what string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pcap")
	dump := lab.Spawn(t, "", "tcpdump", "-i", "eth0", "-U", "-w", file, "-Z", "root", filter)
	lab.Eventually(t, 10*time.Second, "tcpdump listens", func() bool { return strings.Contains(dump.Output(), "listening on") })
	return func(what string) string {
		t.Helper()
		var text string
		lab.Eventually(t, 20*time.Second, "tshark reads: "+what, func() bool {
			text = lab.Run(t, "", "tshark", "-n", "-V", "-r", file)
			return strings.Contains(text, what)
		})
		dump.Stop()
		text = lab.Run(t, "", "tshark", "-n", "-V", "-r", file)
		for _, bad := range []string{"Malformed", "[Expert Info (Error", "incorrect, should be", "Bad checksum"} {
			if strings.Contains(text, bad) {
				t.Errorf("tshark says %q of:\n%s", bad, text)
			}
		}
		return text
	}
}

// dnsmasq starts the router's DHCP server.
func dnsmasq(t *testing.T, more ...string) {
	t.Helper()
	lab.Spawn(t, "router", append([]string{
		"dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-dhcp", "--port=0", "--conf-file=/dev/null",
		"--interface=wan0", "--bind-interfaces", "--no-ping", "--dhcp-authoritative", "--leasefile-ro",
		"--dhcp-range=192.0.2.50,192.0.2.60,255.255.255.0,2m",
	}, more...)...)
}

// TestFullLab gives addresses to busybox's and ISC's clients.
func TestFullLab(t *testing.T) {
	lab.RequireRoot(t, "udhcpc", "dhclient", "tshark", "tcpdump", "rdisc6")
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	packets := capture(t, "udp port 67 or udp port 68")
	s := serve(t, options(t, Auto))
	if s.Mode() != Full {
		t.Fatalf("mode %s where nobody else answers", s.Mode())
	}
	dir := t.TempDir()

	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" = bound ] && env > "+dir+"/env\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	lab.Run(t, "box", "udhcpc", "-i", "box0", "-n", "-q", "-f", "-s", script, "-V", "PXEClient:Arch:00000:UNDI:002001", "-O", "tftp", "-O", "bootfile")
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	file := "loader-" + boxMAC.Dashed()
	for _, want := range []string{"siaddr=192.0.2.1", "boot_file=" + file, "sname=192.0.2.1", "tftp=192.0.2.1", "bootfile=" + file, "mask=24", "lease=1800", "serverid=192.0.2.1"} {
		if !strings.Contains(string(env), want) {
			t.Errorf("busybox's client did not get %s:\n%s", want, env)
		}
	}

	conf, leases := filepath.Join(dir, "conf"), filepath.Join(dir, "leases")
	if err := os.WriteFile(conf, []byte("request subnet-mask, tftp-server-name, bootfile-name, root-path;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	lab.Run(t, "box", "dhclient", "-1", "-v", "-cf", conf, "-lf", leases, "-pf", filepath.Join(dir, "pid"), "-sf", "/bin/true", "box0")
	t.Cleanup(func() {
		lab.Run(t, "box", "dhclient", "-x", "-cf", conf, "-lf", leases, "-pf", filepath.Join(dir, "pid"), "-sf", "/bin/true", "box0")
	})
	lease, err := os.ReadFile(leases)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`filename "` + file + `"`, `option tftp-server-name "192.0.2.1"`, "option dhcp-lease-time 1800"} {
		if !strings.Contains(string(lease), want) {
			t.Errorf("ISC's client did not get %s:\n%s", want, lease)
		}
	}

	a := s.core.pool.address(boxMAC)
	if m, ok := s.MAC(a); !ok || m != boxMAC {
		t.Errorf("MAC(%v) = %v, %v", a, m, ok)
	}
	lab.Eventually(t, 5*time.Second, "ACK is said", func() bool {
		return s.said(event.Ack, boxMAC, "x86 BIOS") && s.said(event.Ack, boxMAC, "no boot client")
	})
	text := packets("Message type: Boot Reply")
	for _, want := range []string{"Option: (53) DHCP Message Type (ACK)", "Boot file name: " + file, "Option: (150) TFTP Server Address"} {
		if !strings.Contains(text, want) {
			t.Errorf("tshark does not read %q", want)
		}
	}
}

// TestAddressInUseLab gives somebody by hand the address that the box would get.
func TestAddressInUseLab(t *testing.T) {
	lab.RequireRoot(t, "udhcpc")
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	s := serve(t, options(t, Full))
	next, err := newPool(self)
	if err != nil {
		t.Fatal(err)
	}
	taken, _ := next.offer(boxMAC, netip.Addr{}, time.Now(), nil)
	lab.Run(t, "router", "ip", "addr", "add", taken.String()+"/24", "dev", "wan0")
	// Should the client request it before the kernel has an answer, it looks itself.
	lab.Run(t, "box", "udhcpc", "-a", "-i", "box0", "-n", "-q", "-f", "-s", "/bin/true")
	if got := s.core.pool.address(boxMAC); !got.IsValid() || got == taken {
		t.Errorf("the box has %v, and somebody else %v", got, taken)
	}
	if !s.said(event.Nak, boxMAC, "is used by") && !s.said(event.Decline, boxMAC, "") {
		t.Error("nothing is said of it")
	}
}

// TestAdvertLab asks for a router with rdisc6.
func TestAdvertLab(t *testing.T) {
	lab.RequireRoot(t, "tshark", "tcpdump", "rdisc6")
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	packets := capture(t, "icmp6 and ip6[40] == 134")
	s := serve(t, options(t, Full))
	// The addresses are usable once nobody has objected to them for a second.
	for _, peer := range []struct{ peer, device string }{{"box", "box0"}, {"", "eth0"}} {
		lab.Eventually(t, 10*time.Second, "a link-local address of "+peer.device, func() bool {
			out := lab.Run(t, peer.peer, "ip", "-6", "addr", "show", "dev", peer.device)
			return strings.Contains(out, "fe80") && !strings.Contains(out, "tentative")
		})
	}
	out := lab.Run(t, "box", "rdisc6", "-1", "-r", "5", "box0")
	if !strings.Contains(out, "Router lifetime           :            0") {
		t.Errorf("rdisc6: %s", out)
	}
	if routes := lab.Run(t, "box", "ip", "-6", "route", "show", "default"); routes != "" {
		t.Errorf("the box has a default route: %s", routes)
	}
	text := packets("Type: Router Advertisement (134)")
	for _, want := range []string{"Router lifetime (s): 0", "Hop Limit: 255", "Checksum Status: Good", "Source link-layer address"} {
		if !strings.Contains(text, want) {
			t.Errorf("tshark does not read %q in:\n%s", want, text)
		}
	}
	lab.Eventually(t, 10*time.Second, "the solicitation is said", func() bool { return s.said(event.Solicit, boxMAC, "") })
}
