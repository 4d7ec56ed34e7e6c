package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"tench/identity"
	"tench/release/signify"
)

func identityCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "identity",
		Short: "Make and look at what makes a box this box: keys, secrets",
		Long: `identity works with directories that hold what makes a box this box and no
other: its SSH host key, who may log in, whose updates it takes, its secrets.
tench flash --identity puts one onto a stick; no build puts one into an image or
the cache.`,
		Example: `  tench identity new gw0                 make ./gw0/
  tench identity secret gw0 isp          store a password or a key
  tench identity show gw0`,
	}
	c.AddCommand(identityNewCommand(), identityShowCommand(), identitySecretCommand())
	return c
}

// identitySources are the files that a new identity is made of.
type identitySources struct {
	updateKeys []string // .pub files of signify; none for those that are found
	sshKeys    []string // .pub files of OpenSSH; none for those that are found
}

func identityNewCommand() *cobra.Command {
	var from identitySources
	c := &cobra.Command{
		Use:   "new DIR",
		Short: "Make the identity of a new box",
		Long: `new makes the directory DIR, whose last part is the name of the box, with a new
SSH host key. Existing directories are never replaced.

You may log in: with the key of --ssh-key, or else the first of id_ed25519.pub,
id_ecdsa.pub and id_rsa.pub in ~/.ssh, or else the keys of your ssh-agent. The
box takes updates that a key of --key has signed, or else one of the .pub files
of tench key new here and at the top of the checkout.`,
		Example: `  tench identity new gw0
  tench identity new boxes/gw0 --ssh-key ~/.ssh/id_ed25519.pub --key release.pub`,
		Args: between(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return newIdentity(c, args[0], from)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&from.updateKeys, "key", nil, "take updates signed by the key in this .pub `file`; may be repeated")
	f.StringArrayVar(&from.sshKeys, "ssh-key", nil, "let in the OpenSSH keys in this .pub `file`; may be repeated")
	return c
}

func newIdentity(c *cobra.Command, dir string, from identitySources) error {
	name := filepath.Base(dir)
	if err := identity.CheckName(name); err != nil {
		return usageError{fmt.Errorf("identity: %w\nhint: the directory has the name of the box, e.g. tench identity new gw0", err)}
	}
	hostKey, err := identity.NewHostKey(rand.Reader, name)
	if err != nil {
		return err
	}
	id := identity.Identity{Name: name, HostKey: hostKey}
	logins, err := from.logins(c.Context(), &id)
	if err != nil {
		return err
	}
	updates, err := from.updates(c.Context(), &id)
	if err != nil {
		return err
	}
	if err := id.Create(dir); err != nil {
		return err
	}
	if err := showIdentity(c.OutOrStdout(), id); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "logins from: %s\nupdate keys from: %s\n", listed(logins), listed(updates))
	if len(logins) == 0 {
		fmt.Fprintln(c.ErrOrStderr(), "warning: no public key of yours was found: nobody can log in over the network\nhint: ssh-keygen -t ed25519 makes one; or name it with --ssh-key FILE")
	}
	if len(updates) == 0 {
		fmt.Fprintln(c.ErrOrStderr(), "warning: no key of tench key new was found: the box will take no updates\nhint: name it with --key FILE.pub")
	}
	if tree, inside := gitTree(filepath.Join(dir, identity.HostKeyFile)); inside {
		fmt.Fprintf(c.ErrOrStderr(), "warning: %s is in the git tree %s: move it away before its secrets are committed\n", dir, tree)
	}
	return nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// logins sets who may log in, and returns where the keys are from.
func (s identitySources) logins(ctx context.Context, id *identity.Identity) ([]string, error) {
	for _, path := range s.sshKeys {
		data, err := readFile(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("identity: %w", err)
		}
		keys, err := identity.ParseAuthorizedKeys(data)
		if err == nil && len(keys) == 0 {
			err = errors.New("there is no key in it")
		}
		if err != nil {
			return nil, fmt.Errorf("identity: read %s: %w\nhint: it shall be the public key, as in ~/.ssh/id_ed25519.pub", path, err)
		}
		id.AuthorizedKeys = append(id.AuthorizedKeys, append(bytes.TrimSpace(data), '\n')...)
	}
	if len(s.sshKeys) > 0 {
		return s.sshKeys, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	for _, name := range []string{"id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"} {
		path := filepath.Join(home, ".ssh", name)
		if _, err := os.Stat(path); err == nil {
			return identitySources{sshKeys: []string{path}}.logins(ctx, id)
		}
	}
	var from []string
	for _, key := range agentKeys(os.Getenv("SSH_AUTH_SOCK")) {
		id.AuthorizedKeys = append(id.AuthorizedKeys, key.String()+"\n"...)
		from = append(from, "ssh-agent ("+printable(key.Comment)+")")
	}
	return from, nil
}

// agentKeys asks the ssh-agent at the socket. One that is away has no keys.
func agentKeys(socket string) []*agent.Key {
	if socket == "" {
		return nil
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil
	}
	defer conn.Close()
	list, err := agent.NewClient(conn).List()
	if err != nil {
		return nil
	}
	// Certificates say who signed them, which is nothing to let in.
	return slices.DeleteFunc(list, func(k *agent.Key) bool { return strings.Contains(k.Format, "-cert-") })
}

// updates sets whose updates the box takes, and returns where the keys are from.
func (s identitySources) updates(ctx context.Context, id *identity.Identity) ([]string, error) {
	files := s.updateKeys
	if len(files) == 0 {
		files = releaseKeys()
	}
	id.UpdateKeys = map[string][]byte{}
	for _, path := range files {
		key, err := readPublicKey(ctx, path)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(path)
		// Other names are for files of the desk alone, e.g. "our key.pub", /dev/fd/63.
		if identity.CheckSecretName(name) != nil || !strings.HasSuffix(name, publicEnd) {
			name = key.Number.String() + publicEnd
		}
		if _, twice := id.UpdateKeys[name]; twice {
			return nil, usageError{fmt.Errorf("identity: --key %s: there is another file called %s", path, name)}
		}
		id.UpdateKeys[name] = key.Marshal()
	}
	return files, nil
}

// releaseKeys finds the public keys that tench key new made, here and at the
// top of the checkout.
func releaseKeys() []string {
	dirs := []string{"."}
	if t, err := findTree(); err == nil {
		dirs = append(dirs, t.Root)
	}
	var found, names []string
	for _, dir := range dirs {
		paths, _ := filepath.Glob(filepath.Join(globQuote(dir), "*"+publicEnd)) // the pattern is right
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil || slices.Contains(names, filepath.Base(path)) {
				continue
			}
			if _, err := signify.ParsePublicKey(data); err == nil {
				found, names = append(found, path), append(names, filepath.Base(path))
			}
		}
	}
	return found
}

func identityShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show DIR",
		Short:   "Say whose identity a directory holds: fingerprints, no secrets",
		Example: `  tench identity show gw0`,
		Args:    between(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := identity.Load(args[0])
			if err != nil {
				return err
			}
			return showIdentity(c.OutOrStdout(), id)
		},
	}
}

// showIdentity prints what is in an identity, which has been checked.
func showIdentity(out io.Writer, id identity.Identity) error {
	fmt.Fprintf(out, "name        %s\n", id.Name)
	if id.HostKey == nil {
		fmt.Fprintln(out, "host key    none: the box makes one at its first boot")
	} else {
		key, err := identity.ParseHostKey(id.HostKey)
		if err != nil {
			return fmt.Errorf("identity: %w", err)
		}
		fmt.Fprintf(out, "host key    %s\n", ssh.FingerprintSHA256(key.PublicKey()))
	}
	logins, err := identity.ParseAuthorizedKeys(id.AuthorizedKeys)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	for _, k := range logins {
		fmt.Fprintf(out, "login       %s %s %s\n", ssh.FingerprintSHA256(k.Key), k.Key.Type(), printable(k.Comment))
	}
	for _, f := range id.Files() {
		name, isKey := strings.CutPrefix(f.Path, identity.UpdateKeysDir+"/")
		if isKey {
			key, err := signify.ParsePublicKey(f.Content)
			if err != nil {
				return fmt.Errorf("identity: %s: %w", f.Path, err)
			}
			fmt.Fprintf(out, "update key  %s %s (%s)\n", name, key.Fingerprint(), printable(key.Comment))
		}
		if name, isSecret := strings.CutPrefix(f.Path, identity.SecretsDir+"/"); isSecret {
			fmt.Fprintf(out, "secret      %s\n", name)
		}
	}
	return nil
}

func identitySecretCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "secret DIR NAME",
		Short: "Store a secret in an identity",
		Long: `secret stores a password or a key under a name, for what router.toml must not hold;
no key of router.toml takes one yet. It asks for it twice, without showing it;
where there is no terminal, the secret is all of standard input, less one line end
at its end. A secret of that name is replaced.`,
		Example: `  tench identity secret gw0 isp
  tench identity secret gw0 wg0 < wg0.key`,
		Args: between(2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			dir, name := args[0], args[1]
			if _, err := identity.Load(dir); err != nil {
				return err
			}
			if err := identity.CheckSecretName(name); err != nil {
				return usageError{err}
			}
			value, err := askSecretValue(c, name)
			if err != nil {
				return err
			}
			return identity.SetSecret(dir, name, value)
		},
	}
}

// askSecretValue asks for a secret on the terminal, or reads standard input.
func askSecretValue(c *cobra.Command, name string) ([]byte, error) {
	if terminal(c.InOrStdin()) == nil {
		data, err := readAll(c.Context(), io.LimitReader(c.InOrStdin(), identity.MaxFile+2))
		if err != nil {
			return nil, fmt.Errorf("identity: read secret: %w", err)
		}
		return bytes.TrimSuffix(data, []byte("\n")), nil
	}
	value, err := askTwice(c, "secret "+name+": ")
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return value, nil
}
