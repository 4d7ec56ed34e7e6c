package lab

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// inside names the test that runs in namespaces of its own.
const inside = "TENCH_LAB_INSIDE"

// Isolate runs the calling test again in a process with network, mount, PID and
// host name namespaces of its own, and returns whether this is that process.
// The caller returns where it is not:
//
//	if !lab.Isolate(t) {
//		return
//	}
//
// A process of its own, because a Go program cannot move all its threads into
// another namespace; and PID 1 of its namespace, so that whatever it started
// and made is gone when it ends, however it ends. What a benchmark measures in
// there is the caller's.
func Isolate(t testing.TB) bool {
	t.Helper()
	RequireRoot(t, "ip")
	if Isolated(t) {
		private(t)
		return true
	}
	// Of a subtest each part of the name is a pattern of its own.
	exact := "^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$"
	args := []string{"-test.v", "-test.run=" + exact, "-test.timeout=20m"} // beyond any wait in there, which tells more when it is over
	b, measures := t.(*testing.B)
	if measures {
		args = []string{"-test.v", "-test.run=^$", "-test.bench=" + exact, "-test.benchtime=" + flag.Lookup("test.benchtime").Value.String(), "-test.timeout=60m"}
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("in its namespaces: %v\n%s", err, out)
	case measures && report(b, string(out)), bytes.Contains(out, []byte("--- PASS: "+t.Name())):
	default:
		t.Fatalf("it did not run in its namespaces:\n%s", out)
	}
	t.Logf("in its namespaces:\n%s", out)
	return false
}

// report makes the numbers of a benchmark that ran elsewhere those of b, and
// reports whether there are any. The last word on a benchmark is a line with its
// name, how often it ran, and pairs of a value and its unit.
func report(b *testing.B, out string) (ok bool) {
	for b.Loop() { // it has run
	}
	b.ReportMetric(0, "ns/op")
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) < 4 || !strings.HasPrefix(words[0], b.Name()) {
			continue
		}
		for pair := range slices.Chunk(words[2:], 2) {
			if v, err := strconv.ParseFloat(pair[0], 64); err == nil && len(pair) == 2 {
				b.ReportMetric(v, pair[1])
				ok = true
			}
		}
	}
	return ok
}

// Isolated reports whether this is the process that Isolate made for the test.
func Isolated(t testing.TB) bool { return os.Getenv(inside) == t.Name() }

// private gives the process file systems that show its own namespaces.
func private(t testing.TB) {
	t.Helper()
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"none", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", 0},
		{"sysfs", "/sys", "sysfs", 0},
		{"tmpfs", "/run", "tmpfs", 0}, // where ip-netns(8) keeps names, and programs their PID files
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			t.Fatalf("lab: mount %s: %v", m.target, err)
		}
	}
}

// NewPeer makes a network namespace, to be named in Run and Spawn.
func NewPeer(t testing.TB, name string) {
	t.Helper()
	Run(t, "", "ip", "netns", "add", name)
	Run(t, name, "ip", "link", "set", "lo", "up")
}

// Cable makes a veth pair: one end here, the other in peer and up.
func Cable(t testing.TB, here, peer, there string) {
	t.Helper()
	Run(t, "", "ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", peer)
	Run(t, peer, "ip", "link", "set", there, "up")
}

// command runs in peer, or here for "".
func command(peer string, args []string) *exec.Cmd {
	if peer != "" {
		args = append([]string{"ip", "netns", "exec", peer}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

// Run runs a program to its end and returns what it printed. A failure of the
// program fails the test.
func Run(t testing.TB, peer string, args ...string) string {
	t.Helper()
	out, err := command(peer, args).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Program is a program that runs in the background.
type Program struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// Spawn starts a program in peer and stops it when the test ends. What it
// printed is logged when the test failed.
func Spawn(t testing.TB, peer string, args ...string) *Program {
	t.Helper()
	p := &Program{cmd: command(peer, args), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("lab: start %s: %v", args[0], err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", strings.Join(args, " "), p.Output())
		}
	})
	return p
}

// Write takes what the program prints.
func (p *Program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// Output is what the program printed so far.
func (p *Program) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// CPU is the processor time the program has taken so far, user and system, and
// that its children had taken when they ended. It does not depend on what else
// the machine does as much as time does.
func (p *Program) CPU() (time.Duration, error) { return cpu(p.cmd.Process.Pid) }

// Memory is what the program holds now (PSS: of pages that it shares, its part)
// and the most it had at once (RSS), in bytes.
func (p *Program) Memory() (now, peak int64, err error) {
	if now, err = memory(p.cmd.Process.Pid, "smaps_rollup", "Pss:"); err != nil {
		return 0, 0, err
	}
	peak, err = memory(p.cmd.Process.Pid, "status", "VmHWM:")
	return now, peak, err
}

// Stop ends the program, kindly at first.
func (p *Program) Stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(2 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
}

// Kill ends the program at once, with no chance to tidy up.
func (p *Program) Kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// Eventually looks until ok is true, at most for limit, and returns how long
// that took. It fails the test, naming what, when it stays false.
func Eventually(t testing.TB, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}
