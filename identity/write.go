package identity

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"golang.org/x/crypto/ssh"
)

// NewHostKey makes the content of HostKeyFile; name is the box's, for people.
func NewHostKey(random io.Reader, name string) ([]byte, error) {
	_, key, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("identity: make host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(key, name)
	if err != nil {
		return nil, fmt.Errorf("identity: make host key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// Create writes the identity to the new directory dir, which is there whole or
// not at all. One that exists is never replaced: a key that was lost cannot be
// made again.
func (id Identity) Create(dir string) error {
	if err := id.create(dir); err != nil {
		return fmt.Errorf("identity %s: %w", dir, err)
	}
	return nil
}

func (id Identity) create(dir string) error {
	if err := id.check(); err != nil {
		return err
	}
	if _, err := os.Lstat(dir); err == nil {
		return errors.New("it exists\nhint: nothing is replaced; take another name, or move it away")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*") // mode 0700
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w\nhint: make the folder %s first", withoutPath(err), filepath.Dir(dir))
	}
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	for _, f := range id.Files() {
		path := filepath.Join(fresh, filepath.FromSlash(f.Path))
		if f.Mode.IsDir() {
			err = os.Mkdir(path, f.Mode.Perm())
		} else {
			err = writeFile(path, f.Content)
		}
		if err != nil {
			return err
		}
	}
	for _, sub := range []string{UpdateKeysDir, SecretsDir, "."} {
		if err := syncDir(filepath.Join(fresh, sub)); err != nil {
			return err
		}
	}
	// It replaces an empty folder at most.
	if err := os.Rename(fresh, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// SetSecret stores a secret in the identity at dir, in place of the one that
// was there. It survives a power cut once SetSecret has returned; a cut before
// leaves the old one, or the new one at the very end.
func SetSecret(dir, name string, value []byte) error {
	err := errors.Join(CheckSecretName(name), checkSecret(name, value))
	if err == nil {
		err = setSecret(dir, name, value)
	}
	if err != nil {
		return fmt.Errorf("identity %s: %w", dir, err)
	}
	return nil
}

func setSecret(dir, name string, value []byte) error {
	folder := filepath.Join(dir, SecretsDir)
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(folder, name), value); err != nil {
		return err
	}
	return syncDir(folder)
}

// writeFile puts a file of mode 0600 at path, whole or not at all, whatever the
// mode of the one before, which renameio.WriteFile would keep.
func writeFile(path string, data []byte) error {
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// syncDir makes the names in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
