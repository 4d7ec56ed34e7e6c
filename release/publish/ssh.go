package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kevinburke/ssh_config"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Access is how this user gets into a host.
type Access struct {
	User     string // of this machine: the name there, unless another is given
	Home     string // its .ssh has config, known_hosts and keys
	Agent    string // the socket of ssh-agent; "" for none
	Identity string // the file of the only key to use; "" for the agent's and those in Home

	// Passphrase asks for the passphrase of a key, on the terminal. nil: nobody
	// is there to ask.
	Passphrase func(file string) ([]byte, error)

	// Patience is how long a line may be silent before it counts as dead; about a
	// minute. The host is asked for a sign of life several times in that time.
	Patience time.Duration
}

const (
	connectTime = 20 * time.Second // to get an answer from the host's port
	loginTime   = 2 * time.Minute  // to log in, passphrase and all: as sshd(8) has it
	probeTime   = 15 * time.Second // for a command of no work
	graceTime   = 5 * time.Second  // to give back the lock after an interrupt
	inFlight    = 32               // requests of 32 KiB: 1 MiB, 10 MB/s at 100 ms
)

// dial connects to the host and finds out what it can do.
func dial(ctx context.Context, d Dest, a Access) (*remote, error) {
	h, err := resolve(d, a)
	if err != nil {
		return nil, err
	}
	keys, err := h.knownHosts()
	if err != nil {
		return nil, err
	}
	auth := &authentication{h: h, a: a}
	dialer := net.Dialer{Timeout: connectTime}
	conn, err := dialer.DialContext(ctx, "tcp", h.address())
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: is the host up, and does sshd listen on port %s?", err, h.port)
	}
	w := newWatched(conn, loginTime)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(graceTime, func() { conn.Close() }) })
	c, chans, reqs, err := ssh.NewClientConn(w, h.address(), &ssh.ClientConfig{
		User:              h.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeysCallback(auth.signers)},
		HostKeyCallback:   keys.check,
		HostKeyAlgorithms: keys.algorithms(h.address()),
	})
	if err != nil {
		stop()
		conn.Close()
		return nil, auth.explain(w.explain(err))
	}
	w.patience.Store(int64(a.Patience))
	client := ssh.NewClient(c, chans, reqs)
	go keepAlive(client, a.Patience/4)
	r, err := newRemote(client, w, d)
	if err != nil {
		stop()
		client.Close()
		return nil, w.explain(err)
	}
	return r, nil
}

// newRemote starts SFTP.
func newRemote(client *ssh.Client, w *watched, d Dest) (*remote, error) {
	c, err := sftp.NewClient(client, sftp.MaxConcurrentRequestsPerFile(inFlight))
	if err != nil {
		return nil, fmt.Errorf("start sftp: %w\nhint: does its sshd_config have \"Subsystem sftp internal-sftp\"?", err)
	}
	if _, ok := c.HasExtension("posix-rename@openssh.com"); !ok {
		return nil, errors.New("its SFTP server has no posix-rename@openssh.com, without which a link cannot be replaced in one step\nhint: OpenSSH's has it")
	}
	r := &remote{client: client, sftp: c, line: w, dest: d}
	r.findHasher()
	return r, nil
}

// keepAlive asks the host for a sign of life until the connection ends.
func keepAlive(client *ssh.Client, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	ended := make(chan struct{})
	go func() { _ = client.Wait(); close(ended) }()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				return
			}
		}
	}
}

// watched is a connection that ends when nothing comes for some time. A line
// that died in silence would otherwise hold a run until TCP gives up, which
// takes a quarter of an hour and more.
type watched struct {
	net.Conn
	patience atomic.Int64 // time.Duration
	dead     atomic.Bool
}

func newWatched(conn net.Conn, patience time.Duration) *watched {
	w := &watched{Conn: conn}
	w.patience.Store(int64(patience))
	return w
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.SetReadDeadline(time.Now().Add(time.Duration(w.patience.Load()))); err != nil {
		return 0, err
	}
	n, err := w.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.dead.Store(true)
	}
	return n, err
}

// explain names the cause, if it is the line.
func (w *watched) explain(err error) error {
	const goesOn = "hint: the same command goes on where this one stopped"
	switch {
	case err == nil:
		return nil
	case w.dead.Load():
		return fmt.Errorf("nothing came from the host for %s: the line is dead\n%s", time.Duration(w.patience.Load()), goesOn)
	case errors.Is(err, sftp.ErrSSHFxConnectionLost):
		return fmt.Errorf("the connection was lost: %w\n%s", err, goesOn)
	}
	return err
}

// host is a destination with what ~/.ssh/config says of it.
type host struct {
	user, name, port string
	identities       []string // files of keys, in this order
	known            []string // known_hosts files
}

func (h host) address() string { return net.JoinHostPort(h.name, h.port) }

// resolve looks the host up in the user's ssh_config(5), then in the system's.
func resolve(d Dest, a Access) (host, error) {
	var files []*ssh_config.Config
	for _, path := range []string{filepath.Join(a.Home, ".ssh", "config"), "/etc/ssh/ssh_config"} {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return host{}, fmt.Errorf("ssh: %w", err)
		}
		cfg, err := ssh_config.Decode(bytes.NewReader(data))
		if err != nil {
			return host{}, fmt.Errorf("ssh: read %s: %w", path, err)
		}
		files = append(files, cfg)
	}
	all := func(key string) []string {
		var values []string
		for _, f := range files {
			v, _ := f.GetAll(d.Host, key) // its errors are of Include files, which Decode has read
			values = append(values, v...)
		}
		return values
	}
	first := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	one := func(key string) string { return first(all(key)...) }

	h := host{port: first(d.Port, one("Port"), "22"), user: first(d.User, one("User"), a.User)}
	h.name = strings.ReplaceAll(first(one("HostName"), d.Host), "%h", d.Host)
	for _, key := range []string{"ProxyJump", "ProxyCommand"} {
		if v := one(key); v != "" && v != "none" {
			return h, fmt.Errorf("ssh: ~/.ssh/config wants %s %s, which tench does not do\nhint: forward a port with ssh -L, and publish to ssh://localhost:PORT/…", key, v)
		}
	}
	expand := strings.NewReplacer("%%", "%", "%d", a.Home, "%h", h.name, "%r", h.user, "%u", a.User)
	path := func(p string) string {
		p = expand.Replace(p)
		if below, ok := strings.CutPrefix(p, "~/"); ok {
			p = filepath.Join(a.Home, below)
		}
		return p
	}
	for _, f := range all("IdentityFile") {
		h.identities = append(h.identities, path(f))
	}
	for _, f := range strings.Fields(first(one("UserKnownHostsFile"), "~/.ssh/known_hosts ~/.ssh/known_hosts2")) {
		h.known = append(h.known, path(f))
	}
	h.known = append(h.known, "/etc/ssh/ssh_known_hosts")
	return h, nil
}
