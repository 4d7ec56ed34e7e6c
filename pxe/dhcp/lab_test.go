package dhcp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

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
	if !s.said(event.Solicit, boxMAC, "") {
		t.Error("nothing is said of the solicitation")
	}
}

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
	_, err = Listen(t.Context(), options(t, Full))
	if err == nil || !strings.Contains(err.Error(), "another DHCP server answers: 192.0.2.9") || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("full mode beside another server: %v", err)
	}

	packets := capture(t, "udp port 67 or udp port 68 or udp port 4011")
	s := serve(t, options(t, Auto))
	if s.Mode() != Proxy {
		t.Fatalf("auto mode is %s beside another server", s.Mode())
	}
	list := probe()
	if len(list) != 2 {
		t.Fatalf("a probe finds %v, want dnsmasq and our proxy", list)
	}
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
	lab.Run(t, "box", "bash", "-c", "exec 3<>/dev/udp/192.0.2.1/4011; cat "+question+" >&3; timeout 5 head -c 300 <&3 >"+answer)
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
	if !s.said(event.Silent, boxMAC, "address only") || !s.said(event.Elsewhere, boxMAC, "192.0.2.9") || !s.said(event.Foreign, event.MAC{}, "192.0.2.9") {
		t.Error("it is not said why we were silent")
	}
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

// TestInterfaceGoneLab pulls the adapter out of the machine.
func TestInterfaceGoneLab(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	s, err := Listen(t.Context(), options(t, Full))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context()) }()
	lab.Run(t, "", "ip", "link", "del", "eth0")
	if err := <-done; err == nil || err.Error() != "dhcp: eth0: serve: the interface is gone" {
		t.Errorf("Serve = %v", err)
	}
}

// TestInterfaceDownLab starts on an interface that is down.
func TestInterfaceDownLab(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	lab.Run(t, "", "ip", "link", "set", "eth0", "down")
	_, err := Listen(t.Context(), options(t, Full))
	const want = "dhcp: eth0: probe: send DISCOVER: network is down\nhint: sudo ip link set eth0 up"
	if err == nil || err.Error() != want {
		t.Errorf("Listen = %v, want %s", err, want)
	}
}

// TestOneInterfaceLab checks that nobody is answered on another interface, though
// the machine has an address there.
func TestOneInterfaceLab(t *testing.T) {
	lab.RequireRoot(t, "udhcpc")
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	lab.NewPeer(t, "office")
	lab.Cable(t, "eth9", "office", "desk0")
	office := event.MAC{0x52, 0x54, 0, 0, 0, 0xd0}
	lab.Run(t, "office", "ip", "link", "set", "desk0", "address", office.String())
	lab.Run(t, "", "ip", "link", "set", "eth9", "up")
	lab.Run(t, "", "ip", "addr", "add", "198.51.100.1/24", "dev", "eth9")
	s := serve(t, options(t, Full))
	out, err := exec.Command("ip", "netns", "exec", "office", "udhcpc", "-i", "desk0", "-n", "-q", "-f", "-t", "2", "-T", "1", "-s", "/bin/true").CombinedOutput()
	if err == nil {
		t.Errorf("a lease in the office:\n%s", out)
	}
	lab.Run(t, "box", "udhcpc", "-i", "box0", "-n", "-q", "-f", "-s", "/bin/true")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Box == office {
			t.Errorf("the office was heard: %+v", e)
		}
	}
}

// asNobody tells the test binary to be TestCapabilitiesLab's unprivileged server.
const asNobody = "TENCH_DHCP_NOBODY"

// TestCapabilitiesLab opens a server as nobody: with the two capabilities it works,
// without it says what is missing.
func TestCapabilitiesLab(t *testing.T) {
	if os.Getenv(asNobody) != "" {
		s, err := Listen(t.Context(), options(t, Full))
		if err == nil && s.advert == nil {
			err = errors.New("no router advertisement")
		}
		t.Logf("Listen = %v.", err)
		return
	}
	lab.RequireRoot(t)
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	binary := "/run/dhcp.test"
	copyFile(t, "/proc/self/exe", binary)
	const bind, raw = 10, 13 // CAP_NET_BIND_SERVICE, CAP_NET_RAW
	for _, tc := range []struct {
		name string
		caps []uintptr
		want string
	}{
		{"none", nil, "Listen = dhcp: eth0: open UDP port 67 on eth0: "},
		{"the port only", []uintptr{bind}, "Listen = dhcp: eth0: open packet socket on eth0: operation not permitted\n"},
		{"both", []uintptr{bind, raw}, "Listen = <nil>."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cmd := exec.Command(binary, "-test.run=^TestCapabilitiesLab$", "-test.v")
			cmd.Env = append(os.Environ(), asNobody+"=yes")
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: tc.caps}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), tc.want) {
				t.Errorf("%v, want %q:\n%s", err, tc.want, out)
			}
			if tc.name != "both" && !strings.Contains(string(out), "hint: be root, or once: sudo setcap cap_net_bind_service,cap_net_raw+ep "+binary) {
				t.Errorf("no hint:\n%s", out)
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
