package labs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tench/boards"
	"tench/build/disk"
	"tench/internal/lab"
	"tench/pxe/event"
	"tench/release"
)

// contender is a netboot server on the cable of the same machine. start returns
// what tells that all of the initramfs was sent.
type contender struct {
	name  string
	start func(c *cable, dir string) func() bool
}

// contenders are ours and dnsmasq, as its manual's first example has it and as an
// expert has it who saw what iPXE waits for: for an answer of the address that it
// is about to get (no-ping), for a router of IPv6, and for another boot server.
var contenders = []contender{
	{"tench", func(c *cable, _ string) func() bool {
		c.serve("")
		c.order("run", "gw0")
		return func() bool {
			return slices.ContainsFunc(c.events(event.Transfer), func(e event.Event) bool {
				return strings.HasSuffix(e.File, "initrd") && e.Done == e.Total
			})
		}
	}},
	{"expert", func(c *cable, dir string) func() bool {
		return c.dnsmasq(dir, "--no-ping", "--dhcp-option=encap:175,176,01", "--enable-ra", "--dhcp-range=::,constructor:tap0,ra-only", "--ra-param=tap0,60,0")
	}},
	{"default", func(c *cable, dir string) func() bool { return c.dnsmasq(dir) }},
}

// dnsmasq serves the kernel and the initramfs of dir.
func (c *cable) dnsmasq(dir string, args ...string) func() bool {
	c.t.Helper()
	c.server = lab.Spawn(c.t, "", append([]string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=tap0", "--bind-interfaces",
		"--dhcp-range=192.0.2.100,192.0.2.120,5m", "--dhcp-leasefile=/dev/null", "--user=root", "--log-facility=-",
		"--enable-tftp", "--tftp-root=" + dir, "--dhcp-boot=boot.ipxe"}, args...)...)
	return func() bool { return strings.Contains(c.server.Output(), "sent "+filepath.Join(dir, "initrd")) }
}

// race is one boot, from QEMU's start to all of the initramfs.
type race struct {
	total float64 // seconds by the clock
	wait  float64 // of them from the first word of the boot ROM to its first request for a file
	cpu   float64 // seconds of a processor, which no neighbour makes more
}

// BenchmarkNetbootBesideDnsmasq boots QEMU's own iPXE over a wire, in turns by us
// and by dnsmasq as it comes and at its best, all with the same kernel and
// initramfs. The goals are 1.2 of the expert's seconds, and a third of the
// default's waiting.
func BenchmarkNetbootBesideDnsmasq(b *testing.B) {
	lab.Require(b, "dnsmasq", "tcpdump", "qemu-system-x86_64")
	if !onCable(b) {
		return
	}
	c := newCable(b, false)
	lab.Run(b, "", "ip", "addr", "add", "fd00:1::1/64", "dev", "tap0", "nodad")
	dir := bootFolder(b)
	all := map[string][]race{}
	for b.Loop() {
		for _, who := range contenders {
			all[who.name] = append(all[who.name], c.race(who, dir))
		}
	}
	least := func(name string, of func(race) float64) float64 {
		var list []float64
		for _, r := range all[name] {
			list = append(list, of(r))
		}
		b.Logf("%-8s %.2f", name, list)
		return slices.Min(list)
	}
	for unit, of := range map[string]func(race) float64{
		"s":      func(r race) float64 { return r.total },
		"wait-s": func(r race) float64 { return r.wait },
		"cpu-s":  func(r race) float64 { return r.cpu },
	} {
		ours, expert, standard := least("tench", of), least("expert", of), least("default", of)
		b.ReportMetric(ours, unit)
		b.ReportMetric(ours/expert, unit+"/expert's")
		b.ReportMetric(standard/ours, "default's-"+unit+"/ours")
	}
	b.ReportMetric(0, "ns/op")
}

// bootFolder has what dnsmasq sends: the same kernel and initramfs as ours.
func bootFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	board, err := boards.Load(filepath.Join(lab.Root(t), "boards"), "qemu-amd64")
	if err != nil {
		t.Fatal(err)
	}
	script := "#!ipxe\nkernel vmlinuz " + strings.Join(disk.KernelArgs(board), " ") + " initrd=initrd\ninitrd initrd\nboot\n"
	if err := os.WriteFile(filepath.Join(dir, "boot.ipxe"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, product := range map[string]string{"vmlinuz": release.KernelName(board.Name), "initrd": release.InitrdName(board.Name)} {
		lab.Run(t, "", "cp", filepath.Join(lab.Root(t), "out", board.Name, product), filepath.Join(dir, name))
	}
	return dir
}

// firstLine finds a packet that tcpdump has shown: when it went by.
func firstLine(t testing.TB, watch *lab.Program, pattern string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^([0-9.]+) .*` + pattern).FindStringSubmatch(watch.Output())
	if m == nil {
		t.Fatalf("no packet like %s was seen:\n%s", pattern, watch.Output())
	}
	at, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// race boots once.
func (c *cable) race(who contender, dir string) race {
	c.t.Helper()
	watch := lab.Spawn(c.t, "", "tcpdump", "-l", "-n", "-tt", "-i", "tap0", "udp port 67 or udp port 69")
	lab.Eventually(c.t, menuTimeout, "tcpdump listens", func() bool { return strings.Contains(watch.Output(), "listening on") })
	sent := who.start(c, dir)
	defer c.server.Stop()
	m := c.machine("bios", "")
	defer m.Kill()
	total := lab.Eventually(c.t, bootTimeout, fmt.Sprintf("%s has sent the initramfs", who.name), sent)
	cpu, err := m.CPU()
	if err != nil {
		c.t.Fatal(err)
	}
	watch.Stop()
	return race{
		total: total.Seconds(), cpu: cpu.Seconds(),
		wait: firstLine(c.t, watch, `RRQ "`) - firstLine(c.t, watch, "BOOTP/DHCP, Request from "+pxeBox),
	}
}
