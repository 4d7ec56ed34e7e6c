package remote

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// authentication collects the keys to offer, and remembers which, for the error.
type authentication struct {
	t      target
	o      Options
	asking func() // called before a person is asked
	tried  []string
	agent  net.Conn // to ssh-agent, whose keys sign over it; nil for none
}

// close ends what a login needs and nobody else.
func (x *authentication) close() {
	if x.agent != nil {
		x.agent.Close()
	}
}

// signers is every key that we may use: the agent's first, because they ask
// nothing, or only the one that was named.
func (x *authentication) signers() ([]ssh.Signer, error) {
	files, must := x.t.identities, false
	switch {
	case x.o.Identity != "":
		files, must = []string{x.o.Identity}, true
	case len(files) == 0:
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			files = append(files, filepath.Join(x.o.Home, ".ssh", name))
		}
	}
	var list []ssh.Signer
	if !must && x.o.Agent != "" {
		list = x.fromAgent()
	}
	for _, f := range files {
		s, err := x.fromFile(f)
		switch {
		case err == nil && !offered(list, s):
			list = append(list, s)
			x.tried = append(x.tried, f)
		case must && err != nil:
			return nil, err
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			x.tried = append(x.tried, fmt.Sprintf("%s (%v)", f, err))
		}
	}
	return list, nil
}

func offered(list []ssh.Signer, s ssh.Signer) bool {
	for _, o := range list {
		if string(o.PublicKey().Marshal()) == string(s.PublicKey().Marshal()) {
			return true
		}
	}
	return false
}

// fromAgent asks ssh-agent for its keys. One that does not answer is no reason
// to stop: there are files.
func (x *authentication) fromAgent() []ssh.Signer {
	conn, err := net.Dial("unix", x.o.Agent)
	if err != nil {
		x.tried = append(x.tried, fmt.Sprintf("ssh-agent (%v)", err))
		return nil
	}
	x.agent = conn
	list, err := agent.NewClient(conn).Signers()
	if err != nil {
		x.tried = append(x.tried, fmt.Sprintf("ssh-agent (%v)", err))
		return nil
	}
	x.tried = append(x.tried, fmt.Sprintf("ssh-agent (%d keys)", len(list)))
	return list
}

// fromFile reads a key. One with a passphrase asks for it only when the host
// would take the key.
func (x *authentication) fromFile(path string) (ssh.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ssh: read key: %w", err)
	}
	s, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		if err != nil {
			return nil, fmt.Errorf("ssh: read key %s: %w", path, err)
		}
		return s, nil
	}
	l := &lockedKey{path: path, data: data, public: locked.PublicKey, ask: x.o.Passphrase, asking: x.asking}
	if l.public == nil { // the old formats hide it
		line, err := os.ReadFile(path + ".pub")
		if err != nil {
			return l.unlock()
		}
		if l.public, _, _, _, err = ssh.ParseAuthorizedKey(line); err != nil {
			return nil, fmt.Errorf("ssh: read key %s.pub: %w", path, err)
		}
	}
	return l, nil
}

// lockedKey is a key that is under a passphrase until it has to sign.
type lockedKey struct {
	path   string
	data   []byte
	public ssh.PublicKey
	ask    func(file string) ([]byte, error)
	asking func()
}

func (l *lockedKey) PublicKey() ssh.PublicKey { return l.public }

func (l *lockedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	s, err := l.unlock()
	if err != nil {
		return nil, err
	}
	return s.Sign(rand, data)
}

// SignWithAlgorithm is for RSA keys, which sign in several ways.
func (l *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s, err := l.unlock()
	if err != nil {
		return nil, err
	}
	as, ok := s.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("ssh: key %s does not sign with %s", l.path, algorithm)
	}
	return as.SignWithAlgorithm(rand, data, algorithm)
}

func (l *lockedKey) unlock() (ssh.Signer, error) {
	if l.ask == nil {
		return nil, fmt.Errorf("ssh: key %s has a passphrase, and there is no terminal to ask for it\nhint: ssh-add %[1]s", l.path)
	}
	l.asking()
	passphrase, err := l.ask(l.path)
	if err != nil {
		return nil, fmt.Errorf("ssh: ask for the passphrase of %s: %w", l.path, err)
	}
	defer clear(passphrase)
	s, err := ssh.ParsePrivateKeyWithPassphrase(l.data, passphrase)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, fmt.Errorf("ssh: unlock key %s: wrong passphrase", l.path)
	}
	if err != nil {
		return nil, fmt.Errorf("ssh: unlock key %s: %w", l.path, err)
	}
	return s, nil
}

// explain adds to the error of a login which keys were offered.
func (x *authentication) explain(err error) error {
	// The library has no types for these, and servers write the words as they like.
	text := strings.ToLower(err.Error())
	tried := strings.Join(x.tried, ", ")
	if strings.Contains(text, "too many authentication failures") {
		return fmt.Errorf("ssh: log in as %s: the host hung up after the first of our keys (%s): %w\nhint: name the right one with --identity FILE", x.t.user, tried, err)
	}
	if !strings.Contains(text, "unable to authenticate") {
		return err
	}
	if tried == "" {
		tried = "none: there is no agent and no key in ~/.ssh"
	}
	return fmt.Errorf("ssh: log in as %s: the host takes none of our keys (%s): %w\nhint: enter the public key into its authorized_keys (ssh-copy-id %s@%s), or name another with --identity FILE",
		x.t.user, tried, err, x.t.user, x.t.name)
}
