package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"tench/internal/remote"
	"tench/release"
	"tench/release/publish"
)

func publishCommand() *cobra.Command {
	var list, rollback bool
	var key string
	p := publisher{options: publish.Options{Now: time.Now, Keep: 3}}
	c := &cobra.Command{
		Use:   "publish [DIR] DEST",
		Short: "Put a release where boxes and installers fetch it, or take it back",
		Long: `publish puts a release's directory (default: the newest below out/release) into
a tree that a TFTP or HTTP server reads: a folder here, or on a host over SSH.

  DEST/current -> releases/2026.11   what the server shows
  DEST/releases/2026.11/             the release, read-only

Each file is verified where it lies before current is switched, in one step. Until
then, and after any failure, the release before it is served whole. What a broken
line, a full disk or ctrl-C left half sent, the same command goes on with.

Hosts are known by ~/.ssh/known_hosts, we by ssh-agent or a key in ~/.ssh;
~/.ssh/config is read. A host that allows only SFTP will do.`,
		Example: `  tench publish /srv/tftp
  tench publish out/release/2026.11 pxe@boot.example.net:/srv/tftp
  tench publish --dry-run ssh://pxe@boot.example.net:2222/srv/tftp
  tench publish --key release.pub /srv/tftp   only if it is signed by that key
  tench publish --list /srv/tftp
  tench publish --rollback /srv/tftp     the release before is current again`,
		Args: between(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if (list || rollback) && len(args) != 1 {
				return usageError{errors.New("publish: --list and --rollback take a destination only\nhint: tench publish --rollback DEST")}
			}
			var err error
			if p.dest, err = publish.ParseDest(args[len(args)-1]); err != nil {
				return usageError{err}
			}
			if len(args) == 1 && !list && !rollback && p.dest.Host == "" {
				if _, err := os.Stat(filepath.Join(p.dest.Path, release.SumsFile)); err == nil {
					return usageError{fmt.Errorf("publish: %s is a release, and no place to publish to\nhint: tench publish %[1]s DEST", p.dest)}
				}
			}
			if key != "" {
				public, err := readPublicKey(c.Context(), key)
				if err != nil {
					return err
				}
				p.options.Signature = public.Verify
			}
			p.out = c.OutOrStdout()
			p.options.Owner, p.options.Report = publish.Me(), newProgress(c.ErrOrStderr())
			switch {
			case list:
				return p.list(c.Context())
			case rollback:
				return p.rollBack(c.Context())
			}
			return p.publish(c.Context(), args[:len(args)-1])
		},
	}
	f := c.Flags()
	f.Var((*number)(&p.options.Keep), "keep", "keep this `many` releases; the current and the one before it always stay")
	f.BoolVar(&rollback, "rollback", false, "verify the release before the current one, and switch back to it")
	f.BoolVar(&list, "list", false, "say which releases are there")
	f.BoolVar(&p.options.DryRun, "dry-run", false, "compare and say what would be done; change nothing")
	f.BoolVar(&p.options.BreakLock, "break-lock", false, "take over the lock of a publisher that is no more")
	f.StringVar(&key, "key", "", "publish or switch back only what is signed by the key in this .pub `file`")
	f.StringVar(&p.identity, "identity", "", "log in with the key in this `file` and no other")
	c.MarkFlagsMutuallyExclusive("list", "rollback")
	return c
}

// publisher is one call of the command.
type publisher struct {
	dest     publish.Dest
	identity string // file of a key; "" for what ssh would take
	options  publish.Options
	out      io.Writer
}

// access is how publish gets in: by the user's own name, unless another is given.
func (p publisher) access(ctx context.Context) remote.Options {
	o := sshOptions(ctx, p.identity)
	if u, err := user.Current(); err == nil {
		o.User = u.Username
	}
	return o
}

func (p publisher) open(ctx context.Context) (*publish.Tree, error) {
	return publish.Open(ctx, p.dest, p.access(ctx))
}

// publish publishes the directory that was named, or the newest release.
func (p publisher) publish(ctx context.Context, dirs []string) error {
	if len(dirs) == 0 {
		t, err := findTree()
		if err != nil {
			return err
		}
		dir, err := newestRelease(filepath.Join(t.Out, "release"))
		if err != nil {
			return err
		}
		dirs = []string{dir}
	}
	began := time.Now()
	src, err := publish.ReadSource(ctx, dirs[0], p.options)
	if err != nil {
		return err
	}
	tree, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := tree.Publish(ctx, src, p.options); err != nil || p.options.DryRun {
		return err
	}
	fmt.Fprintf(p.out, "%s is current at %s, %s; done in %s; tench publish --rollback %s takes it back\n",
		src.Name, p.dest, humanize.IBytes(uint64(src.Size())), took(time.Since(began)), p.dest)
	return nil
}

// newestRelease is the release made last below dir.
func newestRelease(dir string) (string, error) {
	sums, err := filepath.Glob(filepath.Join(globQuote(dir), "[^.]*", release.SumsFile))
	if err != nil {
		return "", fmt.Errorf("publish: %w", err)
	}
	var newest string
	var when time.Time
	for _, s := range sums {
		// The files have the release's epoch as their time, the directory its own.
		info, err := os.Stat(filepath.Dir(s))
		if err != nil {
			return "", fmt.Errorf("publish: %w", err)
		}
		if info.ModTime().After(when) {
			newest, when = filepath.Dir(s), info.ModTime()
		}
	}
	if newest == "" {
		return "", fmt.Errorf("publish: there is no release below %s\nhint: tench release makes one; or name its directory: tench publish DIR DEST", dir)
	}
	return newest, nil
}

func (p publisher) rollBack(ctx context.Context) error {
	tree, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	name, err := tree.Rollback(ctx, p.options)
	if err != nil || p.options.DryRun {
		return err
	}
	fmt.Fprintf(p.out, "%s is current at %s\n", name, p.dest)
	return nil
}

func (p publisher) list(ctx context.Context) error {
	tree, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	entries, err := tree.List()
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		fmt.Fprintf(p.out, "no release at %s\n", p.dest)
		return nil
	}
	return showEntries(p.out, entries)
}

func showEntries(out io.Writer, entries []publish.Entry) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "RELEASE\tCAME\tSIZE\t")
	for _, e := range entries {
		note := ""
		switch {
		case e.Current:
			note = "current"
		case e.Previous:
			note = "before it"
		case e.Partial:
			note = "half sent"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Name, e.Time.Format("2006-01-02 15:04"), humanize.IBytes(uint64(e.Size)), note)
	}
	return w.Flush()
}
