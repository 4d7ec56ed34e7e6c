package tftp

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
			"--bind-interfaces", "--listen-address=" + addr, "--user=root", "--tftp-max=1100"}
	}},
	{"tftpd-hpa", false, func(addr, dir string) []string {
		return []string{"in.tftpd", "--foreground", "--address", addr + ":69", "--user", "root", "--secure", dir}
	}},
	{"atftpd", true, func(addr, dir string) []string {
		return []string{"atftpd", "--daemon", "--no-fork", "--bind-address", addr, "--port", "69", "--maxthread", "1100", "--user", "root.root", dir}
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
// run. Speeds are medians of the turns: of-best is ours by the best of theirs,
// of-clean by ours without loss, of-possible that by what a client can have that
// keeps nothing behind a gap, see possible. ms/MB is a server's own CPU time, which does
// not depend on what else the machine does; tftpd-hpa's children hide theirs.
// Where packets get lost, waits is how often in a turn atftp, which waits five
// seconds, had to ask again by itself with our server.
//
// Debian does not install atftpd, the only one with windows, beside tftpd-hpa: it
// is measured if it is in PATH, e.g. unpacked with dpkg -x.
func BenchmarkBeside(b *testing.B) {
	lab.RequireRoot(b, "ip", "ss", "atftp", "dnsmasq", "in.tftpd")
	dir := b.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		b.Fatal(err)
	}
	trials := []trial{
		{"loopback", 512, 1, 4 << 20}, {"loopback", 1428, 1, 8 << 20}, {"loopback", 1428, 16, 32 << 20}, {"loopback", 1428, 64, 32 << 20},
		{"loopback", 65464, 1, 64 << 20},
		{"5ms", 1428, 1, 200_000}, {"5ms", 1428, 4, 1 << 20}, {"5ms", 1428, 16, 4 << 20}, {"5ms", 1428, 64, 8 << 20},
		{"5ms-loss-1", 1428, 1, 200_000}, {"5ms-loss-1", 1428, 16, 2 << 20}, {"5ms-loss-1", 1428, 64, 4 << 20},
		{"5ms-loss-5", 1428, 1, 200_000}, {"5ms-loss-5", 1428, 16, 2 << 20}, {"5ms-loss-5", 1428, 64, 4 << 20},
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
	program *lab.Program
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
	f.servers = []racer{{"tench", net + "1", true, spawn(b, far, net+"1", dir, device)}}
	for i, r := range rivals {
		addr := net + fmt.Sprint(i+2)
		args := r.args(addr, dir)
		if _, err := exec.LookPath(args[0]); err != nil {
			b.Logf("not beside %s: %v", r.name, err)
			continue
		}
		program := lab.Spawn(b, far, args...)
		listens(b, far, addr)
		f.servers = append(f.servers, racer{r.name, addr, r.windows, program})
	}
	return f
}

// limit is how long a server may take before it has stalled: its speed is 0, and
// it is not asked again.
const limit = 20 * time.Second

// tally is how a server fared.
type tally struct {
	speeds  []float64 // MB/s of each turn
	cpu     time.Duration
	waits   int
	stalled bool
}

// median is the speed in the middle.
func (t tally) median() float64 {
	if t.stalled {
		return 0
	}
	slices.Sort(t.speeds)
	return t.speeds[len(t.speeds)/2]
}

// measure fetches in turns from all servers that grant what is asked for.
func (f field) measure(b *testing.B, tr trial, clean map[int]float64) {
	tallies := map[string]*tally{}
	for b.Loop() {
		for _, s := range f.servers {
			t := tallies[s.name]
			if t == nil {
				t = &tally{}
				tallies[s.name] = t
			}
			if t.stalled || tr.window > 1 && !s.windows {
				continue
			}
			tr.turn(b, f.near, s, t)
		}
	}
	mb := float64(tr.size) * float64(b.N) / 1e6
	ours, best := tallies["tench"].median(), 0.0
	for _, s := range f.servers {
		t := tallies[s.name]
		if len(t.speeds) == 0 && !t.stalled {
			continue
		}
		b.ReportMetric(t.median(), s.name+"-MB/s")
		if s.name != "tench" {
			best = max(best, t.median())
		}
		if t.cpu > 0 && tr.line == "loopback" {
			b.ReportMetric(float64(t.cpu.Milliseconds())/mb, s.name+"-ms/MB")
		}
	}
	if best > 0 {
		b.ReportMetric(ours/best, "of-best")
	}
	switch c := clean[tr.window]; {
	case tr.line == "5ms":
		clean[tr.window] = ours
	case lines[tr.line].Loss > 0 && c > 0:
		b.ReportMetric(ours/c, "of-clean")
		b.ReportMetric(ours/c/possible(lines[tr.line].Loss, tr.window), "of-possible")
		b.ReportMetric(float64(tallies["tench"].waits)/float64(b.N), "waits")
	}
	b.ReportMetric(0, "ns/op")
}

// possible is the part of a window that arrives before the first gap, on average:
// what comes behind it the client drops, and the next flight is a round trip
// later. No ACK is lost here, and no client waits.
func possible(loss float64, window int) (part float64) {
	arrives := 1.0
	for range window {
		arrives *= 1 - loss
		part += arrives / float64(window)
	}
	return part
}

// turn is one fetch from one server.
func (tr trial) turn(b *testing.B, near string, s racer, t *tally) {
	before, err := s.program.CPU()
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	waits, err := tr.fetch(near, s.addr)
	took := time.Since(start)
	if err != nil {
		b.Logf("%s: %v", s.name, err)
		t.stalled = true
	}
	after, err := s.program.CPU()
	if err != nil {
		b.Fatal(err)
	}
	t.speeds = append(t.speeds, float64(tr.size)/1e6/took.Seconds())
	t.cpu += after - before
	t.waits += waits
}

// fetch is one atftp; it returns how often that ran out of patience. If its first
// ACK is lost and the OACK comes again, atftp gives up ("unexpected OACK"),
// whoever serves: then it starts again.
func (tr trial) fetch(near, server string) (waits int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		out, err := exec.CommandContext(ctx, "ip", "netns", "exec", near, "atftp",
			"--option", fmt.Sprint("blksize ", tr.block), "--option", fmt.Sprint("windowsize ", tr.window),
			"-g", "-r", fmt.Sprint(tr.size), "-l", "/dev/null", server, "69").CombinedOutput()
		waits += bytes.Count(out, []byte("timeout: retrying"))
		switch {
		case err == nil:
			return waits, nil
		case ctx.Err() != nil || !bytes.Contains(out, []byte("unexpected OACK")):
			return waits, fmt.Errorf("atftp: %w, %d waits: %s", err, waits, out[:min(len(out), 200)])
		}
	}
}
