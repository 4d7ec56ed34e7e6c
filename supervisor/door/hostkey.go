package door

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"tench/identity"
	"tench/supervisor/system"
)

// identityDir is the identity's name below the data directory.
const identityDir = "identity"

// hostKey is what the box proves with that it is the one it was before.
type hostKey struct {
	signer ssh.Signer
	// spare tells why the key is one for this boot only; nil for a lasting one.
	spare error
}

// loadHostKey reads the key of the identity, or makes it at the first boot.
// Where it cannot be read or kept, a key for this boot serves, in run, which is
// in RAM: better a box that can be reached than one that cannot. A damaged key
// is not overwritten, because it may be mended.
func loadHostKey(data, run string) (hostKey, error) {
	signer, err := readOrMakeKey(filepath.Join(data, identityDir))
	if err == nil {
		return hostKey{signer: signer}, nil
	}
	signer, spareErr := readOrMakeKey(run)
	if spareErr != nil {
		return hostKey{}, errors.Join(err, spareErr)
	}
	return hostKey{signer, err}, nil
}

func readOrMakeKey(dir string) (ssh.Signer, error) {
	path := filepath.Join(dir, identity.HostKeyFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeKey(path)
	case err != nil:
		return nil, fmt.Errorf("host key: %w", err)
	}
	signer, err := identity.ParseHostKey(text)
	if err != nil {
		return nil, fmt.Errorf("host key: read %s: %w", dir, err)
	}
	return signer, nil
}

// makeKey makes a key that is on the medium when makeKey returns. It waits
// until the kernel has gathered enough randomness (getrandom(2), through
// crypto/rand): a key that was made too early could be guessed.
func makeKey(path string) (ssh.Signer, error) {
	text, err := identity.NewHostKey(rand.Reader, "")
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	err = system.WriteSynced(path, text, 0o600)
	if err == nil {
		err = system.SyncDir(filepath.Dir(dir)) // which may have a new directory
	}
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	return identity.ParseHostKey(text)
}
