package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// ParseRecipient reads whom a backup is for: an age public key ("age1...") or an
// SSH public key ("ssh-ed25519 AAAA...", "ssh-rsa AAAA...").
func ParseRecipient(text string) (age.Recipient, error) {
	text = strings.TrimSpace(text)
	var r age.Recipient
	var err error
	switch {
	// A secret key is not repeated: errors end up in logs. In the file of age-keygen
	// comments come before it.
	case strings.Contains(strings.ToUpper(text), "AGE-SECRET-KEY-"):
		return nil, errors.New("backup: recipient: this is a secret key\nhint: age-keygen -y FILE prints its public key")
	case strings.Contains(text, "-----BEGIN"):
		return nil, errors.New("backup: recipient: this is a secret key\nhint: the public key of an SSH key is in the .pub file beside it")
	case strings.HasPrefix(text, "ssh-"):
		r, err = agessh.ParseRecipient(text)
	default:
		r, err = age.ParseX25519Recipient(text)
	}
	if err != nil {
		return nil, fmt.Errorf("backup: recipient %q: %w\nhint: age1... of age-keygen, or the line of an SSH key's .pub file (ssh-ed25519, ssh-rsa)", text, err)
	}
	return r, nil
}

// ForPassphrase is the recipient of whoever knows the passphrase.
func ForPassphrase(passphrase []byte) (age.Recipient, error) {
	r, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, fmt.Errorf("backup: passphrase: %w", err)
	}
	return r, nil
}

// ByPassphrase opens what was encrypted with a passphrase, and asks for it only
// when the file is such a one.
func ByPassphrase(ask func() ([]byte, error)) age.Identity { return asked{ask} }

type asked struct{ ask func() ([]byte, error) }

// Unwrap implements age.Identity.
func (a asked) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != "scrypt" {
		return nil, age.ErrIncorrectIdentity
	}
	passphrase, err := a.ask()
	if err != nil {
		return nil, err
	}
	id, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, err
	}
	key, err := id.Unwrap(stanzas)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, errors.New("the passphrase is wrong")
	}
	return key, err
}

// ParseIdentities reads a file with secret keys: those of age-keygen, one a
// line, or one SSH key, whose passphrase is asked for if it has one and the
// backup is for it.
func ParseIdentities(data []byte, ask func() ([]byte, error)) ([]age.Identity, error) {
	if !bytes.HasPrefix(data, []byte("-----BEGIN")) {
		ids, err := age.ParseIdentities(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("no secret key of age-keygen or ssh-keygen: %w", err)
		}
		return ids, nil
	}
	id, err := agessh.ParseIdentity(data)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && locked.PublicKey != nil {
		id, err = agessh.NewEncryptedSSHIdentity(locked.PublicKey, data, ask)
	}
	if err != nil {
		return nil, err
	}
	return []age.Identity{id}, nil
}
