package publish

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys decides whether a host is the one that it was before.
type hostKeys struct {
	lookup ssh.HostKeyCallback
	file   string // where a new host's key belongs
}

// knownHosts reads the known_hosts files that there are.
func (h host) knownHosts() (hostKeys, error) {
	files := slices.DeleteFunc(slices.Clone(h.known), func(f string) bool {
		_, err := os.Stat(f)
		return err != nil
	})
	lookup, err := knownhosts.New(files...)
	if err != nil {
		return hostKeys{}, fmt.Errorf("ssh: read known hosts: %w", err)
	}
	return hostKeys{lookup, h.known[0]}, nil
}

// check is the ssh.HostKeyCallback: there is no way around it.
func (k hostKeys) check(address string, remote net.Addr, key ssh.PublicKey) error {
	err := k.lookup(address, remote, key)
	var bad *knownhosts.KeyError
	if !errors.As(err, &bad) {
		return err
	}
	name, print := knownhosts.Normalize(address), ssh.FingerprintSHA256(key)
	if len(bad.Want) == 0 {
		return fmt.Errorf("host %s is unknown: its %s key has the fingerprint\n  %s\n"+
			"hint: compare that with what the host itself says (ssh-keygen -lf on its /etc/ssh/ssh_host_*_key.pub); if it is the same:\n  echo '%s' >> %s",
			name, key.Type(), print, knownhosts.Line([]string{name}, key), k.file)
	}
	text := fmt.Sprintf("THE KEY OF HOST %s HAS CHANGED: somebody may be listening in, or the host was set up anew\n  now:    %s %s", name, key.Type(), print)
	for _, w := range bad.Want {
		text += fmt.Sprintf("\n  before: %s %s (%s:%d)", w.Key.Type(), ssh.FingerprintSHA256(w.Key), w.Filename, w.Line)
	}
	return fmt.Errorf("%s\nhint: nothing was sent; ask who runs the host; if the new key is right: ssh-keygen -R '%s' -f %s", text, name, bad.Want[0].Filename)
}

// algorithms is the order to ask for host keys in: first those that we know the
// host by. Otherwise a host that is known by one key and has another too would
// show the other one, and look like a stranger. nil leaves it to the library.
func (k hostKeys) algorithms(address string) []string {
	var known *knownhosts.KeyError
	if !errors.As(k.lookup(address, &net.TCPAddr{}, noKey{}), &known) {
		return nil
	}
	var first []string
	for _, w := range known.Want {
		kind := w.Key.Type()
		if kind == ssh.KeyAlgoRSA { // the key's type; these are how it signs today
			first = append(first, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		first = append(first, kind)
	}
	if first == nil {
		return nil
	}
	for _, a := range ssh.SupportedAlgorithms().HostKeys {
		if !slices.Contains(first, a) {
			first = append(first, a)
		}
	}
	return first
}

// noKey is a key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }
