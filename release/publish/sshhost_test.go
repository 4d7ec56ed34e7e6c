package publish

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
	"time"

	"golang.org/x/sys/unix"

	"tench/internal/lab"
)

// sshHost is Debian's sshd on the loopback, with a host key and settings of its own.
type sshHost struct {
	dir  string // its files, and the tree
	port string
	home string // of the user who connects
	conf string
}

// startHost serves connections by one sshd each, as inetd(8) would: then there
// is no port to race for and nothing to wait for.
func startHost(t *testing.T, settings ...string) sshHost {
	t.Helper()
	lab.RequireRoot(t, "ssh-keygen", "ssh-agent", "ssh-add")
	sshd := "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Fatalf("lab: %v\nhint: bin/tench doctor --install", err)
	}
	must(t, os.MkdirAll("/run/sshd", 0o755)) // Debian's start script makes it
	h := sshHost{dir: t.TempDir()}
	h.home, h.conf = filepath.Join(h.dir, "home"), filepath.Join(h.dir, "sshd_config")
	must(t, os.MkdirAll(filepath.Join(h.home, ".ssh"), 0o700))
	keygen(t, h.path("host_key"), "-t", "ed25519", "-N", "")
	keygen(t, filepath.Join(h.home, ".ssh/id_ed25519"), "-t", "ed25519", "-N", "")
	h.allow(t, filepath.Join(h.home, ".ssh/id_ed25519.pub"))
	lines := append([]string{
		"HostKey " + h.path("host_key"), "AuthorizedKeysFile " + h.path("authorized_keys"), "StrictModes no",
		"PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "UsePAM no",
	}, settings...)
	if !strings.Contains(strings.Join(settings, " "), "Subsystem") {
		lines = append(lines, "Subsystem sftp internal-sftp")
	}
	must(t, os.WriteFile(h.conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	h.port = listen(t, func(conn *net.TCPConn) {
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
	h.trust(t, h.port)
	return h
}

// listen serves TCP connections until the test ends, and returns the port.
func listen(t *testing.T, serve func(*net.TCPConn)) string {
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

// through is a line to the host that carries only so many bytes to it. Then it
// breaks, or with frozen falls silent: what is on the way from there still comes.
func (h sshHost) through(t *testing.T, bytes int64, frozen bool) sshHost {
	t.Helper()
	over := make(chan struct{})
	target := h.port
	h.port = listen(t, func(c *net.TCPConn) {
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
	h.trust(t, h.port)
	return h
}

func (h sshHost) path(name string) string { return filepath.Join(h.dir, name) }

func (h sshHost) access() Access {
	return Access{User: "root", Home: h.home, Patience: time.Minute}
}

func (h sshHost) dest(path string) Dest {
	return Dest{Host: "127.0.0.1", Port: h.port, Path: path}
}

// allow lets the holder of a public key in.
func (h sshHost) allow(t *testing.T, pub string) {
	t.Helper()
	data, err := os.ReadFile(pub)
	must(t, err)
	appendFile(t, h.path("authorized_keys"), data)
}

// trust enters the host's key for a port into the user's known_hosts.
func (h sshHost) trust(t *testing.T, port string) {
	t.Helper()
	data, err := os.ReadFile(h.path("host_key.pub"))
	must(t, err)
	appendFile(t, filepath.Join(h.home, ".ssh/known_hosts"), append([]byte("[127.0.0.1]:"+port+" "), data...))
}

func appendFile(t *testing.T, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(t, err)
	_, err = f.Write(data)
	must(t, errors.Join(err, f.Close()))
}

func keygen(t *testing.T, file string, args ...string) {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", append(args, "-q", "-f", file)...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

// open connects, or fails the test.
func (h sshHost) open(t *testing.T, path string) *Tree {
	t.Helper()
	tree, err := Open(t.Context(), h.dest(path), h.access())
	must(t, err)
	t.Cleanup(func() { tree.Close() })
	return tree
}

// refused connects, and returns the error, which has to hold want.
func refused(t *testing.T, d Dest, a Access, want string) string {
	t.Helper()
	tree, err := Open(t.Context(), d, a)
	if err == nil {
		tree.Close()
		t.Fatalf("Open succeeds, want …%s…", want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Fatalf("Open = %v\nwant …%s…", err, want)
	}
	return err.Error()
}
