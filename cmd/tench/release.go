package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"tench/build"
	"tench/release"
	"tench/release/dist"
)

func releaseCommand() *cobra.Command {
	var o build.Options
	var d dist.Options
	var all bool
	var s signing
	c := &cobra.Command{
		Use:   "release [BOARD]…",
		Short: "Build boards and make a signed release of them",
		Long: `release builds each board as tench image --strict does, with the board's own
router.toml, and writes one directory: packed images, the slots that updates
send, kernel and initramfs for booting from the network, bills of materials,
NOTES.md with the differences to the last release, index.txt, SHA256 and
SHA256.sig. The directory appears when all of it is there. An interrupted release
goes on where it was: what is built is kept. Without a BOARD it is of every board
there is.

The passphrase of the key is asked for on the terminal, or read as one line from
standard input.`,
		Example: `  tench release --key tench.sec --since out/release/2026.10
  tench release apu2 --release NAME --key tench.sec
  tench release qemu-amd64 --unsigned --out /tmp/try
  signify-openbsd -C -p tench.pub -x SHA256.sig      checks it, in its directory`,
		ValidArgsFunction: completeMoreBoards,
		RunE: func(c *cobra.Command, args []string) error {
			t, list, err := findBoards(args, all || len(args) == 0)
			if err != nil {
				return err
			}
			r, err := t.release(o.Release)
			if err != nil {
				return err
			}
			t.prepare(r, &d)
			if last, err := newestRelease(filepath.Dir(d.Out)); d.Since == "" && err == nil && last != filepath.Clean(d.Out) {
				fmt.Fprintf(c.ErrOrStderr(), "note: without --since NOTES.md tells no differences; the newest release here is %s\n", last)
			}
			if d.Sign, err = s.signer(c); err != nil {
				return err
			}
			if err := dist.Check(d); err != nil { // before an hour of work
				return err
			}
			o.Root, o.Cache, o.Mirrors, o.Strict = t.Root, t.Cache, t.Mirrors, true
			results := buildBoards(c, t, []release.Release{r}, list, o)
			if err := showResults(c.OutOrStdout(), results, o.Release != ""); err != nil {
				return err
			}
			var made []dist.Board
			for i, built := range results { // an interrupt leaves fewer than boards
				made = append(made, dist.Board{Name: list[i].Name, Title: list[i].Title, Dir: t.out(r, list[i]), Built: built.manifest})
			}
			return writeRelease(c, made, d)
		},
	}
	oneRelease(c, &o.Release)
	f := c.Flags()
	f.BoolVar(&all, "all-boards", false, "release every board there is, as without a BOARD")
	f.StringVar(&s.key, "key", "", "sign with the secret key in this `file`")
	f.BoolVar(&s.unsigned, "unsigned", false, "leave it unsigned")
	f.StringVar(&d.Out, "out", "", "the `directory` to make (default: out/release/NAME)")
	f.StringVar(&d.Since, "since", "", "`directory` or manifest.json of the last release, to tell the differences from")
	f.BoolVar(&d.Replace, "replace", false, "take the place of a release that is there")
	f.BoolVar(&o.Offline, "offline", false, "never use the network; say what is missing")
	f.Var((*number)(&o.Jobs), "jobs", "compile this `many` files at once (default: one per processor)")
	return c
}

// prepare fills in what the tree and the command line say of a release.
func (t tree) prepare(r release.Release, d *dist.Options) {
	d.Name, d.Epoch = r.Name, r.Epoch
	if d.Out == "" {
		d.Out = filepath.Join(t.Out, "release", r.Name)
	}
	if filepath.Base(d.Since) == release.ManifestFile {
		d.Since = filepath.Dir(d.Since)
	}
}

// writeRelease makes the directory of the boards that were built.
func writeRelease(c *cobra.Command, made []dist.Board, d dist.Options) error {
	p := newProgress(c.ErrOrStderr())
	d.Start = func(file string) { p.Start("release", file) }
	began := time.Now()
	err := dist.Write(c.Context(), made, d)
	report := build.StepReport{Step: "release", Outcome: build.Built, Took: time.Since(began), Detail: d.Name}
	if err != nil {
		report.Outcome = build.Failed
	}
	p.Done(report)
	if err != nil {
		return err
	}
	return showRelease(c.OutOrStdout(), d)
}

func showRelease(out io.Writer, d dist.Options) error {
	x, err := release.ReadIndex(filepath.Join(d.Out, release.ManifestFile))
	if err != nil {
		return err
	}
	var total int64
	for _, f := range x.Files {
		total += f.Size
	}
	fmt.Fprintf(out, "%s  %s in %d files\n", d.Out, humanize.IBytes(uint64(total)), len(x.Files))
	if d.Sign == nil {
		fmt.Fprintln(out, "note: it is not signed")
	}
	return nil
}

// signing says how a release is signed.
type signing struct {
	key      string // file with the secret key
	unsigned bool
}

// signer returns what makes SHA256.sig of SHA256; nil for an unsigned release.
func (s signing) signer(c *cobra.Command) (func(sums []byte) []byte, error) {
	switch {
	case s.unsigned && s.key != "":
		return nil, usageError{errors.New("release: --key signs and --unsigned does not: give one of them")}
	case s.unsigned:
		return nil, nil
	case s.key == "":
		return nil, usageError{errors.New("release: it needs a key to be signed with\nhint: --key FILE; tench key new makes a key; --unsigned leaves the release unsigned")}
	}
	key, err := readSecretKey(c, s.key)
	if err != nil {
		return nil, err
	}
	return key.SignInside, nil
}
