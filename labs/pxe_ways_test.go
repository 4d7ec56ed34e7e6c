package labs

import (
	"os"
	"path"
	"slices"
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

// way is one way of booting over the wire. GRUB takes the DHCP server for the one
// that it came from, unless the server wrote itself into it; into a BIOS's it cannot,
// so that a proxy has iPXE in its place: "proxy bios grub".
type way struct {
	mode     string // full; or beside a DHCP server that knows nothing of us (proxy), or names us (foreign)
	firmware string // of firmwares
	loader   string // of tench pxe serve
	file     string // the last that DHCP names
}

// dailyWays are a part of make test: each mode, firmware and loader once.
var dailyWays = []way{
	{"full", "bios", "grub", "grub.pxe"},
	{"full", "uefi", "auto", "snponly.efi"},
	{"full", "uefi-http", "auto", "http://192.0.2.1:80/grubx64.efi"},
	{"proxy", "bios", "auto", "boot.ipxe"},
	{"proxy", "bios", "pxelinux", "pxelinux.0"},
	{"foreign", "bios", "auto", "undionly.kpxe"},
}

// otherWays are a part of make test-boards.
var otherWays = []way{
	{"full", "bios", "auto", "boot.ipxe"},
	{"full", "bios", "pxelinux", "pxelinux.0"},
	{"full", "uefi", "grub", "grubx64.efi"},
	{"full", "uefi32", "auto", "grubia32.efi"},
	{"full", "arm64", "auto", "grubaa64.efi"},

	{"proxy", "bios", "grub", "boot.ipxe"},
	{"proxy", "uefi", "auto", "boot.ipxe"},
	{"proxy", "uefi", "grub", "grubx64.efi"},
	{"proxy", "uefi32", "auto", "grubia32.efi"},
	{"proxy", "arm64", "auto", "grubaa64.efi"},
	{"proxy", "uefi-http", "auto", "http://192.0.2.1:80/grubx64.efi"},

	{"foreign", "bios", "pxelinux", "pxelinux.0"},
	{"foreign", "bios", "grub", "grub.pxe"},
	{"foreign", "uefi", "auto", "snponly.efi"},
	{"foreign", "uefi", "grub", "grubx64.efi"},
	{"foreign", "uefi32", "auto", "grubia32.efi"},
	{"foreign", "arm64", "auto", "grubaa64.efi"},
	{"foreign", "uefi-http", "auto", "http://192.0.2.1:80/grubx64.efi"},
}

// TestPXERun boots a box that runs from RAM, each way.
func TestPXERun(t *testing.T) {
	for _, w := range dailyWays {
		t.Run(w.name(), func(t *testing.T) { w.run(t) })
	}
}

// TestPXEOtherWays is a part of make test-boards, which has built the images.
func TestPXEOtherWays(t *testing.T) {
	words := strings.Fields(os.Getenv("TENCH_BOARDS"))
	unnamed := func(w way) bool { return !slices.Contains(words, w.board()) && !slices.Contains(words, "all") }
	ways := slices.DeleteFunc(slices.Clone(otherWays), unnamed)
	if len(ways) == 0 {
		t.Skip("TENCH_BOARDS names neither qemu-amd64 nor qemu-arm64: make test-boards does")
	}
	for _, w := range ways {
		t.Run(w.name(), func(t *testing.T) { w.run(t) })
	}
}

func (w way) name() string { return w.mode + " " + w.firmware + " " + w.loader }

func (w way) board() string {
	if w.firmware == "arm64" {
		return "qemu-arm64"
	}
	return "qemu-amd64"
}

func (w way) run(t *testing.T) {
	t.Helper()
	if !onCable(t) {
		return
	}
	c := newCable(t, w.mode != "full")
	c.board = w.board()
	c.serve("", w.args(c)...)
	says := map[string]string{"full": "DHCP on tap0", "proxy": "proxy DHCP on br0", "foreign": "no DHCP on br0"}[w.mode]
	if !strings.Contains(c.server.Output(), says) {
		t.Errorf("it is not in %s mode:\n%s", w.mode, c.server.Output())
	}
	c.order("run", "gw0")
	m := c.machine(w.firmware, "")
	m.Expect(t, diskless, bootTimeout)
	named := w.file
	if w.mode == "foreign" { // what DHCP said only the other server knows; the file was fetched
		named = path.Base(named)
	}
	c.says(`"file":"`+named+`"`, time.Second)
	c.says(`"kind":"ready"`, menuTimeout)
	// The arming stands until it is taken back; then there is nothing to boot.
	c.order("disarm", "gw0")
}

// args starts the DHCP server of others, and returns the flags of ours.
func (w way) args(c *cable) []string {
	c.t.Helper()
	http := strings.HasPrefix(w.file, "http:")
	switch {
	case w.mode == "proxy":
		c.router()
	case w.mode == "foreign" && http:
		// A probe cannot ask for HTTP's file: this server names us to nobody else.
		c.router("--dhcp-vendorclass=set:http,HTTPClient", "--dhcp-option-force=tag:http,60,HTTPClient", "--dhcp-boot=tag:http,"+w.file)
		return []string{"--mode", "foreign"}
	case w.mode == "foreign":
		c.router("--dhcp-boot=" + w.file + ",,192.0.2.1")
		return nil
	}
	return []string{"--loader", w.loader}
}
