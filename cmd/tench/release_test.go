package main

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"tench/release/signify"
)

// typing is a command on whose standard input is text.
func typing(text string) *cobra.Command {
	c := &cobra.Command{}
	c.SetContext(context.Background())
	c.SetIn(strings.NewReader(text))
	return c
}

func TestSigner(t *testing.T) {
	public, secret, err := signify.Generate(rand.Reader, "test")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, passphrase := range map[string][]byte{"plain.sec": nil, "locked.sec": []byte("open sesame")} {
		data, err := secret.Marshal(rand.Reader, passphrase)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		key, typed string
		err        error
	}{
		"no passphrase":             {"plain.sec", "", nil},
		"passphrase":                {"locked.sec", "open sesame\n", nil},
		"passphrase without an end": {"locked.sec", "open sesame", nil},
		"wrong passphrase":          {"locked.sec", "open caraway\n", signify.ErrPassphrase},
	} {
		t.Run(name, func(t *testing.T) {
			sign, err := signing{key: filepath.Join(dir, tc.key)}.signer(typing(tc.typed))
			if !errors.Is(err, tc.err) {
				t.Fatalf("signer = %v, want %v", err, tc.err)
			}
			if err != nil {
				return
			}
			sums := []byte("SHA256 (a) = 0\n")
			sig := sign(sums)
			if got, err := public.Open(sig); err != nil || string(got) != string(sums) {
				t.Errorf("the signature holds %q, %v", got, err)
			}
			if want := "verify with " + strings.TrimSuffix(tc.key, ".sec") + ".pub\n"; !strings.Contains(string(sig), want) {
				t.Errorf("the signature %q does not say %q", sig, want)
			}
		})
	}
	if sign, err := (signing{unsigned: true}).signer(typing("")); sign != nil || err != nil {
		t.Errorf("an unsigned release has a signer (%v)", err)
	}
}
