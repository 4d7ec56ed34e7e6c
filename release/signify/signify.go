// Package signify signs files and verifies signatures in the format of
// OpenBSD's signify(1): Ed25519 (RFC 8032) over the whole file. Its files and
// those of signify are the same, both ways.
//
//	signify.go  public keys, signatures: all that the box needs
//	secret.go   secret keys: Generate, Sign
//	file.go     the two lines that all of them are stored as
//
// A file is a line "untrusted comment: TEXT", which anybody may have written,
// and a line of base64. What the latter holds, in bytes:
//
//	public key   "Ed" number(8) key(32)
//	signature    "Ed" number(8) signature(64)
//	secret key   "Ed" "BK" rounds(4) salt(16) checksum(8) number(8) key(64)
//
// The number is random; it says which key a signature is of, and proves
// nothing. Signatures lie beside what they sign, as FILE.sig; those that
// `signify -e` makes, with the message inside, are refused.
package signify

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
)

// KeyNumber ties a signature to the key pair that made it.
type KeyNumber [8]byte

// String is the number as 16 hex digits, in the order of the file's bytes.
func (n KeyNumber) String() string { return hex.EncodeToString(n[:]) }

// PublicKey verifies.
type PublicKey struct {
	Comment string // who it is of, e.g. "tench release public key"; anybody may have written it
	Number  KeyNumber
	key     ed25519.PublicKey
}

// ParsePublicKey reads the content of a .pub file.
func ParsePublicKey(data []byte) (PublicKey, error) {
	comment, b, err := decode("public key", data, len(KeyNumber{})+ed25519.PublicKeySize)
	if err != nil {
		return PublicKey{}, err
	}
	k := PublicKey{Comment: comment}
	k.key = b[copy(k.Number[:], b):]
	return k, nil
}

// Marshal is the content of the .pub file.
func (k PublicKey) Marshal() []byte {
	return encode(k.Comment, k.Number[:], k.key)
}

// ErrBadSignature says that the key whose number the signature names did not
// sign this message.
var ErrBadSignature = errors.New("bad signature: the file is not what was signed")

// Verify checks the content of a .sig file against the message that it shall
// be of. The error says whether the signature is of another key, names no such
// key but is wrong (ErrBadSignature), or cannot be read.
func (k PublicKey) Verify(message, sig []byte) error {
	s, err := ParseSignature(sig)
	if err != nil {
		return err
	}
	if s.Number != k.Number {
		return fmt.Errorf("signature: made by key %s, but this is key %s", s.Number, k.Number)
	}
	if !ed25519.Verify(k.key, message, s.sig) {
		return ErrBadSignature
	}
	return nil
}

// Signature is a detached signature. Without its key it proves nothing.
type Signature struct {
	Comment string    // e.g. "verify with release.pub"; anybody may have written it
	Number  KeyNumber // of the key pair that made it
	sig     []byte
}

// ParseSignature reads the content of a .sig file.
func ParseSignature(data []byte) (Signature, error) {
	comment, b, err := decode("signature", data, len(KeyNumber{})+ed25519.SignatureSize)
	if err != nil {
		return Signature{}, err
	}
	s := Signature{Comment: comment}
	s.sig = b[copy(s.Number[:], b):]
	return s, nil
}
