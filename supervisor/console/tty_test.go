package console

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tench/supervisor/status"
)

// The menu needs a session of its own with a controlling terminal: the tests
// start this test program again and talk with it over a pseudo terminal.
func TestMain(m *testing.M) {
	if port := os.Getenv("CONSOLE_TEST_PORT"); port != "" {
		p := Port{Name: port, Speed: 9600, Box: Live{
			Client: status.Client{Path: "/nonexistent"}, LogPath: os.Getenv("CONSOLE_TEST_LOG")}}
		interrupts, _ := Interrupts()
		if err := p.serveOn(context.Background(), os.Stdin, interrupts); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Args[0] == "tenchd" {
		standInUpdate(os.Args)
	}
	os.Exit(m.Run())
}

// terminal is the far end of the serial line: what the menu printed, what is typed.
type terminal struct {
	t    *testing.T
	pty  *os.File
	fd   int // of pty
	read chan []byte
	seen bytes.Buffer
}

// startMenu runs the menu on a new pseudo terminal.
func startMenu(t *testing.T, env ...string) (*terminal, *exec.Cmd) {
	t.Helper()
	// Not blocking, so that Close interrupts the read below.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	pty := os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append([]string{"CONSOLE_TEST_PORT=pts", "PATH=" + os.Getenv("PATH")}, env...)
	cmd.Stdin, cmd.Stderr = tty, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, pty: pty, fd: fd, read: make(chan []byte)}
	go func() {
		defer close(term.read)
		for {
			buf := make([]byte, 4096)
			n, err := pty.Read(buf)
			if err != nil {
				return
			}
			term.read <- buf[:n]
		}
	}()
	t.Cleanup(func() {
		pty.Close()
		cmd.Process.Kill()
		for range term.read {
		}
		cmd.Wait()
	})
	return term, cmd
}

// expect waits until want is printed behind what was expected before.
func (m *terminal) expect(want string) string {
	m.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		if before, after, ok := strings.Cut(m.seen.String(), want); ok {
			m.seen.Reset()
			m.seen.WriteString(after)
			return before
		}
		select {
		case b, ok := <-m.read:
			if !ok {
				m.t.Fatalf("the terminal closed before %q; got %q", want, m.seen.String())
			}
			m.seen.Write(b)
		case <-limit:
			m.t.Fatalf("%q never came; got %q", want, m.seen.String())
		}
	}
}

func (m *terminal) send(keys string) {
	m.t.Helper()
	if _, err := io.WriteString(m.pty, keys); err != nil {
		m.t.Fatal(err)
	}
}

// prompt waits for the prompt of the menu.
func (m *terminal) prompt() string {
	m.t.Helper()
	name, err := os.Hostname()
	if err != nil {
		m.t.Fatal(err)
	}
	return m.expect(name + "> ")
}

func TestSerialLine(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("[    1.000] init: hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m, cmd := startMenu(t, "CONSOLE_TEST_LOG="+log)
	if menu := m.prompt(); !strings.Contains(menu, "! the network loop does not answer, see 4\r\n") {
		t.Errorf("the menu does not tell that there is no loop: %q", menu)
	}

	// DEL is erased by the kernel, backspace by us.
	m.send("42\x7f\x7f3\b2\n")
	if got := m.prompt(); !strings.Contains(got, "mtu 65536") {
		t.Errorf("2, typed with corrections, printed %q; want the interfaces", got)
	}

	// ctrl-C at the prompt drops the line; the next one counts.
	m.send("999\x03")
	m.prompt()
	m.send("what\n")
	if got := m.prompt(); !strings.Contains(got, "\"what\" is not in the menu") {
		t.Errorf("after ctrl-C %q", got)
	}

	// ctrl-C stops what runs, and not the menu.
	m.send("4\n")
	m.expect("f to follow: ")
	m.send("f\n")
	m.expect("init: hello\r\n")
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("[    2.000] loop: news\n"); err != nil {
		t.Fatal(err)
	}
	m.expect("loop: news\r\n")
	m.send("\x03")
	m.expect("stopped\r\n")
	m.prompt()

	// Keys that would quit or suspend are nothing; ctrl-D only redraws.
	m.send("\x1c\x1a\n")
	m.prompt()
	m.send("\x04")
	m.expect("9 power off\r\n")
	m.prompt()

	// The cable is pulled: the menu ends by itself.
	m.pty.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the menu ended with %v after the hang-up", err)
	}
}

// Whatever [console] of router.toml may name is taken.
func TestPortNames(t *testing.T) {
	gone, stop := context.WithCancel(t.Context())
	stop()
	for name, want := range map[string]bool{"ttyS0": true, "ttyUSB0": true, "ttyAMA0": true, "hvc0": true, "sda": false, "hvc": false, "../ttyS0": false} {
		if err := (Port{Name: name}).Run(gone, t.Logf); (err == nil) != want {
			t.Errorf("a port called %q: %v", name, err)
		}
	}
}

func TestMode(t *testing.T) {
	m, _ := startMenu(t)
	m.expect("> ")
	mode, err := unix.IoctlGetTermios(m.fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if mode.Cflag&unix.CLOCAL == 0 || mode.Lflag&unix.ICANON == 0 || mode.Cflag&unix.CBAUD != unix.B9600 ||
		mode.Iflag&unix.IXON != 0 || mode.Cc[unix.VSUSP] != 0 || mode.Cc[unix.VQUIT] != 0 {
		t.Errorf("mode of the line is %+v; want 9600 bit/s, CLOCAL, ICANON, no flow control, no suspend or quit key", mode)
	}
}
