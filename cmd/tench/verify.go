package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build"
	"tench/build/imagediff"
	"tench/release"
	"tench/release/audit"
)

func verifyCommand() *cobra.Command {
	var keyFile string
	var again rebuild
	c := &cobra.Command{
		Use:   "verify DIR | verify --rebuild BOARD",
		Short: "Say whether a release is whole, who signed it, and whether these sources give it",
		Long: `verify DIR looks at a release's directory, or at what a build left in out/BOARD:
signature, hashes, files that belong to no list, manifests, bills of materials.
Whatever is wrong is a line; the exit code is then 1. Take the key from somewhere
else than the release.

verify --rebuild BOARD builds the board once more from the sources of this
checkout, without believing anything that was compiled before (downloads are
believed: their hashes are checked), and compares the image with the published
one. That takes as long as a first build.`,
		Example: `  tench verify /srv/releases/2026.11 --key release.pub
  tench verify out/qemu-amd64
  tench verify --rebuild alix2d3 --against /srv/releases/2026.11`,
		Args: between(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case again.board != "" && (len(args) > 0 || keyFile != ""):
				return usageError{errors.New("verify: --rebuild compares an image alone\nhint: tench verify DIR --key FILE.pub looks at the directory")}
			case again.board != "":
				return again.run(c)
			case again.against != "" || again.scratch != "" || again.release != "" || again.offline:
				return usageError{errors.New("verify: --against, --offline, --release and --scratch go with --rebuild BOARD")}
			case len(args) == 0:
				return usageError{fmt.Errorf("verify: neither a directory nor --rebuild is named\nhint: usage: tench %s", c.Use)}
			}
			return verifyDirectory(c, args[0], keyFile)
		},
	}
	oneRelease(c, &again.release)
	f := c.Flags()
	f.StringVar(&keyFile, "key", "", "the public key's `file`, by whose secret half it must be signed")
	f.StringVar(&again.board, "rebuild", "", "build this `board` again and compare the images")
	f.StringVar(&again.against, "against", "", "the published image, or its `directory` (default: what tench image made)")
	f.StringVar(&again.scratch, "scratch", "", "build in this empty `directory` and keep it (default: one in the cache, removed afterwards)")
	f.BoolVar(&again.offline, "offline", false, "with --rebuild: never use the network")
	_ = c.RegisterFlagCompletionFunc("rebuild", completeMoreBoards) // an error is a flag that is not there
	return c
}

func verifyDirectory(c *cobra.Command, dir, keyFile string) error {
	var o audit.Options
	if keyFile != "" {
		key, err := readPublicKey(c.Context(), keyFile)
		if err != nil {
			return err
		}
		o.Key = &key
	}
	p := newProgress(c.ErrOrStderr())
	if p.live { // the lines that stay are the findings
		o.Progress = func(file string, done, total int64) {
			if p.step != file {
				p.Start(file, "")
			}
			p.Progress(done, total, "B")
		}
	}
	r, err := audit.Directory(c.Context(), dir, o)
	p.stop()
	if err != nil {
		return err
	}
	for _, line := range r.Notes {
		fmt.Fprintln(c.OutOrStdout(), printable(line))
	}
	for _, line := range r.Findings {
		fmt.Fprintln(c.OutOrStdout(), printable(line))
	}
	if len(r.Findings) > 0 {
		return fmt.Errorf("verify: %s: %s wrong", dir, counted(len(r.Findings), "thing is", "things are"))
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: %d files are as they should be\n", dir, r.Files)
	return nil
}

// rebuild is verify --rebuild.
type rebuild struct {
	board   string
	release string // "" for the default one
	against string // image or directory; "" for the board's products
	scratch string // "" for one below the cache
	offline bool
}

func (r rebuild) run(c *cobra.Command) error {
	t, b, err := findBoard([]string{r.board})
	if err != nil {
		return err
	}
	rel, err := t.release(r.release)
	if err != nil {
		return err
	}
	image, manifest, err := r.published(t.out(rel, b), b)
	if err != nil {
		return err
	}
	scratch, remove, err := r.makeScratch(c.Context(), t)
	if err != nil {
		return err
	}
	began := time.Now()
	o := r.options(t, scratch)
	o.Report = newProgress(c.ErrOrStderr())
	m, err := build.Image(c.Context(), b, o)
	var step *build.StepError
	if errors.As(err, &step) && c.Context().Err() == nil {
		until := "remove it when it is no longer of use"
		if r.scratch == "" {
			until = "the next verify --rebuild removes it"
		}
		return fmt.Errorf("%w\nhint: %s holds what was built so far; %s", explainFailure(err), scratch, until)
	}
	defer remove()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "built %s again in %s\n", b.Name, took(time.Since(began)))
	return r.compare(c, sides{
		image: image, manifest: manifest,
		again: filepath.Join(o.Out, release.ImageName(b.Name)), built: m,
	})
}

// published finds the image to compare with, by default below out, and the path
// of its manifest, "" if it has none.
func (r rebuild) published(out string, b boards.Board) (image, manifest string, err error) {
	at := cmp.Or(r.against, out)
	info, err := os.Stat(at)
	if err != nil {
		return "", "", fmt.Errorf("verify: %w\nhint: --against names the published image or its directory", err)
	}
	if !info.IsDir() {
		return at, "", nil
	}
	for _, name := range []string{release.ManifestName(b.Name), release.ManifestFile} {
		if _, err := os.Stat(filepath.Join(at, name)); err == nil && manifest == "" {
			manifest = filepath.Join(at, name)
		}
	}
	for _, name := range []string{release.ImageName(b.Name), release.PackedImageName(b.Name)} {
		if _, err := os.Stat(filepath.Join(at, name)); err == nil {
			return filepath.Join(at, name), manifest, nil
		}
	}
	return "", "", fmt.Errorf("verify: %s has neither %s nor %s", at, release.ImageName(b.Name), release.PackedImageName(b.Name))
}

// makeScratch makes the folder of the build. A kernel takes gigabytes, which
// /tmp may not have.
func (r rebuild) makeScratch(ctx context.Context, t tree) (dir string, remove func(), err error) {
	if r.scratch == "" {
		if dir, remove, err = build.AnewFolder(ctx, t.Cache); err != nil {
			return "", nil, fmt.Errorf("verify: %w", err)
		}
		return dir, remove, nil
	}
	if dir, err = filepath.Abs(r.scratch); err != nil {
		return "", nil, fmt.Errorf("verify: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("verify: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil, fmt.Errorf("verify: %w", err)
	}
	if len(entries) > 0 {
		return "", nil, fmt.Errorf("verify: --scratch %s is not empty: what lies there might be believed", dir)
	}
	return dir, func() {}, nil
}

// options are those of a build that believes only downloads.
func (r rebuild) options(t tree, scratch string) build.Options {
	return build.Options{
		Root: t.Root, Release: r.release, Cache: t.Cache, Mirrors: t.Mirrors, Offline: r.offline,
		// Another version than the published one had is no repetition of it.
		Strict: true,
		Anew:   filepath.Join(scratch, "cache"),
		Out:    filepath.Join(scratch, "out"),
	}
}

// sides are the published image and the one that was built again.
type sides struct {
	image    string
	manifest string // path; "" if there is none
	again    string
	built    release.Manifest
}

// compare says whether the images are equal and, if not, where they differ and
// which inputs were others.
func (r rebuild) compare(c *cobra.Command, s sides) error {
	out := c.OutOrStdout()
	found, err := imagediff.Compare(c.Context(), s.image, s.again)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		fmt.Fprintf(out, "%s is what these sources give, byte for byte\n", s.image)
		return nil
	}
	fmt.Fprintf(out, "%s (first) is not what was built again (second)\n", s.image)
	showDifferences(out, found, false)
	hint := "hint: --scratch DIR keeps what was built again"
	if s.manifest != "" {
		before, err := release.ReadManifest(s.manifest)
		if err != nil {
			return err
		}
		if showInputs(c, before.Inputs, s.built.Inputs) > 0 {
			hint = "hint: the inputs differ: build with the sources and tools that the release was built with"
		}
	}
	return fmt.Errorf("verify: %s\n%s", counted(len(found), "difference", "differences"), hint)
}

// showInputs prints the inputs that are not the same in both builds.
func showInputs(c *cobra.Command, before, after []release.Used) int {
	type id struct{ kind, name string }
	old, count := map[id]release.Used{}, 0
	line := func(in release.Used, what string) {
		count++
		fmt.Fprintf(c.OutOrStdout(), "  input %s: %s: %s\n", in.Kind, printable(in.Name), printable(what))
	}
	for _, in := range before {
		old[id{in.Kind, in.Name}] = in
	}
	for _, in := range after {
		was, known := old[id{in.Kind, in.Name}]
		delete(old, id{in.Kind, in.Name})
		switch {
		case !known:
			line(in, "only in the second build")
		case was.SHA256 != in.SHA256 && was.Version != in.Version:
			line(in, was.Version+" -> "+in.Version)
		case was.SHA256 != in.SHA256:
			line(in, "has changed")
		}
	}
	for _, in := range before {
		if _, gone := old[id{in.Kind, in.Name}]; gone {
			line(in, "only in the first build")
		}
	}
	return count
}
