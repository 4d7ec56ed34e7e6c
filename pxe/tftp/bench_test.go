package tftp

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/internal/lab/link"
)

// rival is somebody else's server. Each has an address of its own, so that all
// serve at once.
type rival struct {
	name string
	args func(addr, dir string) []string
}

var rivals = []rival{
	{"dnsmasq", func(addr, dir string) []string {
		return []string{"dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--enable-tftp", "--tftp-root=" + dir,
			"--bind-interfaces", "--listen-address=" + addr, "--user=root"}
	}},
	{"tftpd-hpa", func(addr, dir string) []string {
		return []string{"in.tftpd", "--foreground", "--address", addr + ":69", "--user", "root", "--secure", dir}
	}},
	{"atftpd", func(addr, dir string) []string {
		return []string{"atftpd", "--daemon", "--no-fork", "--bind-address", addr, "--port", "69", "--user", "root.root", dir}
	}},
}

// trial is what is measured: a file of so many bytes, by atftp with these
// options, over a line.
type trial struct {
	line          string
	block, window int
	size          int
}

var lines = map[string]link.Line{
	"5ms":        cable(0),
	"5ms-loss-1": cable(0.01),
	"5ms-loss-5": cable(0.05),
}

// BenchmarkBeside compares with dnsmasq, tftpd-hpa and atftpd, in turns in one
// run. The last cannot be installed beside the one before it: it is measured if
// it is in PATH, e.g. unpacked with dpkg -x. Without windows at the server, they
// are not granted, and a trial with them is one without.
func BenchmarkBeside(b *testing.B) {
	lab.RequireRoot(b, "ip", "ss", "atftp", "dnsmasq", "in.tftpd")
	dir := b.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		b.Fatal(err)
	}
	trials := []trial{
		{"loopback", 512, 1, 8 << 20}, {"loopback", 1428, 1, 16 << 20}, {"loopback", 1428, 16, 32 << 20}, {"loopback", 1428, 64, 32 << 20},
		{"loopback", 65464, 1, 64 << 20},
		{"5ms", 1428, 1, 200_000}, {"5ms", 1428, 4, 1 << 20}, {"5ms", 1428, 16, 4 << 20}, {"5ms", 1428, 64, 8 << 20},
		{"5ms-loss-1", 1428, 1, 200_000}, {"5ms-loss-1", 1428, 16, 1 << 20}, {"5ms-loss-1", 1428, 64, 4 << 20},
		{"5ms-loss-5", 1428, 1, 200_000}, {"5ms-loss-5", 1428, 16, 1 << 20}, {"5ms-loss-5", 1428, 64, 4 << 20},
	}
	for _, tr := range trials {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(tr.size)), content(tr.size), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range []string{"loopback", "5ms", "5ms-loss-1", "5ms-loss-5"} {
		b.Run(name, func(b *testing.B) {
			near, servers := field(b, name, dir)
			for _, tr := range trials {
				if tr.line == name {
					b.Run(fmt.Sprintf("block-%d/window-%d", tr.block, tr.window), func(b *testing.B) { tr.measure(b, near, servers) })
				}
			}
		})
	}
}

// field starts all servers behind a line. It returns the namespace to ask from,
// and the servers' names and addresses, ours first.
func field(b *testing.B, line, dir string) (near string, servers [][2]string) {
	far := "tftp-far"
	lab.NewPeer(b, far)
	b.Cleanup(func() { lab.Run(b, "", "ip", "netns", "del", far) })
	const net = "192.0.2."
	near, mtu := far, 65536
	if l, ok := lines[line]; ok {
		near, mtu = "tftp-near", 1500
		lab.NewPeer(b, near)
		b.Cleanup(func() { lab.Run(b, "", "ip", "netns", "del", near) })
		cabled(b, near, far, l, net+"100", net+"1", net+"2", net+"3", net+"4")
	} else {
		for i := range 4 {
			lab.Run(b, far, "ip", "addr", "add", net+fmt.Sprint(i+1), "dev", "lo")
		}
	}
	spawn(b, far, net+"1", dir, mtu)
	servers = [][2]string{{"tench", net + "1"}}
	for i, r := range rivals {
		addr := net + fmt.Sprint(i+2)
		args := r.args(addr, dir)
		if _, err := exec.LookPath(args[0]); err != nil {
			b.Logf("not beside %s: %v", r.name, err)
			continue
		}
		lab.Spawn(b, far, args...)
		listens(b, far, addr)
		servers = append(servers, [2]string{r.name, addr})
	}
	return near, servers
}

// limit is how long a server may take before it has stalled: its speed is 0.
const limit = 20 * time.Second

// measure fetches from all servers in turns.
func (tr trial) measure(b *testing.B, near string, servers [][2]string) {
	took := map[string]time.Duration{}
	stalled := map[string]bool{}
	for b.Loop() {
		for _, s := range servers {
			start := time.Now()
			if err := tr.fetch(near, netip.MustParseAddr(s[1])); err != nil {
				b.Logf("%s: %v", s[0], err)
				stalled[s[0]] = true
			}
			took[s[0]] += time.Since(start)
		}
	}
	ours, best := 0.0, 0.0
	for _, s := range servers {
		speed := float64(tr.size) * float64(b.N) / 1e6 / took[s[0]].Seconds()
		if stalled[s[0]] {
			speed = 0
		}
		if s[0] == "tench" {
			ours = speed
		} else {
			best = max(best, speed)
		}
		b.ReportMetric(speed, s[0]+"-MB/s")
	}
	b.ReportMetric(ours/best, "of-best")
	b.ReportMetric(0, "ns/op")
}

// fetch is one atftp.
func (tr trial) fetch(near string, server netip.Addr) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", near, "atftp",
		"--option", fmt.Sprint("blksize ", tr.block), "--option", fmt.Sprint("windowsize ", tr.window),
		"-g", "-r", fmt.Sprint(tr.size), "-l", "/dev/null", server.String(), "69").CombinedOutput()
	if err != nil {
		return fmt.Errorf("atftp: %w: %s", err, out)
	}
	return nil
}
