package tftp

import (
	"context"
	"fmt"
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
	name    string
	windows bool // it grants them
	args    func(addr, dir string) []string
}

var rivals = []rival{
	{"dnsmasq", false, func(addr, dir string) []string {
		return []string{"dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--enable-tftp", "--tftp-root=" + dir,
			"--bind-interfaces", "--listen-address=" + addr, "--user=root"}
	}},
	{"tftpd-hpa", false, func(addr, dir string) []string {
		return []string{"in.tftpd", "--foreground", "--address", addr + ":69", "--user", "root", "--secure", dir}
	}},
	{"atftpd", true, func(addr, dir string) []string {
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
// run: of-best is our speed by the best of theirs, of-clean by ours without
// loss. Debian does not install atftpd, the only one with windows, beside
// tftpd-hpa: it is measured if it is in PATH, e.g. unpacked with dpkg -x.
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
	clean := map[int]float64{} // by window
	for _, name := range []string{"loopback", "5ms", "5ms-loss-1", "5ms-loss-5"} {
		b.Run(name, func(b *testing.B) {
			f := newField(b, name, dir)
			for _, tr := range trials {
				if tr.line == name {
					b.Run(fmt.Sprintf("block-%d/window-%d", tr.block, tr.window), func(b *testing.B) { f.measure(b, tr, clean) })
				}
			}
		})
	}
}

// field is the servers behind a line, ours first.
type field struct {
	near    string // the namespace to ask from
	servers []racer
}

type racer struct {
	name    string
	addr    string
	windows bool
}

// newField starts the servers.
func newField(b *testing.B, line, dir string) field {
	const far, net = "tftp-far", "192.0.2."
	lab.NewPeer(b, far)
	b.Cleanup(func() { lab.Run(b, "", "ip", "netns", "del", far) })
	f, device := field{near: far}, "lo"
	if l, ok := lines[line]; ok {
		f.near, device = "tftp-near", "tftp1"
		lab.NewPeer(b, f.near)
		b.Cleanup(func() { lab.Run(b, "", "ip", "netns", "del", f.near) })
		cabled(b, f.near, far, l, net+"100", net+"1", net+"2", net+"3", net+"4")
	} else {
		for i := range 4 {
			lab.Run(b, far, "ip", "addr", "add", net+fmt.Sprint(i+1), "dev", "lo")
		}
	}
	spawn(b, far, net+"1", dir, device)
	f.servers = []racer{{"tench", net + "1", true}}
	for i, r := range rivals {
		addr := net + fmt.Sprint(i+2)
		args := r.args(addr, dir)
		if _, err := exec.LookPath(args[0]); err != nil {
			b.Logf("not beside %s: %v", r.name, err)
			continue
		}
		lab.Spawn(b, far, args...)
		listens(b, far, addr)
		f.servers = append(f.servers, racer{r.name, addr, r.windows})
	}
	return f
}

// limit is how long a server may take before it has stalled: its speed is 0.
const limit = 15 * time.Second

// measure fetches in turns from all servers that grant what is asked for.
func (f field) measure(b *testing.B, tr trial, clean map[int]float64) {
	took := map[string]time.Duration{}
	stalled := map[string]bool{}
	for b.Loop() {
		for _, s := range f.servers {
			if tr.window > 1 && !s.windows {
				continue
			}
			start := time.Now()
			if err := tr.fetch(f.near, s.addr); err != nil {
				b.Logf("%s: %v", s.name, err)
				stalled[s.name] = true
			}
			took[s.name] += time.Since(start)
		}
	}
	ours, best := 0.0, 0.0
	for name, d := range took {
		speed := float64(tr.size) * float64(b.N) / 1e6 / d.Seconds()
		if stalled[name] {
			speed = 0
		}
		if name == "tench" {
			ours = speed
		} else {
			best = max(best, speed)
		}
		b.ReportMetric(speed, name+"-MB/s")
	}
	if best > 0 {
		b.ReportMetric(ours/best, "of-best")
	}
	switch c := clean[tr.window]; {
	case tr.line == "5ms":
		clean[tr.window] = ours
	case lines[tr.line].Loss > 0 && c > 0:
		b.ReportMetric(ours/c, "of-clean")
	}
	b.ReportMetric(0, "ns/op")
}

// fetch is one atftp.
func (tr trial) fetch(near, server string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", near, "atftp",
		"--option", fmt.Sprint("blksize ", tr.block), "--option", fmt.Sprint("windowsize ", tr.window),
		"-g", "-r", fmt.Sprint(tr.size), "-l", "/dev/null", server, "69").CombinedOutput()
	if err != nil {
		return fmt.Errorf("atftp: %w: %s", err, out)
	}
	return nil
}
