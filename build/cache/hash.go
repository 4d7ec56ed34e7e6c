package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// HashBytes returns the SHA-256 of data in lower-case hex.
func HashBytes(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// HashFile returns the SHA-256 of the content of the file at path.
func HashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// HashCheckout returns a hash over what git keeps of the tree at dir: the names
// and contents of files, whether they can be run, the targets of symbolic
// links. It is the same in every clone, whatever the user's umask. dir may be a
// single file.
func HashCheckout(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := hashEntry(path, info)
		if err != nil {
			return err
		}
		mode := info.Mode().Type() | info.Mode()&0o100
		if mode.Type() == fs.ModeSymlink {
			mode = fs.ModeSymlink
		}
		_, err = fmt.Fprintf(h, "%q %v %s\n", name, mode, content)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("hash %s: %w", dir, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashEntry hashes a file's content or a symbolic link's target.
func hashEntry(path string, info fs.FileInfo) (string, error) {
	switch info.Mode().Type() {
	case 0:
		return HashFile(path)
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		return HashBytes([]byte(target)), err
	}
	return "", fmt.Errorf("%s is neither file, folder nor symbolic link (%v)", path, info.Mode())
}
