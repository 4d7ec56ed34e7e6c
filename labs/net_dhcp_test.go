package labs

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tench/config"
	"tench/internal/lab"
	"tench/supervisor/desired"
	"tench/supervisor/dhcp"
	"tench/supervisor/unit"
)

// uplink is a box whose eth0 gets its address from dnsmasq in the peer.
type uplink struct {
	*box
	dir     string // state on the box
	t1      int    // seconds, far below dnsmasq's shortest lease; T2 is twice as long
	dnsmasq *lab.Program
	stop    func() // ends the client
}

// newUplink plugs eth0 in and starts the box's loop, but neither server nor
// client.
func newUplink(t *testing.T) *uplink {
	t.Helper()
	lab.RequireRoot(t, "dnsmasq", "tcpdump", "ping")
	plug(t)
	lab.Run(t, "peer", "ip", "addr", "add", "10.5.0.1/24", "dev", "port0")
	u := &uplink{box: newBox(t), dir: t.TempDir(), t1: 3}
	u.want = fromLease
	u.box.start()
	return u
}

// fromLease is desired.Compute for one interface and one lease.
func fromLease(f unit.Facts) desired.Desired {
	d := desired.Desired{Links: []desired.Link{{Name: "eth0", Interface: "wan", Up: true}}}
	lease, ok := f.Leases["wan"]
	if !ok {
		return d
	}
	d.Addresses = []desired.Address{{Link: "eth0", Prefix: lease.Address}}
	for _, r := range lease.Routes {
		d.Routes = append(d.Routes, desired.Route{To: r.To, Via: r.Via, Link: "eth0", Metric: 100, Table: 254})
	}
	d.DNS = lease.DNS
	return d
}

// serve starts dnsmasq for 10.NET.0.0/24, with leases of 2 minutes.
func (u *uplink) serve(net int, more ...string) {
	u.t.Helper()
	args := []string{
		"dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-dhcp", "--port=0", "--conf-file=/dev/null",
		"--interface=port0", "--bind-interfaces", "--no-ping", "--dhcp-authoritative", "--leasefile-ro",
		fmt.Sprintf("--dhcp-range=10.%d.0.50,10.%d.0.60,255.255.255.0,2m", net, net),
		fmt.Sprintf("--dhcp-option=option:T1,%d", u.t1), fmt.Sprintf("--dhcp-option=option:T2,%d", 2*u.t1),
	}
	u.dnsmasq = lab.Spawn(u.t, "peer", append(args, more...)...)
}

// startClient runs the DHCP client until stop.
func (u *uplink) startClient() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	c := dhcp.New(dhcp.Config{
		Interface: "wan", Link: "eth0", StateDir: u.dir, DHCP4: config.DHCP4{Enabled: true, Hostname: "labbox"},
	}, u.sys)
	go func() {
		defer close(done)
		if err := c.Run(ctx, u.events); err != nil {
			u.note(&u.errors, err.Error())
		}
	}()
	u.stop = func() { cancel(); <-done }
	u.t.Cleanup(u.stop)
}

func (u *uplink) lease() unit.Lease {
	return fact(u.box, func(f unit.Facts) unit.Lease { return f.Leases["wan"] })
}

func (u *uplink) state() unit.State {
	return fact(u.box, func(f unit.Facts) unit.State { return f.Units["dhcp wan"] })
}

// logged waits until the log has all these words, and begins a new one.
func (u *uplink) logged(within time.Duration, words ...string) {
	u.t.Helper()
	log := ""
	for _, word := range words {
		lab.Eventually(u.t, within, "logged: "+word, func() bool {
			log += strings.Join(u.takeLog(), "\n") + "\n"
			return strings.Contains(log, word)
		})
	}
}

// bound waits for an address in 10.NET.0.0/24 on eth0.
func (u *uplink) bound(net int, within time.Duration) time.Duration {
	u.t.Helper()
	prefix := fmt.Sprintf("10.%d.0.", net)
	return lab.Eventually(u.t, within, "an address "+prefix+"x is on eth0", func() bool {
		have := addressesOf(u.t, "eth0")
		return len(have) == 1 && strings.HasPrefix(have[0], prefix)
	})
}

// sniff starts tcpdump at the server's port and waits until it listens.
func sniff(t *testing.T) *lab.Program {
	t.Helper()
	p := lab.Spawn(t, "peer", "tcpdump", "-i", "port0", "-n", "-e", "-l", "-vvv", "arp or port 67 or port 68")
	lab.Eventually(t, 10*time.Second, "tcpdump listens", func() bool { return strings.Contains(p.Output(), "listening on") })
	return p
}

func TestNetDHCPLease(t *testing.T) {
	t.Parallel() // most of it is waiting
	if !lab.Isolate(t) {
		return
	}
	u := newUplink(t)
	dump := sniff(t)
	u.startClient()
	lab.Eventually(t, 5*time.Second, "the client says that nobody answers", func() bool {
		return strings.Contains(u.state().Text, "no server answers")
	})
	if s := u.state(); s.OK {
		t.Errorf("state without a server: %+v", s)
	}
	u.serve(5, "--dhcp-option=option:router,10.5.0.9", "--dhcp-option=option:dns-server,10.5.0.53,10.5.0.54",
		"--dhcp-option=option:ntp-server,10.5.0.123", "--dhcp-option=option:domain-name,lab.test",
		"--dhcp-option=option:mtu,1400",
		"--dhcp-option=option:classless-static-route,0.0.0.0/0,10.5.0.1,10.77.0.0/16,10.5.0.2,10.78.0.0/16,0.0.0.0")
	took := u.bound(5, 20*time.Second)
	t.Logf("lease %v after the server came", took.Round(time.Millisecond))

	got := u.lease()
	address := got.Address
	if left := time.Until(got.Expires); left < 110*time.Second || left > 120*time.Second {
		t.Errorf("the lease ends in %v, want 2 min", left)
	}
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	want := unit.Lease{
		Link: "eth0", Address: address, Server: addr("10.5.0.1"),
		Routes: []unit.LeaseRoute{
			{To: prefix("0.0.0.0/0"), Via: addr("10.5.0.1")}, {To: prefix("10.77.0.0/16"), Via: addr("10.5.0.2")},
			{To: prefix("10.78.0.0/16")},
		},
		DNS: []netip.Addr{addr("10.5.0.53"), addr("10.5.0.54")}, NTP: []netip.Addr{addr("10.5.0.123")},
		Domain: "lab.test", MTU: 1400, HWAddress: got.HWAddress,
	}
	ignore := cmpopts.IgnoreFields(unit.Lease{}, "Since", "Renew", "Rebind", "Expires")
	if diff := cmp.Diff(want, got, ignore, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("lease (-want +got)\n%s", diff)
	}
	lab.Eventually(t, 2*time.Second, "the routes are there", func() bool { return len(routes(t, "-4")) == 3 })
	wantRoutes := []string{"10.77.0.0/16 via 10.5.0.2 dev eth0 metric 100", "10.78.0.0/16 dev eth0 metric 100",
		"default via 10.5.0.1 dev eth0 metric 100"}
	if diff := cmp.Diff(wantRoutes, routes(t, "-4")); diff != "" {
		t.Errorf("routes (-want +got)\n%s", diff)
	}
	lab.Run(t, "", "ping", "-c1", "-W2", "10.5.0.1")
	if resolv, _ := os.ReadFile(u.sys.ResolvConf); !strings.Contains(string(resolv), "nameserver 10.5.0.53\nnameserver 10.5.0.54\n") {
		t.Errorf("resolv.conf:\n%s", resolv)
	}
	checkPackets(t, dump, address.Addr())
	if !strings.Contains(u.dnsmasq.Output(), "client provides name: labbox") {
		t.Error("dnsmasq did not see the host name")
	}
}

// checkPackets lets tcpdump judge what the client sent: from the first byte of
// the Ethernet header to the last option, and no wrong checksum.
func checkPackets(t *testing.T, dump *lab.Program, address netip.Addr) {
	t.Helper()
	announced := fmt.Sprintf("Request who-has %s tell %s", address, address)
	lab.Eventually(t, 5*time.Second, "the address is announced by ARP", func() bool {
		return strings.Contains(dump.Output(), announced)
	})
	text := dump.Output()
	for _, word := range []string{
		"> ff:ff:ff:ff:ff:ff, ethertype IPv4", "0.0.0.0.68 > 255.255.255.255.67: [udp sum ok] BOOTP/DHCP, Request from",
		"DHCP-Message (53), length 1: Discover", "DHCP-Message (53), length 1: Request", "Client-ID (61), length 7: ether",
		"Hostname (12), length 6: \"labbox\"", "MSZ (57), length 2: 1500", "Classless-Static-Route (121)",
	} {
		if !strings.Contains(text, word) {
			t.Errorf("tcpdump does not show %q", word)
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "0.0.0.0.68 >") && !strings.Contains(line, "udp sum ok") {
			t.Errorf("wrong checksum: %s", line)
		}
	}
	if strings.Contains(text, "bad cksum") || strings.Contains(text, "malformed") || strings.Contains(text, "[|") {
		t.Errorf("tcpdump complains:\n%s", text)
	}
}

// TestNetDHCPRenewAndRestart keeps a lease over its T1 and over a restart of
// the client; ip monitor tells that the address was there all the time.
func TestNetDHCPRenewAndRestart(t *testing.T) {
	t.Parallel() // most of it is waiting
	if !lab.Isolate(t) {
		return
	}
	u := newUplink(t)
	u.serve(5)
	u.startClient()
	u.bound(5, 20*time.Second)
	monitor := lab.Spawn(t, "", "ip", "-o", "monitor", "address", "route")
	dump := sniff(t)
	first := u.lease()
	took := lab.Eventually(t, 10*time.Second, "the lease is renewed", func() bool { return u.lease().Expires.After(first.Expires) })
	t.Logf("renewed after %v", took.Round(time.Millisecond))
	unicast := first.Address.Addr().String() + ".68 > 10.5.0.1.67"
	lab.Eventually(t, 2*time.Second, "tcpdump shows a unicast from our address", func() bool {
		return strings.Contains(dump.Output(), unicast)
	})

	u.stop()
	u.takeLog()
	u.startClient()
	u.logged(2*time.Second, "found the lease of "+first.Address.String(), "bound "+first.Address.String())
	u.stop()
	u.dnsmasq.Stop()
	u.startClient() // nobody confirms, until T2 has passed as well
	u.logged(15*time.Second, "found the lease of "+first.Address.String())
	lab.Eventually(t, 15*time.Second, "the client gives up on its server", func() bool {
		return strings.Contains(u.state().Text, "is silent, asking any")
	})
	if !u.state().OK || u.lease().Address != first.Address {
		t.Errorf("state %+v, lease %v: the lease is good until it ends", u.state(), u.lease().Address)
	}
	if out := monitor.Output(); strings.Contains(out, "Deleted") {
		t.Errorf("something flapped:\n%s", out)
	}
	if u.errors != nil {
		t.Errorf("errors: %v", u.errors)
	}
}

func TestNetDHCPServerGoneAndBack(t *testing.T) {
	t.Parallel() // most of it is waiting
	if !lab.Isolate(t) {
		return
	}
	u := newUplink(t)
	u.serve(5)
	u.startClient()
	u.bound(5, 20*time.Second)
	first := u.lease()
	u.dnsmasq.Stop()
	lab.Eventually(t, 15*time.Second, "the client asks any server", func() bool {
		return strings.Contains(u.state().Text, "server 10.5.0.1 is silent, asking any")
	})
	if s := u.state(); !s.OK || u.lease().Address != first.Address {
		t.Errorf("state %+v, lease %v: the lease is good until it ends", s, u.lease().Address)
	}
	u.serve(5)
	// The next REQUEST comes after half of what is left of the two minutes, at
	// least one minute (RFC 2131, 4.4.5).
	took := lab.Eventually(t, 80*time.Second, "the lease is renewed", func() bool { return u.lease().Expires.After(first.Expires) })
	t.Logf("renewed %v after the server came back", took.Round(time.Second))
	if u.lease().Address != first.Address {
		t.Errorf("address %v, want still %v", u.lease().Address, first.Address)
	}
}

// TestNetDHCPNAK moves the server to another network while the lease lasts.
func TestNetDHCPNAK(t *testing.T) {
	t.Parallel() // most of it is waiting
	if !lab.Isolate(t) {
		return
	}
	u := newUplink(t)
	u.serve(5)
	u.startClient()
	u.bound(5, 20*time.Second)
	u.dnsmasq.Stop()
	lab.Run(t, "peer", "ip", "addr", "add", "10.6.0.1/24", "dev", "port0")
	// The old address stays, so that the unicast REQUEST arrives and is refused.
	u.serve(6, "--dhcp-ignore-clid")
	u.bound(6, 20*time.Second)
	log := strings.Join(u.takeLog(), "\n")
	if !strings.Contains(log, "refused 10.5.0.") || !strings.Contains(log, "wan: remove address 10.5.0.") {
		t.Errorf("the log does not tell of the refusal:\n%s", log)
	}
	if _, err := os.Stat(filepath.Join(u.dir, "dhcp-wan.json")); err != nil {
		t.Error(err)
	}
}

// TestNetDHCPCarrier pulls the plug and puts it back, in the same network and in
// another one.
func TestNetDHCPCarrier(t *testing.T) {
	t.Parallel() // most of it is waiting
	if !lab.Isolate(t) {
		return
	}
	u := newUplink(t)
	u.t1 = 50 // so that no renewal confirms the lease
	u.serve(5)
	u.startClient()
	u.bound(5, 20*time.Second)
	first := u.lease()
	unplug := func() {
		lab.Run(t, "peer", "ip", "link", "set", "port0", "down")
		lab.Eventually(t, 2*time.Second, "the client notices", func() bool { return strings.Contains(u.state().Text, "no carrier") })
	}
	unplug()
	if !u.state().OK {
		t.Error("without carrier the lease must stay in force")
	}
	lab.Run(t, "peer", "ip", "link", "set", "port0", "up")
	took := lab.Eventually(t, 5*time.Second, "the lease is confirmed", func() bool { return u.lease().Expires.After(first.Expires) })
	t.Logf("confirmed %v after the carrier came back", took.Round(time.Millisecond))
	if took > time.Second {
		t.Errorf("it took %v, want the client to ask at once", took)
	}

	unplug()
	u.dnsmasq.Stop()
	lab.Run(t, "peer", "ip", "addr", "flush", "dev", "port0")
	lab.Run(t, "peer", "ip", "addr", "add", "10.6.0.1/24", "dev", "port0")
	lab.Run(t, "peer", "ip", "link", "set", "port0", "up")
	u.serve(6)
	t.Logf("moved to the other network %v after the server started", u.bound(6, 20*time.Second).Round(time.Millisecond))
}
