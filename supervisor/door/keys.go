package door

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/crypto/ssh"

	"tench/identity"
)

// key is a public key that may log in.
type key struct {
	identity.AuthorizedKey
	command []string // what every session runs, whatever it asks for; nil for what it asks for
}

// shown is how the log calls the key.
func (k key) shown() string {
	s := ssh.FingerprintSHA256(k.Key)
	if k.Comment != "" {
		s += " " + plain(k.Comment)
	}
	return s
}

// operator is who the key belongs to: keys with one comment are of one person.
func (k key) operator() string {
	if k.Comment == "" {
		return ssh.FingerprintSHA256(k.Key)
	}
	return plain(k.Comment)
}

// parseKeys reads a file of authorized keys, and tells which lines let nobody in
// and why, on one line each.
func parseKeys(data []byte) (keys []key, problems []string) {
	list, err := identity.ParseAuthorizedKeys(data)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			problems = append(problems, plain(e.Error()))
		}
	}
	for _, a := range list {
		k := key{AuthorizedKey: a}
		if a.Forced {
			if k.command, err = forcedCommand(a.Command); err != nil {
				problems = append(problems, plain(fmt.Sprintf("%s:%d: option %v", identity.AuthorizedKeysFile, a.Line, err)))
				continue
			}
		}
		keys = append(keys, k)
	}
	return keys, problems
}

// forcedCommand reads the value of command="…".
func forcedCommand(value string) ([]string, error) {
	if value == sftpWord || value == "internal-sftp" {
		return []string{sftpWord}, nil
	}
	return parseCommand(value)
}

// find returns the key of the list that is public, or nil.
func find(keys []key, public ssh.PublicKey) *key {
	blob := public.Marshal()
	for i := range keys {
		if bytes.Equal(keys[i].Key.Marshal(), blob) {
			return &keys[i]
		}
	}
	return nil
}

// errStranger refuses a key without telling the client why.
var errStranger = errors.New("this key may not log in")

// admit finds the key with which a client at the address a may log in.
func admit(keys []key, public ssh.PublicKey, a netip.Addr) (*key, error) {
	k := find(keys, public)
	switch {
	case k == nil:
		return nil, errStranger
	case !k.From.Allows(a):
		return nil, fmt.Errorf("key %s may not log in from here: %w", k.shown(), errStranger)
	}
	return k, nil
}
