package lab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Console is a program whose standard streams are a box's serial console:
// `tench run`, which turns into QEMU.
type Console struct {
	// Crashes is set by a test that waits for a kernel to panic.
	Crashes bool

	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan struct{} // closed when the program has ended
	err  error         // its Wait, valid after done

	mu   sync.Mutex
	all  bytes.Buffer  // everything the console ever printed
	news chan struct{} // one waiting token when all has grown
	seen int           // bytes of all that Expect has passed
}

// Start runs name with args and kills it when the test ends. The transcript is
// logged when the test failed.
func Start(t testing.TB, name string, args ...string) *Console {
	t.Helper()
	c := &Console{cmd: exec.Command(name, args...), done: make(chan struct{}), news: make(chan struct{}, 1)}
	// Its own process group: ctrl-C at the test's terminal ends the test, whose
	// clean-up ends the machine.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	c.in = in
	c.cmd.Stdout, c.cmd.Stderr = c, c
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("lab: start %s: %v", name, err)
	}
	go func() { c.err = c.cmd.Wait(); close(c.done) }()
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			t.Logf("the console printed:\n%s", c.Transcript())
		}
	})
	return c
}

// Write takes what the program prints.
func (c *Console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.Write(p)
	select {
	case c.news <- struct{}{}:
	default:
	}
	return len(p), nil
}

// Transcript is everything printed so far, without carriage returns.
func (c *Console) Transcript() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ReplaceAll(c.all.String(), "\r", "")
}

// Expect waits until the console has printed what matches the regular
// expression, after what earlier calls matched, and returns its submatches.
func (c *Console) Expect(t testing.TB, pattern string, timeout time.Duration) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(timeout)
	for {
		if m := c.match(re); m != nil {
			return m
		}
		if crash := crashIn(c.Transcript()); crash != "" && !c.Crashes {
			t.Fatalf("lab: the kernel crashed before it printed %q:\n%s", pattern, crash)
		}
		select {
		case <-c.news:
		case <-c.done:
			if m := c.match(re); m != nil {
				return m
			}
			t.Fatalf("lab: the machine ended (%v) before it printed %q", c.err, pattern)
		case <-deadline:
			t.Fatalf("lab: no %q within %v", pattern, timeout)
		}
	}
}

// crashIn is what a kernel that panicked said last, "" if none did. A box boots
// again after a panic, and what a test then waits for would come all the same.
func crashIn(transcript string) string {
	const lines = 60
	before, panicked, found := strings.Cut(transcript, "Kernel panic - not syncing")
	if !found {
		return ""
	}
	last := strings.Split(before, "\n")
	line, _, _ := strings.Cut(panicked, "\n")
	return strings.Join(last[max(0, len(last)-lines):], "\n") + "Kernel panic - not syncing" + line
}

func (c *Console) match(re *regexp.Regexp) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := c.all.Bytes()[c.seen:]
	loc := re.FindSubmatchIndex(text)
	if loc == nil {
		return nil
	}
	var groups []string
	for i := 0; i < len(loc); i += 2 {
		group := ""
		if loc[i] >= 0 {
			group = string(text[loc[i]:loc[i+1]])
		}
		groups = append(groups, group)
	}
	c.seen += loc[1]
	return groups
}

// Send types text, as a person at the console would.
func (c *Console) Send(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(c.in, text); err != nil {
		t.Fatalf("lab: send %q: %v", text, err)
	}
}

// Ended waits for the machine to end by itself; the error is its exit status.
func (c *Console) Ended(t testing.TB, timeout time.Duration) error {
	t.Helper()
	select {
	case <-c.done:
		return c.err
	case <-time.After(timeout):
		t.Fatalf("lab: the machine still runs after %v", timeout)
		return nil
	}
}

// Kill ends the machine at once, as a power cut does.
func (c *Console) Kill() {
	c.cmd.Process.Kill()
	<-c.done
}

// CPU is the processor time the machine has taken so far, user and system.
func (c *Console) CPU() (time.Duration, error) { return cpu(c.cmd.Process.Pid) }

// cpu is the processor time of a process and of its children that have ended.
func cpu(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("lab: read CPU time: %w", err)
	}
	// proc(5): fields 14 to 17, in clock ticks of 10 ms; the second field is a
	// name in parentheses that may hold spaces.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks time.Duration
	for _, f := range fields[11:15] {
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, fmt.Errorf("lab: read CPU time: %w", err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond, nil
}
