package identity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"tench/release/signify"
)

// AuthorizedKey is a line of authorized_keys.
type AuthorizedKey struct {
	Key     ssh.PublicKey
	Comment string // e.g. "hans@desk"
}

// ParseAuthorizedKeys reads the content of authorized_keys, in OpenSSH's format
// (sshd(8)). A line that cannot be used is an error that names it, but the keys
// of the other lines are returned all the same: a box that somebody damaged
// over the console shall still let the others in. Options are such an error,
// because one that is passed over would let somebody in who should not be.
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
		key, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
		_, certificate := key.(*ssh.Certificate)
		switch {
		case err != nil:
			err = fmt.Errorf("%s:%d: is no line such as \"ssh-ed25519 AAAA… NAME\"", AuthorizedKeysFile, n)
		case len(options) > 0:
			err = fmt.Errorf("%s:%d: options (%.60q) are not supported", AuthorizedKeysFile, n, strings.Join(options, ","))
		case certificate:
			err = fmt.Errorf("%s:%d: certificates are not supported", AuthorizedKeysFile, n)
		default:
			list = append(list, AuthorizedKey{Key: key, Comment: comment})
			continue
		}
		problems = append(problems, err)
	}
	return list, errors.Join(problems...)
}

// LoadAuthorizedKeys reads the keys that may log in to the box with the
// directory dir; none where there is no file. See ParseAuthorizedKeys for keys
// that come together with an error.
func LoadAuthorizedKeys(dir string) ([]AuthorizedKey, error) {
	data, err := readFile(filepath.Join(dir, AuthorizedKeysFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("identity: %s: %w", AuthorizedKeysFile, err)
	}
	list, err := ParseAuthorizedKeys(data)
	if err != nil {
		return list, fmt.Errorf("identity: %w", err)
	}
	return list, nil
}

// LoadUpdateKeys reads the keys whose signature an update needs; none where
// there is no folder. A key that cannot be read comes as an error beside the
// others.
func LoadUpdateKeys(dir string) ([]signify.PublicKey, error) {
	files, err := readDir(filepath.Join(dir, UpdateKeysDir), readFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("identity: %s: %w", UpdateKeysDir, err)
	}
	var list []signify.PublicKey
	var problems []error
	for _, name := range sortedKeys(files) {
		if err := checkUpdateKey(name, files[name]); err != nil {
			problems = append(problems, fmt.Errorf("identity: %w", err))
			continue
		}
		key, err := signify.ParsePublicKey(files[name])
		if err != nil {
			return nil, err
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
