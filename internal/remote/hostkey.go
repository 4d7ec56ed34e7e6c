package remote

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys decides whether a host is the one that it was before.
type hostKeys struct {
	lookup ssh.HostKeyCallback
	file   string // where a new host's key belongs
	accept func(NewHost) (bool, error)
	asking func() // called before a person is asked
}

// NewHost is a host that was never seen before.
type NewHost struct {
	Name        string // e.g. "gw0" or "[gw0]:2222"
	Kind        string // of its key, e.g. "ssh-ed25519"
	Fingerprint string // e.g. "SHA256:…", as ssh-keygen -l shows it
}

// knownHosts reads the known_hosts files that there are.
func (t target) knownHosts(accept func(NewHost) (bool, error)) (hostKeys, error) {
	files := slices.DeleteFunc(slices.Clone(t.known), func(f string) bool {
		_, err := os.Stat(f)
		return err != nil
	})
	lookup, err := knownhosts.New(files...)
	if err != nil {
		return hostKeys{}, fmt.Errorf("ssh: read known hosts: %w", err)
	}
	return hostKeys{lookup: lookup, file: t.known[0], accept: accept}, nil
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
		return k.stranger(NewHost{name, key.Type(), print}, knownhosts.Line([]string{name}, key))
	}
	text := fmt.Sprintf("THE KEY OF HOST %s HAS CHANGED: somebody may be listening in, or the host was set up anew\n  now:    %s %s", name, key.Type(), print)
	for _, w := range bad.Want {
		text += fmt.Sprintf("\n  before: %s %s (%s:%d)", w.Key.Type(), ssh.FingerprintSHA256(w.Key), w.Filename, w.Line)
	}
	return fmt.Errorf("%s\nhint: nothing was sent; ask who runs the host; if the new key is right: ssh-keygen -R '%s' -f %s", text, name, bad.Want[0].Filename)
}

// stranger asks about a new host, or refuses it.
func (k hostKeys) stranger(h NewHost, line string) error {
	if k.accept == nil {
		return fmt.Errorf("host %s is unknown: its %s key has the fingerprint\n  %s\n"+
			"hint: compare that with what the host itself says (a tench box shows it in its menu, 1 status; others: ssh-keygen -lf on /etc/ssh/ssh_host_*_key.pub); if it is the same:\n  echo '%s' >> %s",
			h.Name, h.Kind, h.Fingerprint, line, k.file)
	}
	k.asking()
	yes, err := k.accept(h)
	if err != nil {
		return fmt.Errorf("ssh: ask about host %s: %w", h.Name, err)
	}
	if !yes {
		return fmt.Errorf("ssh: host %s was not accepted", h.Name)
	}
	return remember(k.file, line)
}

// remember adds a line to a file of known hosts, as ssh(1) does: others may
// add to it at the same time, so it is not replaced.
func remember(file, line string) error {
	if file == os.DevNull { // as who flashes boxes all day has it
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("ssh: enter known host: %w", err)
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("ssh: enter known host: %w", err)
	}
	text := line + "\n"
	last := make([]byte, 1)
	if end, err := f.Seek(0, io.SeekEnd); err == nil && end > 0 {
		if _, err := f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			text = "\n" + text
		}
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("ssh: enter known host: %w", err)
	}
	return nil
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
