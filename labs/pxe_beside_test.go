package labs

import (
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
)

// router is another DHCP server on the wire: dnsmasq, at 192.0.2.254.
func (c *cable) router(args ...string) {
	c.t.Helper()
	lab.Require(c.t, "dnsmasq")
	lab.NewPeer(c.t, "router")
	lab.Cable(c.t, "veth0", "router", "eth0")
	lab.Run(c.t, "", "ip", "link", "set", "veth0", "master", "br0", "up")
	lab.Run(c.t, "router", "ip", "addr", "add", "192.0.2.254/24", "dev", "eth0")
	lab.Spawn(c.t, "router", append([]string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces",
		"--dhcp-range=192.0.2.100,192.0.2.120,5m", "--dhcp-leasefile=/dev/null", "--no-ping", "--user=root", "--log-facility=-"}, args...)...)
}

// TestPXEProxy boots beside a DHCP server that knows nothing of us.
func TestPXEProxy(t *testing.T) {
	if !onCable(t) {
		return
	}
	c := newCable(t, true)
	c.router()
	c.serve("")
	if !strings.Contains(c.server.Output(), "proxy DHCP on br0") {
		t.Errorf("beside another DHCP server it is not in proxy mode:\n%s", c.server.Output())
	}
	c.order("run", "gw0")
	c.machine("bios", "").Expect(t, diskless, bootTimeout)
	c.says(`"kind":"proxy"`, time.Second)
}

// TestPXEForeign boots where another DHCP server names us and iPXE, whoever asks,
// as a small router does that can say no more.
func TestPXEForeign(t *testing.T) {
	if !onCable(t) {
		return
	}
	c := newCable(t, true)
	c.router("--dhcp-boot=undionly.kpxe,,192.0.2.1")
	c.serve("")
	if !strings.Contains(c.server.Output(), "no DHCP on br0") {
		t.Errorf("named by another DHCP server it is not in foreign mode:\n%s", c.server.Output())
	}
	c.order("run", "gw0")
	c.machine("bios", "").Expect(t, diskless, bootTimeout)
}
