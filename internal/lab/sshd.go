package lab

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// SSHHost is Debian's sshd on the loopback, with a host key and settings of its own.
type SSHHost struct {
	Dir  string // its files: host_key, authorized_keys
	Port string
	Home string // of the user who connects, with .ssh
	conf string
}

// StartSSH serves connections by one sshd each, as inetd(8) would: then there
// is no port to race for and nothing to wait for.
func StartSSH(t testing.TB, settings ...string) SSHHost {
	t.Helper()
	RequireRoot(t, "ssh-keygen", "ssh-agent", "ssh-add")
	sshd := "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Fatalf("lab: %v\nhint: bin/tench doctor --install", err)
	}
	must(t, os.MkdirAll("/run/sshd", 0o755)) // Debian's start script makes it
	h := SSHHost{Dir: t.TempDir()}
	h.Home, h.conf = filepath.Join(h.Dir, "home"), filepath.Join(h.Dir, "sshd_config")
	must(t, os.MkdirAll(filepath.Join(h.Home, ".ssh"), 0o700))
	Keygen(t, h.Path("host_key"), "-t", "ed25519", "-N", "")
	Keygen(t, filepath.Join(h.Home, ".ssh/id_ed25519"), "-t", "ed25519", "-N", "")
	h.Allow(t, filepath.Join(h.Home, ".ssh/id_ed25519.pub"))
	lines := append([]string{
		"HostKey " + h.Path("host_key"), "AuthorizedKeysFile " + h.Path("authorized_keys"), "StrictModes no",
		"PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "UsePAM no",
	}, settings...)
	if !strings.Contains(strings.Join(settings, " "), "Subsystem") {
		lines = append(lines, "Subsystem sftp internal-sftp")
	}
	must(t, os.WriteFile(h.conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	h.Port = Listen(t, func(conn *net.TCPConn) {
		f, err := conn.File()
		if err != nil {
			return
		}
		defer f.Close()
		var log bytes.Buffer
		cmd := exec.Command(sshd, "-i", "-e", "-f", h.conf)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, &log
		cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err := cmd.Run(); err != nil && log.Len() > 0 {
			t.Logf("sshd: %v: %s", err, log.String())
		}
	})
	h.Trust(t, h.Port)
	return h
}

// Listen serves TCP connections until the test ends, and returns the port.
func Listen(t testing.TB, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			all.Go(func() { defer c.Close(); serve(c.(*net.TCPConn)) })
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

// Through is a line to the host that carries only so many bytes to it. Then it
// breaks, or with frozen falls silent: what is on the way from there still comes.
func (h SSHHost) Through(t testing.TB, bytes int64, frozen bool) SSHHost {
	t.Helper()
	over := make(chan struct{})
	target := h.Port
	h.Port = Listen(t, func(c *net.TCPConn) {
		up, err := net.Dial("tcp", "127.0.0.1:"+target)
		if err != nil {
			return
		}
		defer up.Close()
		go func() { _, _ = io.Copy(c, up) }()
		_, _ = io.CopyN(up, c, bytes)
		if frozen {
			<-over
		}
	})
	t.Cleanup(func() { close(over) }) // before listen waits for its connections
	h.Trust(t, h.Port)
	return h
}

// Path is a file of the host.
func (h SSHHost) Path(name string) string { return filepath.Join(h.Dir, name) }

// Set adds a line to the settings.
func (h SSHHost) Set(t testing.TB, line string) {
	t.Helper()
	appendFile(t, h.conf, []byte(line+"\n"))
}

// Allow lets the holder of a public key in.
func (h SSHHost) Allow(t testing.TB, pub string) {
	t.Helper()
	data, err := os.ReadFile(pub)
	must(t, err)
	appendFile(t, h.Path("authorized_keys"), data)
}

// Trust enters the host's key for a port into the user's known_hosts.
func (h SSHHost) Trust(t testing.TB, port string) {
	t.Helper()
	data, err := os.ReadFile(h.Path("host_key.pub"))
	must(t, err)
	appendFile(t, filepath.Join(h.Home, ".ssh/known_hosts"), append([]byte("[127.0.0.1]:"+port+" "), data...))
}

func appendFile(t testing.TB, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(t, err)
	_, err = f.Write(data)
	must(t, errors.Join(err, f.Close()))
}

// Keygen makes a key pair with ssh-keygen(1).
func Keygen(t testing.TB, file string, args ...string) {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", append(args, "-q", "-f", file)...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
}
