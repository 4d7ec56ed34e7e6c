// Package remote reaches hosts over SSH, as the user's own ssh(1) would.
//
//	remote.go   Options, Dial, Client
//	run.go      running a command there
//	host.go     [user@]name[:port], and what ~/.ssh/config says of it
//	auth.go     agent and keys
//	hostkey.go  known_hosts, and hosts that are new
//	line.go     errors of lines and logins
//
// Errors do not name the host: the caller knows how the operator calls it, and
// puts that in front. A line of 64 kbit/s with a round trip of 2 s is a good
// one: nothing here has a time limit that counts bytes, and each byte that
// comes is a sign of life.
package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"tench/internal/sshline"
)

// Options is how this user gets into hosts.
type Options struct {
	User       string // there, unless the host's name or ~/.ssh/config has another; "" for root
	Local      string // this user here, %u of ~/.ssh/config
	Home       string // its .ssh has config, known_hosts and keys
	Agent      string // the socket of ssh-agent; "" for none
	Identity   string // the file of the only key to use; "" for the agent's and those in Home
	KnownHosts string // the only file of known hosts; "" for those of ssh

	// Passphrase asks for the passphrase of a key, on the terminal. nil: nobody
	// is there to ask.
	Passphrase func(file string) ([]byte, error)
	// AcceptNew asks whether a host that was never seen is the right one; yes
	// enters it into the file of known hosts. nil refuses such a host. A host
	// whose key has changed is refused without asking.
	AcceptNew func(NewHost) (bool, error)

	// ConnectTime is how long the host may take to answer at all, and to each
	// step of the login; 0 is 20 s.
	ConnectTime time.Duration
	// Patience is how long a line may be silent before it counts as dead; 0 is a
	// minute. The host is asked for a sign of life several times in that time.
	Patience time.Duration
	// Grace is how long the connection outlives the context of Dial, e.g. to
	// give back a lock after an interrupt.
	Grace time.Duration
}

const (
	defaultUser = "root"           // what a tench box calls whoever comes in
	connectTime = 20 * time.Second // e.g. ten round trips over a satellite
	patience    = time.Minute
	// personTime is how long the line may be silent while a person is asked for
	// a passphrase or about a host: as long as sshd(8) waits for a login.
	personTime = 2 * time.Minute
)

func (o Options) withDefaults() Options {
	if o.User == "" {
		o.User = defaultUser
	}
	if o.ConnectTime == 0 {
		o.ConnectTime = connectTime
	}
	if o.Patience == 0 {
		o.Patience = patience
	}
	return o
}

// Client is a connection to a host, logged in.
type Client struct {
	ssh  *ssh.Client
	line *sshline.Conn
	stop func() bool // no longer listens to the context of Dial
}

// Dial connects to a host, [user@]name[:port], and logs in. name may be an
// alias of ~/.ssh/config. When ctx ends, so does the connection.
func Dial(ctx context.Context, host string, o Options) (*Client, error) {
	given, err := ParseHost(host)
	if err != nil {
		return nil, err
	}
	if o.Home == "" { // or config, keys and known hosts would be those of the working directory
		return nil, errors.New("ssh: there is no home folder for keys and known hosts\nhint: set HOME")
	}
	o = o.withDefaults()
	t, err := resolve(given, o)
	if err != nil {
		return nil, err
	}
	keys, err := t.knownHosts(o.AcceptNew)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: o.ConnectTime, Control: sshline.ShortQueue}
	conn, err := dialer.DialContext(ctx, "tcp", t.address())
	if err != nil {
		return nil, unreachable(t, err)
	}
	l := sshline.New(conn, o.ConnectTime)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(o.Grace, func() { conn.Close() }) })
	client, err := login(l, t, keys, o)
	if err != nil {
		stop()
		conn.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	l.Allow(o.Patience)
	go sshline.KeepAlive(client, o.Patience/4)
	return &Client{ssh: client, line: l, stop: stop}, nil
}

// login shakes hands over the line.
func login(l *sshline.Conn, t target, keys hostKeys, o Options) (*ssh.Client, error) {
	auth := &authentication{t: t, o: o, asking: func() { l.Allow(personTime) }}
	defer auth.close() // tench update logs in every few seconds
	keys.asking = auth.asking
	c, chans, reqs, err := ssh.NewClientConn(l, t.address(), &ssh.ClientConfig{
		User:              t.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeysCallback(auth.signers)},
		HostKeyCallback:   keys.check,
		HostKeyAlgorithms: keys.algorithms(t.address()),
	})
	if err != nil {
		return nil, explainLogin(l, auth.explain(err))
	}
	return ssh.NewClient(c, chans, reqs), nil
}

// unreachable says what can be done about a host that does not answer.
func unreachable(t target, err error) error {
	var dns *net.DNSError
	var timeout net.Error
	hint := "is the host up, and is there a way to it?"
	switch {
	case errors.As(err, &dns):
		hint = "name its address, or enter it into ~/.ssh/config"
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = fmt.Sprintf("nothing listens on port %s there: is sshd up? A tench box listens where [ssh] in its router.toml says", t.port)
	case errors.As(err, &timeout) && timeout.Timeout():
		hint = fmt.Sprintf("is the host up, and does a packet filter let port %s through?", t.port)
	}
	return fmt.Errorf("ssh: connect: %w\nhint: %s", err, hint)
}

// SSH is the connection itself, e.g. for SFTP.
func (c *Client) SSH() *ssh.Client { return c.ssh }

// Close ends the connection.
func (c *Client) Close() error {
	c.stop()
	return c.ssh.Close()
}

// Cause is err, or the state of the line where that is the reason.
func (c *Client) Cause(err error) error { return explain(c.line, err) }
