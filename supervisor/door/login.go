package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"tench/identity"
	"tench/internal/sshline"
)

// Bounds on a login.
const (
	graceTime = 60 * time.Second // from the connection to the login, passphrase and all
	authTries = 6                // keys that a client may offer
)

// userName is who a session is of: the box has one user.
const userName = "root"

// silence is how long a client may say nothing before it counts as gone; it is
// asked for a sign of life several times in that time.
const silence = 2 * time.Minute

// keyExtension is the name under which the library hands the key that was proved
// to the visit.
const keyExtension = "tench-key"

// serverConfig offers what is good today and nothing else: every OpenSSH since
// 6.5 (2014) knows some of each.
func (d *Door) serverConfig() *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		Config: ssh.Config{
			KeyExchanges: []string{ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519},
			Ciphers:      []string{ssh.CipherChaCha20Poly1305, ssh.CipherAES128GCM, ssh.CipherAES256GCM},
			MACs:         []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM}, // unused: each cipher has its own
		},
		PublicKeyAuthAlgorithms: []string{
			ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
			ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
			ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512,
		},
		MaxAuthTries:      authTries,
		ServerVersion:     "SSH-2.0-tench",
		PublicKeyCallback: d.checkKey,
	}
	c.AddHostKey(d.host.signer)
	return c
}

func newDoor(o Options, host hostKey) *Door {
	d := &Door{
		o: o, host: host,
		gate:     newGate(theLimits, time.Now),
		refusals: newQuiet(o.Log, time.Now),
	}
	s := State{PID: os.Getpid(), Fingerprint: ssh.FingerprintSHA256(host.signer.PublicKey())}
	o.Log("the host key is %s", s.Fingerprint)
	if host.spare != nil {
		s.Spare = host.spare.Error()
		o.Log("the host key is for this boot only: %v", host.spare)
	}
	d.note = newNotes(s)
	d.config = d.serverConfig()
	return d
}

// serve takes a connection through its login and serves it.
func (d *Door) serve(ctx context.Context, conn net.Conn, t *ticket) {
	from := addressOf(conn.RemoteAddr())
	line := sshline.New(conn, silence)
	alarm := time.AfterFunc(graceTime, func() { conn.Close() })
	c, channels, requests, err := ssh.NewServerConn(line, d.config)
	late := !alarm.Stop()
	if err == nil && !t.passed() {
		err = errors.New("it had to make room for another connection")
		c.Close()
	}
	if err != nil {
		why := reason(err, late)
		d.note.refused(func(s *State) *int { return &s.BadLogins }, from, why, time.Now())
		d.refusals.say("refused %s: %s", from, plain(why))
		return
	}
	go sshline.KeepAlive(c, silence/4)
	go ssh.DiscardRequests(requests) // forwarding of ports, and signs of life
	v := &visit{d: d, conn: c, key: c.Permissions.ExtraData[keyExtension].(key)}
	v.serve(ctx, channels)
}

// reason says why nobody logged in.
func reason(err error, late bool) string {
	var auth *ssh.ServerAuthError
	switch {
	case late:
		return fmt.Sprintf("not logged in within %s", graceTime)
	case errors.As(err, &auth):
		for _, e := range slices.Backward(auth.Errors) {
			if !errors.Is(e, ssh.ErrNoAuth) && !strings.Contains(e.Error(), "too many authentication failures") {
				return e.Error()
			}
		}
		return "it offered no key"
	case errors.Is(err, io.EOF):
		return "it went away before it logged in"
	}
	return err.Error()
}

// checkKey is asked for each key that a client offers, before it has proved that
// it holds the key.
func (d *Door) checkKey(c ssh.ConnMetadata, public ssh.PublicKey) (*ssh.Permissions, error) {
	if c.User() != userName {
		return nil, fmt.Errorf("there is no user %q here, only %s", plain(c.User()), userName)
	}
	k, err := admit(d.readKeys(), public, addressOf(c.RemoteAddr()))
	if err != nil {
		return nil, err
	}
	return &ssh.Permissions{ExtraData: map[any]any{keyExtension: *k}}, nil
}

// readKeys reads the authorized keys anew each time, so that a change counts at
// once. Lines that let nobody in are logged once. When the disk has died those
// that were read last count: it must not keep their holders out.
func (d *Door) readKeys() []key {
	data, err := os.ReadFile(filepath.Join(d.o.DataDir, identityDir, identity.AuthorizedKeysFile))
	if errors.Is(err, os.ErrNotExist) {
		data, err = nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.refusals.say("keys: %v; those that were read before count", err)
		return d.keys
	}
	keys, problems := parseKeys(data)
	d.keys = keys
	if d.note.keys(len(keys), problems) {
		for _, p := range problems {
			d.o.Log("%s", p)
		}
	}
	return keys
}

// lookForKeys reads the keys while there are none, so that the door's state tells
// of the first that are put there. Later ones are read at each login.
func (d *Door) lookForKeys() {
	d.mu.Lock()
	none := len(d.keys) == 0
	d.mu.Unlock()
	if none {
		d.readKeys()
	}
}

// addressOf is the address of a TCP peer; the zero one of anything else.
func addressOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
