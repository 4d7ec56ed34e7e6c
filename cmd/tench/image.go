package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build"
	"tench/release"
)

func imageCommand() *cobra.Command {
	var o build.Options
	var sources []string
	c := &cobra.Command{
		Use:   "image [BOARD]",
		Short: "Build a board's stick image from source",
		Long: `image fetches and verifies the sources, compiles what changed, and writes the
stick image, its manifest and its checksums to out/BOARD/, those of another
release than the default one to out/RELEASE/BOARD/. Sources and products of each
step are kept in ${TENCH_CACHE:-~/.cache/tench}; folders named in
TENCH_MIRROR (separated by colons) are asked for sources first.

A compile farm is named by TENCH_CCACHE_REMOTE, a storage that several machines'
ccache share (redis://HOST, http://HOST/PATH, file:/FOLDER), and by
TENCH_DISTCC_HOSTS, hosts with the same compiler whose distccd compiles for us
(HOST[:PORT][/JOBS] ...). tench doctor says whether they can be reached.`,
		Example: `  tench image
  tench image qemu-amd64 --config my/router.toml
  tench image apu2 --release NAME
  tench image --strict                   only what release.lock says
  tench image --offline                  use only what the cache holds
  tench image --source linux=$HOME/linux build the kernel in that folder`,
		Args:              between(0, 1),
		ValidArgsFunction: completeBoards,
		RunE: func(c *cobra.Command, args []string) error {
			t, b, err := findBoard(args)
			if err != nil {
				return err
			}
			r, err := t.release(o.Release)
			if err != nil {
				return err
			}
			o.Root, o.Cache, o.Mirrors, o.Farm = t.Root, t.Cache, t.Mirrors, t.Farm
			if o.Sources, err = t.sources(sources); err != nil {
				return err
			}
			o.Out = t.out(r, b)
			o.Report = newProgress(c.ErrOrStderr())
			began := time.Now()
			m, err := build.Image(c.Context(), b, o)
			if err != nil {
				return explainFailure(err)
			}
			showProducts(c.OutOrStdout(), o.Out, b, m, time.Since(began))
			return nil
		},
	}
	oneRelease(c, &o.Release)
	f := c.Flags()
	f.StringVar(&o.Config, "config", "", "the box's router.toml `file` (default: the board's)")
	f.BoolVar(&o.Offline, "offline", false, "never use the network; say what is missing")
	f.BoolVar(&o.Strict, "strict", false, strictUsage)
	f.Var((*number)(&o.Jobs), "jobs", "compile this `many` files at once (default: one per processor, here and on the farm)")
	sourceFlag(c, &sources)
	return c
}

const strictUsage = "stop when an input or tool is not that of release.lock, or a pinned version is gone"

// explainFailure adds the end of a failed step's log to its error.
func explainFailure(err error) error {
	var step *build.StepError
	if !errors.As(err, &step) || len(step.Tail) == 0 {
		return err
	}
	return fmt.Errorf("%w\nthe log %s ends with:\n  %s", err, step.Log, strings.Join(step.Tail, "\n  "))
}

func showProducts(out io.Writer, dir string, b boards.Board, m release.Manifest, took time.Duration) {
	image := m.Product(release.ImageName(b.Name))
	fmt.Fprintf(out, "%s  %s\n", filepath.Join(dir, image.File), humanize.IBytes(uint64(image.Size)))
	var beside []string
	for _, p := range m.Products {
		if suffix, ok := strings.CutPrefix(p.File, "tench-"+b.Name+"."); ok && p.File != image.File {
			beside = append(beside, suffix)
		}
	}
	fmt.Fprintf(out, "beside it: %s\n", strings.Join(beside, ", "))
	for _, in := range m.Inputs {
		if in.Development {
			fmt.Fprintf(out, "note: %s is the folder %s as it was now, not a pinned version\n", in.Name, in.From)
		}
		if in.Followed {
			fmt.Fprintf(out, "note: %s: %s stands in for the pinned file, which no location has any more\n", in.Name, in.From)
		}
	}
	if b.Flashing != "" {
		fmt.Fprintf(out, "%s\n", b.Flashing)
	}
	next := fmt.Sprintf("; tench flash %s writes it to a stick", b.Name)
	if b.QEMU.System != "" {
		next = fmt.Sprintf("; tench run %s boots it in QEMU", b.Name) + next
	}
	fmt.Fprintf(out, "done in %.1f s%s\n", took.Seconds(), next)
}

func explainCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "explain [BOARD]",
		Short: "Say which input made which step of the last build run",
		Example: `  tench explain
  tench explain qemu-amd64`,
		Args:              between(0, 1),
		ValidArgsFunction: completeBoards,
		RunE: func(c *cobra.Command, args []string) error {
			t, b, err := findBoard(args)
			if err != nil {
				return err
			}
			r, err := t.release(name)
			if err != nil {
				return err
			}
			return build.Explain(c.OutOrStdout(), r, b, t.Cache)
		},
	}
	oneRelease(c, &name)
	return c
}
