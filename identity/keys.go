package identity

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"tench/release/signify"
)

// maxAuthorized is how many keys may log in.
const maxAuthorized = 256

// minRSABits is the least that counts as strong today.
const minRSABits = 2048

// AuthorizedKey is a line of authorized_keys.
type AuthorizedKey struct {
	Line    int
	Key     ssh.PublicKey
	Comment string // e.g. "hans@desk"
	From    From   // where its holder may come from
	Command string // what each session runs, whatever it asks for
	Forced  bool   // there is a Command
	NoPTY   bool
}

// ParseAuthorizedKeys reads the content of authorized_keys, in OpenSSH's format
// (sshd(8)). A line that cannot be used is an error that names it (the error has
// an Unwrap() []error), but the keys of the other lines are returned all the
// same: a box that somebody damaged over the console shall still let the others
// in. An option that is not honoured is such an error, because its key would
// otherwise do more than its owner meant.
func ParseAuthorizedKeys(data []byte) ([]AuthorizedKey, error) {
	var list []AuthorizedKey
	var problems []error
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, err := parseAuthorizedKey(line)
		switch {
		case err == nil && len(list) >= maxAuthorized:
			err = fmt.Errorf("at most %d keys may log in", maxAuthorized)
		case err == nil && slices.ContainsFunc(list, func(o AuthorizedKey) bool { return bytes.Equal(o.Key.Marshal(), k.Key.Marshal()) }):
			err = errors.New("this key is listed before: the first line counts")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", AuthorizedKeysFile, n, err))
			continue
		}
		k.Line = n
		list = append(list, k)
	}
	return list, errors.Join(problems...)
}

func parseAuthorizedKey(line string) (AuthorizedKey, error) {
	public, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return AuthorizedKey{}, errors.New("is no line such as \"ssh-ed25519 AAAA… NAME\"")
	}
	k := AuthorizedKey{Key: public, Comment: comment}
	if err := checkKind(public); err != nil {
		return k, err
	}
	for _, o := range options {
		if err := k.option(o); err != nil {
			return k, err
		}
	}
	return k, nil
}

// checkKind refuses keys that are too weak, and those that are not plain keys.
func checkKind(public ssh.PublicKey) error {
	switch public.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		if c, ok := public.(ssh.CryptoPublicKey); ok {
			if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() >= minRSABits {
				return nil
			}
		}
		return fmt.Errorf("an RSA key has at least %d bits", minRSABits)
	}
	return fmt.Errorf("keys of type %q are not taken", public.Type())
}

// option honours one option of a line, e.g. `from="10.0.0.0/8"`, or refuses it.
// Names of options are in any case.
func (k *AuthorizedKey) option(text string) error {
	name, value, valued := strings.Cut(text, "=")
	name = strings.ToLower(name)
	if valued {
		var err error
		if value, err = unquote(value); err != nil {
			return fmt.Errorf("option %q: %w", name, err)
		}
	}
	switch {
	case name == "from" && valued && k.From == nil:
		list, err := parseFrom(value)
		if err != nil {
			return fmt.Errorf("option from: %w", err)
		}
		k.From = list
	case name == "command" && valued && !k.Forced:
		k.Command, k.Forced = value, true
	case (name == "restrict" || name == "no-pty") && !valued:
		k.NoPTY = true
	case name == "pty" && !valued:
		k.NoPTY = false
	case (name == "no-port-forwarding" || name == "no-agent-forwarding" || name == "no-x11-forwarding" ||
		name == "no-user-rc") && !valued:
		// There is none of it for anybody.
	default:
		return fmt.Errorf("option %.60q is not honoured, so the key is refused", text)
	}
	return nil
}

// unquote takes the quotation marks off; \" inside of them stands for ".
func unquote(value string) (string, error) {
	inside, ok := strings.CutPrefix(value, `"`)
	if ok {
		inside, ok = strings.CutSuffix(inside, `"`)
	}
	if !ok {
		return "", errors.New("its value is not in double quotes")
	}
	return strings.ReplaceAll(inside, `\"`, `"`), nil
}

// LoadUpdateKeys reads the keys whose signature an update needs; none where
// there is no folder. A key that cannot be read comes as an error beside the
// others.
func LoadUpdateKeys(dir string) ([]signify.PublicKey, error) {
	folder := filepath.Join(dir, UpdateKeysDir)
	names, err := visible(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("identity: %s: %w", UpdateKeysDir, err)
	}
	var list []signify.PublicKey
	var problems []error
	if len(names) > maxFiles {
		problems = append(problems, fmt.Errorf("identity: %s has more than %d files: the first are read", UpdateKeysDir, maxFiles))
		names = names[:maxFiles]
	}
	for _, name := range names {
		data, err := readFile(filepath.Join(folder, name))
		if err != nil {
			problems = append(problems, fmt.Errorf("identity: %s/%s: %w", UpdateKeysDir, name, err))
			continue
		}
		key, err := parseUpdateKey(name, data)
		if err != nil {
			problems = append(problems, fmt.Errorf("identity: %w", err))
			continue
		}
		list = append(list, key)
	}
	return list, errors.Join(problems...)
}

// ParseHostKey reads the content of HostKeyFile.
func ParseHostKey(data []byte) (ssh.Signer, error) {
	key, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", HostKeyFile, err)
	}
	if kind := key.PublicKey().Type(); kind != ssh.KeyAlgoED25519 {
		return nil, fmt.Errorf("%s: it is a key of type %s, not %s", HostKeyFile, kind, ssh.KeyAlgoED25519)
	}
	return key, nil
}

// LoadSecret reads a secret. Its error is os.ErrNotExist where there is none.
func LoadSecret(dir, name string) ([]byte, error) {
	if err := CheckSecretName(name); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	value, err := readFile(filepath.Join(dir, SecretsDir, name))
	if err != nil {
		return nil, fmt.Errorf("identity: secret %s: %w", name, err)
	}
	return value, nil
}
