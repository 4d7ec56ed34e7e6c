package door

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"tench/identity"
)

func TestHostKeyIsMadeOnce(t *testing.T) {
	data, run := t.TempDir(), t.TempDir()
	first, err := loadHostKey(data, run)
	must(t, err)
	again, err := loadHostKey(data, run)
	must(t, err)
	if a, b := ssh.FingerprintSHA256(first.signer.PublicKey()), ssh.FingerprintSHA256(again.signer.PublicKey()); a != b {
		t.Errorf("the key was %s and is %s", a, b)
	}
	if first.spare != nil || again.spare != nil {
		t.Errorf("it is for this boot only: %v, %v", first.spare, again.spare)
	}
	for name, want := range map[string]os.FileMode{identityDir: os.ModeDir | 0o700, filepath.Join(identityDir, identity.HostKeyFile): 0o600} {
		info, err := os.Stat(filepath.Join(data, name))
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
	if left, err := os.ReadDir(filepath.Join(data, identityDir)); err != nil || len(left) != 1 {
		t.Errorf("the directory has %v, %v", left, err)
	}
}

// A key that cannot be had must not keep the operator out, and is not replaced.
func TestSpareHostKey(t *testing.T) {
	for name, spoil := range map[string]func(data string) error{
		"a damaged key": func(data string) error {
			dir := filepath.Join(data, identityDir)
			return os.WriteFile(filepath.Join(dir, identity.HostKeyFile), []byte("-----BEGIN"), 0o600)
		},
		"no directory to be made": func(data string) error {
			if err := os.Remove(filepath.Join(data, identityDir)); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(data, identityDir), nil, 0o600)
		},
	} {
		data, run := t.TempDir(), t.TempDir()
		must(t, os.Mkdir(filepath.Join(data, identityDir), 0o700))
		must(t, spoil(data))
		first, err := loadHostKey(data, run)
		must(t, err)
		again, err := loadHostKey(data, run) // a door that was restarted
		must(t, err)
		if a, b := ssh.FingerprintSHA256(first.signer.PublicKey()), ssh.FingerprintSHA256(again.signer.PublicKey()); a != b {
			t.Errorf("%s: the key was %s and is %s", name, a, b)
		}
		if first.spare == nil || !strings.HasPrefix(first.spare.Error(), "host key: ") {
			t.Errorf("%s: it does not say why: %v", name, first.spare)
		}
		if text, err := os.ReadFile(filepath.Join(data, identityDir, identity.HostKeyFile)); err == nil && string(text) != "-----BEGIN" {
			t.Errorf("%s: it was replaced", name)
		}
	}
	if _, err := loadHostKey("/dev/null", "/dev/null"); err == nil {
		t.Error("a key is kept in /dev/null")
	}
}
