package remote

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"tench/internal/lab"
)

func newSecret(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return key
}

// keyAgent is an ssh-agent with so many keys, and returns its socket.
func keyAgent(t *testing.T, keys int) string {
	t.Helper()
	ring := agent.NewKeyring()
	for range keys {
		must(t, ring.Add(agent.AddedKey{PrivateKey: newSecret(t)}))
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c) }() // it ends with the connection
		}
	}()
	return socket
}

// A host hangs up after some keys, before the right one had its turn.
func TestTooManyKeys(t *testing.T) {
	host, err := ssh.NewSignerFromKey(newSecret(t))
	must(t, err)
	config := &ssh.ServerConfig{MaxAuthTries: 2, PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
		return nil, errors.New("not this one")
	}}
	config.AddHostKey(host)
	port := lab.Listen(t, func(c *net.TCPConn) { _, _, _, _ = ssh.NewServerConn(c, config) })
	o := Options{Home: t.TempDir(), Agent: keyAgent(t, 4), AcceptNew: func(NewHost) (bool, error) { return true, nil }}
	text := refused(t, "127.0.0.1:"+port, o, "ssh: log in as root: the host hung up after the first of our keys (ssh-agent (4 keys)): ")
	if !strings.HasSuffix(text, "\nhint: name the right one with --identity FILE") {
		t.Errorf("Dial = %s", text)
	}
}
