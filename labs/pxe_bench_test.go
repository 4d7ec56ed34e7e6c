package labs

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tench/boards"
	"tench/build/disk"
	"tench/internal/lab"
	"tench/pxe/event"
	"tench/release"
	"tench/release/netboot"
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
		return func() bool { return c.initramfs() > 0 }
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

// BenchmarkInstallBesideDD installs an empty disk over the wire, and then has a box
// of the same kind that runs from RAM fetch as many bytes by wget and write them to
// that disk by dd. An install reads all of it back besides, which has a number of
// its own. There is no goal but to see what the checks cost.
func BenchmarkInstallBesideDD(b *testing.B) {
	lab.Require(b, "qemu-system-x86_64")
	if !onCable(b) {
		return
	}
	var write, verify, dd span
	var size int64
	for b.Loop() {
		c, disk := bareBox(b)
		w, v, n := c.timedInstall(disk)
		write, verify, size = write.plus(w), verify.plus(v), n
		dd = dd.plus(c.timedDD(disk, size))
		c.server.Stop()
		lab.Run(b, "", "ip", "link", "del", "tap0")
	}
	b.ReportMetric(float64(size)*float64(b.N)/(1<<20)/write.wall.Seconds(), "write-MiB/s")
	b.ReportMetric(write.wall.Seconds()/dd.wall.Seconds(), "write-s/dd's")
	b.ReportMetric(write.cpu.Seconds()/dd.cpu.Seconds(), "write-cpu-s/dd's")
	b.ReportMetric(write.plus(verify).wall.Seconds()/dd.wall.Seconds(), "write-and-verify-s/dd's")
	b.ReportMetric(write.plus(verify).cpu.Seconds()/dd.cpu.Seconds(), "write-and-verify-cpu-s/dd's")
	b.ReportMetric(0, "ns/op")
}

// span is how long something took, by the clock and in processor time of QEMU.
type span struct{ wall, cpu time.Duration }

func (s span) plus(o span) span { return span{s.wall + o.wall, s.cpu + o.cpu} }

// lap is the time since the last lap of a machine.
type lap struct {
	m    *lab.Console
	wall time.Time
	cpu  time.Duration
}

func (l *lap) next(t testing.TB) span {
	t.Helper()
	cpu, err := l.m.CPU()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s := span{now.Sub(l.wall), cpu - l.cpu}
	l.wall, l.cpu = now, cpu
	return s
}

// timedInstall installs the disk, and counts the bytes that were written.
func (c *cable) timedInstall(disk string) (write, verify span, size int64) {
	c.t.Helper()
	c.order("install", "gw0")
	l := lap{m: c.machine("bios", disk)}
	defer l.m.Kill()
	at := func(stage netboot.Stage) func() bool {
		return func() bool {
			return slices.ContainsFunc(c.events(event.Installer), func(e event.Event) bool {
				size = max(size, e.Total)
				return e.Stage == stage
			})
		}
	}
	lab.Eventually(c.t, bootTimeout, "the box writes", at(netboot.Write))
	l.next(c.t)
	lab.Eventually(c.t, bootTimeout, "the box reads back", at(netboot.Check))
	write = l.next(c.t)
	lab.Eventually(c.t, bootTimeout, "the box is written", func() bool { return len(c.events(event.Written)) > 0 })
	return write, l.next(c.t), size
}

// timedDD writes size bytes of the image to the disk, in a box that runs from RAM.
func (c *cable) timedDD(disk string, size int64) span {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(lab.Root(c.t), "out", c.board, release.ImageName(c.board)))
	if err != nil {
		c.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "192.0.2.1:8081")
	if err != nil {
		c.t.Fatal(err)
	}
	defer listener.Close()
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(data[:size]) }))
	c.order("run", "gw0")
	l := lap{m: c.machine("bios", disk)}
	defer l.m.Kill()
	l.m.Expect(c.t, diskless, bootTimeout)
	shell(c.t, l.m)
	l.next(c.t)
	l.m.Send(c.t, "wget -O /proc/self/fd/1 http://192.0.2.1:8081/data | dd of=/dev/vda bs=1M; sync; echo done-$((1+1))\n")
	l.m.Expect(c.t, `done-2`, bootTimeout)
	return l.next(c.t)
}
