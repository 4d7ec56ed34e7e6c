package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/release"
	"tench/release/signify"
)

func TestPublishAsksForASignature(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "2026.11")
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	sums := fmt.Appendf(nil, "SHA256 (a.img) = %x\n", sha256.Sum256([]byte("image")))
	write(filepath.Join(dir, "a.img"), []byte("image"))
	write(filepath.Join(dir, release.SumsFile), sums)
	random := rand.NewChaCha8([32]byte{})
	public, secret, err := signify.Generate(random, "release")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := signify.Generate(random, "other")
	if err != nil {
		t.Fatal(err)
	}
	good, bad := filepath.Join(t.TempDir(), "good.pub"), filepath.Join(t.TempDir(), "bad.pub")
	write(good, public.Marshal())
	write(bad, other.Marshal())
	for name, sig := range map[string][]byte{"beside": secret.Sign(sums), "with the message inside": secret.SignInside(sums)} {
		t.Run(name, func(t *testing.T) {
			write(filepath.Join(dir, release.SignatureFile), sig)
			for key, want := range map[string]int{bad: exitError, good: exitOK} {
				tree := t.TempDir()
				var out strings.Builder
				if code := run([]string{"publish", "--key", key, dir, tree}, nil, &out, &out); code != want {
					t.Errorf("tench publish --key %s exits with %d, want %d:\n%s", filepath.Base(key), code, want, out.String())
				}
				// A read-only folder would keep others than root from removing it.
				_ = os.Chmod(filepath.Join(tree, "releases/2026.11"), 0o755)
			}
		})
	}
}

// The newest release is the one made last, whatever it is called and whatever
// epoch it has, and none that is being made.
func TestNewestRelease(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{"2026.11": time.Hour, "2026.11.1": time.Minute, ".2026.12.new": 0} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, release.SumsFile), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := newestRelease(dir); err != nil || got != filepath.Join(dir, "2026.11.1") {
		t.Errorf("newestRelease = %s, %v", got, err)
	}
}
