package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SecretNames lists the secrets of the identity at dir, sorted. It reads none.
func SecretNames(dir string) ([]string, error) {
	names, err := visible(filepath.Join(dir, SecretsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("identity %s: list secrets: %w", dir, err)
	}
	return names, nil
}

// RemoveSecret removes a secret of the identity at dir. Its bytes may stay on
// the medium until they are written over.
func RemoveSecret(dir, name string) error {
	if err := removeSecret(dir, name); err != nil {
		return fmt.Errorf("identity %s: %w", dir, err)
	}
	return nil
}

func removeSecret(dir, name string) error {
	if err := CheckSecretName(name); err != nil {
		return err
	}
	folder := filepath.Join(dir, SecretsDir)
	err := os.Remove(filepath.Join(folder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no secret %q", name)
	}
	if err != nil {
		return withoutPath(err)
	}
	return syncDir(folder)
}
