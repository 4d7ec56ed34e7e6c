package signify

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
)

const debian = "signify-openbsd" // OpenBSD's program in Debian

// openbsd runs signify in dir, with what it asks for on standard input.
func openbsd(t *testing.T, dir, input string, args ...string) error {
	t.Helper()
	cmd := exec.Command(debian, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	t.Logf("%v: %s", cmd.Args, out)
	return err
}

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Our keys sign in OpenBSD's signify, which verifies our signatures.
func TestOursToOpenBSD(t *testing.T) {
	lab.Require(t, debian)
	for name, passphrase := range map[string]string{"plain": "", "encrypted": "carps and tenches"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			public, secret, err := Generate(rand.Reader, "ours")
			if err != nil {
				t.Fatal(err)
			}
			var words []byte
			if passphrase != "" {
				words = []byte(passphrase)
			}
			sec, err := secret.Marshal(rand.Reader, words)
			if err != nil {
				t.Fatal(err)
			}
			message := []byte("a message\n")
			put(t, dir, "k.pub", public.Marshal())
			put(t, dir, "k.sec", sec)
			put(t, dir, "m", message)
			put(t, dir, "m.sig", secret.Sign(message))
			if err := openbsd(t, dir, "", "-V", "-p", "k.pub", "-m", "m"); err != nil {
				t.Errorf("signify refuses our signature: %v", err)
			}
			if err := openbsd(t, dir, passphrase+"\n", "-S", "-s", "k.sec", "-m", "m", "-x", "theirs.sig"); err != nil {
				t.Fatalf("signify refuses our secret key: %v", err)
			}
			if err := public.Verify(message, get(t, dir, "theirs.sig")); err != nil {
				t.Error(err)
			}
			put(t, dir, "m", []byte("another message\n"))
			if err := openbsd(t, dir, "", "-V", "-p", "k.pub", "-m", "m"); err == nil {
				t.Error("signify accepts our signature of another message")
			}
		})
	}
}

// Keys that OpenBSD's signify made are read here, and sign as they do there.
func TestOpenBSDToOurs(t *testing.T) {
	lab.Require(t, debian)
	for name, tc := range map[string]struct {
		passphrase string
		generate   []string
	}{
		"plain":     {"", []string{"-G", "-n", "-c", "theirs", "-p", "k.pub", "-s", "k.sec"}},
		"encrypted": {"carps and tenches", []string{"-G", "-c", "theirs", "-p", "k.pub", "-s", "k.sec"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := openbsd(t, dir, tc.passphrase+"\n"+tc.passphrase+"\n", tc.generate...); err != nil {
				t.Fatal(err)
			}
			public, err := ParsePublicKey(get(t, dir, "k.pub"))
			if err != nil {
				t.Fatal(err)
			}
			secret, err := ParseSecretKey(get(t, dir, "k.sec"), words(tc.passphrase))
			if err != nil {
				t.Fatal(err)
			}
			if want := "theirs secret key"; secret.Comment != want || public.Number != secret.Number {
				t.Errorf("secret key: comment %q, number %s, want %q, %s", secret.Comment, secret.Number, want, public.Number)
			}
			secret.PublicFile = "k.pub"
			message := []byte("a message\n")
			put(t, dir, "m", message)
			if err := openbsd(t, dir, tc.passphrase+"\n", "-S", "-s", "k.sec", "-m", "m"); err != nil {
				t.Fatal(err)
			}
			theirs := get(t, dir, "m.sig")
			if err := public.Verify(message, theirs); err != nil {
				t.Error(err)
			}
			if ours := secret.Sign(message); string(ours) != string(theirs) {
				t.Errorf("Sign = %s, signify writes %s", ours, theirs)
			}
		})
	}
}
