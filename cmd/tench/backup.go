package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"filippo.io/age"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"tench/backup"
	"tench/backup/sealed"
	"tench/config"
	"tench/release/rollout"
)

func backupCommand() *cobra.Command {
	var recipients []string
	var identity string
	c := &cobra.Command{
		Use:   "backup HOST FILE",
		Short: "Save what a box is made again from, encrypted",
		Long: `backup fetches a box's identity (host key, secrets, keys that may log in) and all
its generations of router.toml over SSH, and writes them to FILE, encrypted, in
the format of age. Nothing that is not encrypted touches this machine's disk, and
FILE is there whole or not at all. Leases and the clock are not in it.

Without --recipient it asks for a passphrase, twice; where there is no terminal
that is the first line of standard input. tench flash --restore FILE makes a
stick that takes the place of the box.`,
		Example: `  tench backup gw0 gw0.age
  tench backup root@192.168.1.1:2222 gw0.age --recipient "$(cat ~/.ssh/id_ed25519.pub)"
  tench backup list gw0.age`,
		Args: between(2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkPlace(args[1]); err != nil {
				return err
			}
			to, err := backupRecipients(c, recipients, args[1])
			if err != nil {
				return err
			}
			box, err := dialer(sshOptions(c.Context(), identity))(c.Context(), args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			defer box.Close()
			a, err := saveBackup(c.Context(), box, args[1], to)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			describeBackup(c.OutOrStdout(), a, args[1])
			adviseBackup(c.ErrOrStderr(), a)
			return nil
		},
	}
	c.Flags().StringArrayVar(&recipients, "recipient", nil, "encrypt for this public `key` (age1..., ssh-ed25519 ..., ssh-rsa ...); may be repeated")
	c.Flags().StringVar(&identity, "identity", "", "log in with the SSH key in this `file` and no other")
	c.AddCommand(backupListCommand(), backupExtractCommand())
	return c
}

// backupRecipients are those of the command line, or whoever knows a new passphrase.
func backupRecipients(c *cobra.Command, texts []string, file string) ([]age.Recipient, error) {
	if len(texts) == 0 {
		passphrase, err := askBackupPassphrase(c, file)
		if err != nil {
			return nil, err
		}
		r, err := sealed.ForPassphrase(passphrase)
		return []age.Recipient{r}, err
	}
	var list []age.Recipient
	for _, text := range texts {
		r, err := sealed.ParseRecipient(text)
		if err != nil {
			return nil, usageError{err}
		}
		list = append(list, r)
	}
	return list, nil
}

// askBackupPassphrase asks for a new passphrase.
func askBackupPassphrase(c *cobra.Command, file string) ([]byte, error) {
	words, err := askTwice(c, "new passphrase of "+file+": ")
	if err == nil && len(words) == 0 {
		err = errors.New("the passphrase is empty\nhint: --recipient encrypts for a public key, without a passphrase")
	}
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return words, nil
}

// checkPlace finds out whether a backup can be written to file before it is fetched
// over a line that may be slow.
func checkPlace(file string) error {
	hint := fmt.Sprintf("is there a folder %s, and may you write to it?", filepath.Dir(file))
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		return usageError{fmt.Errorf("backup: %s is not a file\nhint: name the file to write, e.g. gw0.age", file)}
	}
	f, err := renameio.NewPendingFile(file, renameio.WithPermissions(0o600))
	if err == nil {
		err = f.Cleanup()
	}
	var path *fs.PathError
	if errors.As(err, &path) { // of a name that nobody gave
		err = path.Err
	}
	if err != nil {
		return fmt.Errorf("backup: write %s: %w\nhint: %s", file, err, hint)
	}
	return nil
}

// saveBackup reads an archive from a box and writes it to file, encrypted. What
// is no whole archive never replaces an older file.
func saveBackup(ctx context.Context, box rollout.Line, file string, to []age.Recipient) (backup.Archive, error) {
	stream := bounded{most: backup.MaxTotal}
	if err := box.Run(ctx, "backup", nil, &stream); err != nil {
		return backup.Archive{}, err
	}
	a, err := backup.Read(&stream)
	if err != nil {
		return backup.Archive{}, err
	}
	data, err := sealed.Seal(a, to...)
	if err != nil {
		return backup.Archive{}, err
	}
	if err := replacePrivate(file, data); err != nil {
		return backup.Archive{}, fmt.Errorf("backup: write %s: %w", file, err)
	}
	return a, nil
}

// replacePrivate writes a file that only its owner may read, whatever the mode
// of the one before, which renameio.WriteFile would keep.
func replacePrivate(path string, data []byte) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// describeBackup says in two lines what was saved.
func describeBackup(w io.Writer, a backup.Archive, file string) {
	secrets := 0
	for _, f := range a.Identity {
		if strings.HasPrefix(f.Path, "secrets/") {
			secrets++
		}
	}
	fmt.Fprintf(w, "%s: %s\n", file, backupTitle(a))
	fmt.Fprintf(w, "generations of router.toml: %d; files of its identity: %d, secrets among them: %d\n",
		len(a.Generations), len(a.Identity), secrets)
}

// backupTitle says which box it was, e.g. "gw0, apu2, release 2026.11".
func backupTitle(a backup.Archive) string {
	words := []string{"a box without an identity"}
	if name := a.Name(); name != "" {
		words[0] = name
	}
	if a.About.Board != "" {
		words = append(words, a.About.Board)
	}
	if a.About.Release != "" {
		words = append(words, "release "+a.About.Release)
	}
	return strings.Join(words, ", ")
}

// adviseBackup warns of what would be missing on any other box: a port that is
// named by its MAC address. It gives the label that the port has on the case.
func adviseBackup(w io.Writer, a backup.Archive) {
	g, ok := a.InForce()
	if !ok {
		return
	}
	cfg, err := config.Parse("router.toml", g.Data)
	if err != nil {
		return // the box says so itself
	}
	for _, i := range cfg.Interfaces {
		if i.Device.MAC == "" {
			continue
		}
		instead := "name it by its label or its place"
		for _, p := range a.About.Ports {
			if p.MAC == i.Device.MAC && p.Label != "" {
				instead = fmt.Sprintf("write device = \"port:%s\"", p.Label)
			} else if p.MAC == i.Device.MAC && p.Path != "" {
				instead = fmt.Sprintf("write device = %q", p.Path)
			}
		}
		fmt.Fprintf(w, "warning: %s is the port with the MAC address %s, which a box in its place will not have\nhint: %s in router.toml\n",
			i.Name, i.Device.MAC, instead)
	}
}

func backupListCommand() *cobra.Command {
	var identities []string
	c := &cobra.Command{
		Use:   "list FILE",
		Short: "Say what is in a backup: names and sizes, no secrets",
		Long: `list opens a backup of tench backup and says whose it is, which ports the box had
and which files are in it. Secrets are not shown. It asks for the passphrase of a
backup that has one; where there is no terminal, that is the first line of standard
input.`,
		Example: `  tench backup list gw0.age
  tench backup list gw0.age --identity-file ~/.ssh/id_ed25519`,
		Args: between(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := openBackup(c, args[0], identities)
			if err != nil {
				return err
			}
			return listBackup(c.OutOrStdout(), a)
		},
	}
	identityFileFlag(c, &identities)
	return c
}

func identityFileFlag(c *cobra.Command, files *[]string) {
	c.Flags().StringArrayVar(files, "identity-file", nil, "open it with the secret key in this `file`, of age-keygen or ssh-keygen; may be repeated")
}

func listBackup(out io.Writer, a backup.Archive) error {
	fmt.Fprintln(out, backupTitle(a))
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, p := range a.About.Ports {
		fmt.Fprintf(w, "port %s\t%s %s %s\n", p.Label, p.Name, p.MAC, p.Path)
	}
	for _, f := range a.Files() {
		note := ""
		if f.Path == fmt.Sprintf("config/%d/router.toml", a.Current) {
			note = ", in force"
		}
		fmt.Fprintf(w, "%s\t%d bytes%s\n", f.Path, len(f.Data), note)
	}
	return w.Flush()
}

func backupExtractCommand() *cobra.Command {
	var identities []string
	c := &cobra.Command{
		Use:   "extract FILE DIR",
		Short: "Take a backup apart, secrets and all",
		Long: `extract makes the folder DIR, which nobody else may read:

  DIR/identity/     for tench flash --identity
  DIR/router.toml   the generation in force, for tench flash --config
  DIR/config/       all generations

It is for looking and changing; tench flash --restore FILE needs none of it.`,
		Example: `  tench backup extract gw0.age gw0
  tench flash IMAGE DEVICE --identity gw0/identity --config gw0/router.toml`,
		Args: between(2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := openBackup(c, args[0], identities)
			if err != nil {
				return err
			}
			if err := a.Unpack(args[1]); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %s; its secrets are readable there: remove it when you are done\n", args[1], backupTitle(a))
			adviseBackup(c.ErrOrStderr(), a)
			return nil
		},
	}
	identityFileFlag(c, &identities)
	return c
}

// openBackup decrypts a backup with the keys in files, or with a passphrase that
// is asked for. Its error names the file.
func openBackup(c *cobra.Command, path string, files []string) (backup.Archive, error) {
	ids := []age.Identity{sealed.ByPassphrase(func() ([]byte, error) { return askPassphrase(c, "passphrase of "+path+": ") })}
	for _, file := range files {
		data, err := readFile(c.Context(), file)
		if err != nil {
			return backup.Archive{}, fmt.Errorf("backup: read key: %w", err)
		}
		more, err := sealed.ParseIdentities(data, func() ([]byte, error) { return askPassphrase(c, "passphrase of "+file+": ") })
		if err != nil {
			return backup.Archive{}, fmt.Errorf("backup: read key %s: %w", file, err)
		}
		ids = append(ids, more...)
	}
	f, err := os.Open(path)
	if err != nil {
		return backup.Archive{}, fmt.Errorf("backup: %w", err)
	}
	defer f.Close()
	in := bufio.NewReader(f)
	begin, err := in.Peek(len(ageBegins))
	if err != nil && err != io.EOF {
		return backup.Archive{}, fmt.Errorf("backup: %w", err)
	}
	if string(begin) != ageBegins {
		return backup.Archive{}, fmt.Errorf("backup: %s is no file of tench backup, nor any other of age\nhint: it would begin with %q", path, ageBegins)
	}
	a, err := sealed.Open(in, ids...)
	if err != nil {
		return backup.Archive{}, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// ageBegins is how each file in the format of age begins.
const ageBegins = "age-encryption.org/"
