package signify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/dchest/bcrypt_pbkdf"
)

// SecretKey signs.
type SecretKey struct {
	Comment string // e.g. "tench release secret key"
	Number  KeyNumber
	// PublicFile is the name of the file with the public key, e.g.
	// "release.pub". Signatures name it as the one to verify with, which lets
	// signify(1) find it in /etc/signify. It is not stored with the key.
	PublicFile string
	key        ed25519.PrivateKey
}

// Layout of a secret key behind the algorithm's name (signify.c of OpenBSD).
const (
	kdf          = "BK" // bcrypt_pbkdf(3)
	roundsAt     = 2
	saltAt       = 6
	saltSize     = 16
	checksumAt   = saltAt + saltSize
	checksumSize = 8 // first bytes of the key's SHA-512: tells a wrong passphrase
	numberAt     = checksumAt + checksumSize
	keyAt        = numberAt + len(KeyNumber{})
	secretSize   = keyAt + ed25519.PrivateKeySize
)

const (
	defaultRounds = 42 // as signify(1) sets
	// maxRounds bounds what a file from elsewhere can make us compute.
	maxRounds = 4096
)

// ErrPassphrase says that a secret key's passphrase is a wrong one.
var ErrPassphrase = errors.New("secret key: wrong passphrase")

// Generate makes a key pair. The comments of both begin with comment, e.g.
// "tench release".
func Generate(random io.Reader, comment string) (PublicKey, SecretKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return PublicKey{}, SecretKey{}, fmt.Errorf("secret key: read random bytes: %w", err)
	}
	s := SecretKey{Comment: comment + " secret key", key: ed25519.NewKeyFromSeed(seed)}
	if _, err := io.ReadFull(random, s.Number[:]); err != nil {
		return PublicKey{}, SecretKey{}, fmt.Errorf("secret key: read random bytes: %w", err)
	}
	p := s.Public()
	p.Comment = comment + " public key"
	return p, s, nil
}

// Public is the other half of the pair, with the secret key's comment.
func (s SecretKey) Public() PublicKey {
	return PublicKey{Comment: s.Comment, Number: s.Number, key: s.key.Public().(ed25519.PublicKey)}
}

// Sign is the content of the message's .sig file.
func (s SecretKey) Sign(message []byte) []byte {
	comment := "signature from " + s.Comment
	if s.PublicFile != "" {
		comment = "verify with " + s.PublicFile
	}
	return encode(comment, s.Number[:], ed25519.Sign(s.key, message))
}

// ParseSecretKey reads the content of a .sec file. It asks for the passphrase
// only if the key has one.
func ParseSecretKey(data []byte, passphrase func() ([]byte, error)) (SecretKey, error) {
	comment, b, err := decode("secret key", data, secretSize)
	if err != nil {
		return SecretKey{}, err
	}
	if string(b[:roundsAt]) != kdf {
		return SecretKey{}, fmt.Errorf("secret key: line 2: passphrase's function %q, only %q is known", b[:roundsAt], kdf)
	}
	rounds := binary.BigEndian.Uint32(b[roundsAt:])
	if rounds > maxRounds {
		return SecretKey{}, fmt.Errorf("secret key: line 2: %d rounds, at most %d are computed", rounds, maxRounds)
	}
	s := SecretKey{Comment: comment, Number: KeyNumber(b[numberAt:keyAt]), key: b[keyAt:]}
	if rounds > 0 {
		words, err := passphrase()
		if err != nil {
			return SecretKey{}, err
		}
		if err := crypt(s.key, words, b[saltAt:checksumAt], int(rounds)); err != nil {
			return SecretKey{}, err
		}
	}
	if sum := checksum(s.key); !bytes.Equal(sum, b[checksumAt:numberAt]) {
		if rounds > 0 {
			return SecretKey{}, ErrPassphrase
		}
		return SecretKey{}, errors.New("secret key: line 2: the key does not have its checksum")
	}
	// The second half is the public key; a wrong one would make signatures
	// that give the secret away.
	if whole := ed25519.NewKeyFromSeed(s.key.Seed()); !bytes.Equal(whole, s.key) {
		return SecretKey{}, errors.New("secret key: line 2: the public half is of another key")
	}
	return s, nil
}

// Marshal is the content of the .sec file, encrypted with the passphrase, or
// plain if that is nil.
func (s SecretKey) Marshal(random io.Reader, passphrase []byte) ([]byte, error) {
	b := make([]byte, secretSize)
	copy(b, kdf)
	if _, err := io.ReadFull(random, b[saltAt:checksumAt]); err != nil {
		return nil, fmt.Errorf("secret key: read random bytes: %w", err)
	}
	copy(b[checksumAt:], checksum(s.key))
	copy(b[numberAt:], s.Number[:])
	copy(b[keyAt:], s.key)
	if passphrase != nil {
		binary.BigEndian.PutUint32(b[roundsAt:], defaultRounds)
		if err := crypt(b[keyAt:], passphrase, b[saltAt:checksumAt], defaultRounds); err != nil {
			return nil, err
		}
	}
	return encode(s.Comment, b), nil
}

// crypt encrypts or decrypts a key in place.
func crypt(key, passphrase, salt []byte, rounds int) error {
	if len(passphrase) == 0 {
		return errors.New("secret key: the passphrase is empty")
	}
	stream, err := bcrypt_pbkdf.Key(passphrase, salt, rounds, len(key))
	if err != nil {
		return fmt.Errorf("secret key: %w", err)
	}
	subtle.XORBytes(key, key, stream)
	return nil
}

func checksum(key []byte) []byte {
	sum := sha512.Sum512(key)
	return sum[:checksumSize]
}
