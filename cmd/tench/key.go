package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"tench/internal/echo"
	"tench/release/signify"
)

// The ends of key files' names, as OpenBSD has them.
const (
	publicEnd = ".pub"
	secretEnd = ".sec"
	sigEnd    = ".sig"
)

func keyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Make keys, sign files and verify signatures",
		Long: `key works with keys and signatures in the format of OpenBSD's signify: whoever
does not want to believe tench verifies with signify-openbsd.`,
		Example: `  tench key new release                  make release.pub and release.sec
  tench key show release.pub`,
	}
	c.AddCommand(keyNewCommand(), keyShowCommand(), keySignCommand(), keyVerifyCommand())
	return c
}

func keyNewCommand() *cobra.Command {
	var plain bool
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a key pair: NAME.pub and NAME.sec",
		Long: `new makes a key pair: NAME.sec signs, NAME.pub verifies. It asks for a
passphrase, without which NAME.sec is of no use to a thief; where there is no
terminal, it is the first line of standard input. Existing files are never
replaced.`,
		Example: `  tench key new release
  tench key new /media/stick/release
  tench key new ci --no-passphrase       for a machine that signs alone`,
		Args: between(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return newKey(c, args[0], plain)
		},
	}
	c.Flags().BoolVar(&plain, "no-passphrase", false, "write the secret key as it is: whoever reads the file can sign")
	return c
}

func newKey(c *cobra.Command, name string, plain bool) error {
	if base := name[strings.LastIndex(name, "/")+1:]; strings.Trim(base, ".") == "" {
		return usageError{fmt.Errorf("key: %q does not end with a name for the files\nhint: e.g. tench key new release", name)}
	}
	public, secret := name+publicEnd, name+secretEnd
	if info, err := os.Stat(filepath.Dir(secret)); err != nil || !info.IsDir() {
		return fmt.Errorf("key: there is no folder %s\nhint: make it first, or take another place", filepath.Dir(secret))
	}
	for _, path := range []string{public, secret} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("key: %s exists\nhint: take another name; a key that was lost cannot be made again", path)
		}
	}
	p, s, err := signify.Generate(rand.Reader, filepath.Base(name))
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	var passphrase []byte
	if !plain {
		if passphrase, err = askTwice(c, "new passphrase of "+secret+": "); err != nil {
			return fmt.Errorf("key: %w", err)
		}
		if len(passphrase) == 0 {
			return errors.New("key: the passphrase is empty\nhint: --no-passphrase writes a key without one")
		}
	}
	data, err := s.Marshal(rand.Reader, passphrase)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if err := writeNew(secret, data, 0o600); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if err := writeNew(public, p.Marshal(), 0o644); err != nil {
		return fmt.Errorf("key: %w", errors.Join(err, os.Remove(secret))) // half a pair is of no use
	}
	fmt.Fprintf(c.OutOrStdout(), `key %s
%s  verifies: put it where people find it apart from what it signs, e.g. into this tree
%s  signs: whoever has it can sign as you; keep it on a stick of its own and a
  copy elsewhere, and not on machines that build or serve
`, p.Number, public, secret)
	if dir, inside := gitTree(secret); inside {
		fmt.Fprintf(c.ErrOrStderr(), "warning: %s is in the git tree %s: move it away before it is committed\n", secret, dir)
	}
	return nil
}

// writeNew writes a file, whole, where there is none.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(mode))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// FAT, which sticks have, knows no links, and NFS no such rename.
	err = unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) {
		return os.Link(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return nil
}

// gitTree finds the git work tree that a file is in.
func gitTree(path string) (string, bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", false
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return dir, true
		}
		if dir == filepath.Dir(dir) {
			return "", false
		}
	}
}

func keyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Say what a key or signature file is",
		Long: `show says what kind of file it is and which key pair it belongs to. The
fingerprint is the SHA-256 of what the second line of a public key holds:
compare it with one that you have from elsewhere.`,
		Example: `  tench key show release.pub
  tench key show SHA256.sig`,
		Args: between(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := describe(c.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), text)
			return nil
		},
	}
}

// describe tells what is in a file, by trying.
func describe(ctx context.Context, path string) (string, error) {
	data, err := readFile(ctx, path)
	if err != nil {
		return "", fmt.Errorf("key: %w", err)
	}
	p, errPublic := signify.ParsePublicKey(data)
	if errPublic == nil {
		return fmt.Sprintf("%s: public key %s (%s)\nfingerprint %s", path, p.Number, printable(p.Comment), p.Fingerprint()), nil
	}
	if s, err := signify.ParseSignature(data); err == nil {
		return fmt.Sprintf("%s: signature by key %s (%s)", path, s.Number, printable(s.Comment)), nil
	}
	if s, err := signify.DescribeSecretKey(data); err == nil {
		protection := "without a passphrase"
		if s.Encrypted {
			protection = "with a passphrase"
		}
		return fmt.Sprintf("%s: secret key %s (%s), %s", path, s.Number, printable(s.Comment), protection), nil
	}
	return "", fmt.Errorf("key: %s is neither a key nor a signature: as a %w", path, errPublic)
}

func keySignCommand() *cobra.Command {
	var keyFile string
	var inside bool
	c := &cobra.Command{
		Use:   "sign --key FILE.sec FILE…",
		Short: "Sign files: writes FILE.sig beside each",
		Example: `  tench key sign --key /media/stick/release.sec SHA256 --inside
  tench key sign --key release.sec notes.txt`,
		Args: between(1, math.MaxInt),
		RunE: func(c *cobra.Command, args []string) error {
			key, err := readSecretKey(c, keyFile)
			if err != nil {
				return err
			}
			for _, path := range args {
				message, err := os.ReadFile(path)
				if err != nil {
					return fmt.Errorf("key: %w", err)
				}
				sig := key.Sign(message)
				if inside {
					sig = key.SignInside(message)
				}
				if err := renameio.WriteFile(path+sigEnd, sig, 0o644); err != nil {
					return fmt.Errorf("key: write %s: %w", path+sigEnd, err)
				}
				fmt.Fprintf(c.OutOrStdout(), "%s\n", path+sigEnd)
			}
			return nil
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", "the secret key's `file`")
	c.Flags().BoolVar(&inside, "inside", false, "put the file into its signature as well, as signify -C wants it of SHA256")
	requireKey(c)
	return c
}

func keyVerifyCommand() *cobra.Command {
	var keyFile string
	c := &cobra.Command{
		Use:     "verify --key FILE.pub FILE…",
		Short:   "Verify files by the signatures beside them",
		Example: `  tench key verify --key release.pub SHA256`,
		Args:    between(1, math.MaxInt),
		RunE: func(c *cobra.Command, args []string) error {
			key, err := readPublicKey(c.Context(), keyFile)
			if err != nil {
				return err
			}
			bad := 0
			for _, path := range args {
				if err := verifyFile(key, path); err != nil {
					fmt.Fprintf(c.ErrOrStderr(), "%s: %v\n", path, err)
					bad++
					continue
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: signed by key %s (%s)\n", path, key.Number, printable(key.Comment))
			}
			if bad > 0 {
				return fmt.Errorf("key: %d of %d files are not proven to be signed by key %s", bad, len(args), key.Number)
			}
			return nil
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", "the public key's `file`")
	requireKey(c)
	return c
}

func verifyFile(key signify.PublicKey, path string) error {
	sig, err := os.ReadFile(path + sigEnd)
	if err != nil {
		return err
	}
	message, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return key.Verify(message, sig)
}

// requireKey makes --key a must.
func requireKey(c *cobra.Command) {
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if !c.Flags().Changed("key") {
			return usageError{fmt.Errorf("%s: --key is missing\nhint: usage: %s", c.CommandPath(), c.UseLine())}
		}
		return nil
	}
}

func readPublicKey(ctx context.Context, path string) (signify.PublicKey, error) {
	data, err := readFile(ctx, path)
	if err != nil {
		return signify.PublicKey{}, fmt.Errorf("key: %w", err)
	}
	key, err := signify.ParsePublicKey(data)
	if err != nil {
		return signify.PublicKey{}, fmt.Errorf("key: %s: %w", path, err)
	}
	return key, nil
}

// readSecretKey reads a secret key and asks for its passphrase.
func readSecretKey(c *cobra.Command, path string) (signify.SecretKey, error) {
	data, err := readFile(c.Context(), path)
	if err != nil {
		return signify.SecretKey{}, fmt.Errorf("key: %w", err)
	}
	key, err := signify.ParseSecretKey(data, func() ([]byte, error) { return askPassphrase(c, "passphrase of "+path+": ") })
	if err != nil {
		return signify.SecretKey{}, fmt.Errorf("key: %s: %w", path, err)
	}
	if name, ok := strings.CutSuffix(filepath.Base(path), secretEnd); ok {
		key.PublicFile = name + publicEnd
	}
	return key, nil
}

// askTwice asks for something new; on a terminal twice, see echo.AskTwice.
func askTwice(c *cobra.Command, prompt string) ([]byte, error) {
	f := terminal(c.InOrStdin())
	if f == nil {
		return readLine(c.Context(), c.InOrStdin())
	}
	return echo.AskTwice(c.Context(), f, c.ErrOrStderr(), prompt)
}

// terminal is the terminal that in is, or nil.
func terminal(in io.Reader) *os.File {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// askPassphrase reads a passphrase from the terminal, without showing it, or
// else a line of standard input.
func askPassphrase(c *cobra.Command, prompt string) ([]byte, error) {
	f := terminal(c.InOrStdin())
	if f == nil {
		return readLine(c.Context(), c.InOrStdin())
	}
	return echo.Ask(c.Context(), f, c.ErrOrStderr(), prompt)
}
