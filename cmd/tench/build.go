package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build"
	"tench/release"
)

func buildCommand() *cobra.Command {
	var o build.Options
	var all bool
	var sources []string
	var which chosenReleases
	c := &cobra.Command{
		Use:   "build [BOARD]…",
		Short: "Build the images of several boards, of several releases",
		Long: `build does for each board of each release what tench image does, one after the
other, and ends with a table. A board that fails does not keep the others from
being built. An interrupted build goes on where it was: what is finished is kept.`,
		Example: `  tench build alix2d3 net5501
  tench build --all-boards
  tench build apu2 --all-releases        the same board from each release`,
		ValidArgsFunction: completeMoreBoards,
		RunE: func(c *cobra.Command, args []string) error {
			t, list, err := findBoards(args, all)
			if err != nil {
				return err
			}
			releases, err := which.list(t)
			if err != nil {
				return err
			}
			o.Root, o.Cache, o.Mirrors, o.Farm = t.Root, t.Cache, t.Mirrors, t.Farm
			if o.Sources, err = t.sources(sources); err != nil {
				return err
			}
			results := buildBoards(c, t, releases, list, o)
			if err := showResults(c.OutOrStdout(), results, which.named()); err != nil {
				return err
			}
			if len(results) < len(releases)*len(list) {
				return c.Context().Err() // an interrupt between two boards, none of which failed
			}
			return nil
		},
	}
	which.flags(c)
	f := c.Flags()
	f.BoolVar(&all, "all-boards", false, "build every board there is")
	f.BoolVar(&o.Offline, "offline", false, "never use the network; say what is missing")
	f.BoolVar(&o.Strict, "strict", false, strictUsage)
	f.Var((*number)(&o.Jobs), "jobs", "compile this `many` files at once (default: one per processor, here and on the farm)")
	sourceFlag(c, &sources)
	return c
}

// result is how a board's build ended.
type result struct {
	board   string
	release string
	took    time.Duration
	built   int // steps that ran; the others were hits
	image   string
	err     error

	manifest release.Manifest // of what was built
}

// buildBoards builds one board of one release after the other, until an
// interrupt. o is what they have in common.
func buildBoards(c *cobra.Command, t tree, releases []release.Release, list []boards.Board, o build.Options) []result {
	var results []result
	for _, r := range releases {
		for _, b := range list {
			if c.Context().Err() != nil {
				return results
			}
			name := b.Name
			if len(releases) > 1 {
				name += " of " + r.Name
			}
			fmt.Fprintf(c.ErrOrStderr(), "\n%s: %s (%d of %d)\n", name, b.Title, len(results)+1, len(list)*len(releases))
			o.Release, o.Out = r.Name, t.out(r, b)
			o.Report = newProgress(c.ErrOrStderr())
			results = append(results, buildBoard(c, b, o))
		}
	}
	return results
}

func buildBoard(c *cobra.Command, b boards.Board, o build.Options) result {
	began := time.Now()
	m, err := build.Image(c.Context(), b, o)
	r := result{board: b.Name, release: o.Release, took: time.Since(began), err: err, manifest: m}
	if err != nil {
		fmt.Fprintf(c.ErrOrStderr(), "tench: %s: %v\n", b.Name, explainFailure(err))
		return r
	}
	for _, s := range m.Steps {
		if !s.Hit {
			r.built++
		}
	}
	r.image = filepath.Join(o.Out, release.ImageName(b.Name))
	return r
}

// showResults prints the table, with the releases if there are several. Its
// error names the boards that failed, and named whether their releases are to be
// named when they are built again.
func showResults(out io.Writer, results []result, named bool) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	several := slices.ContainsFunc(results, func(r result) bool { return r.release != results[0].release })
	row := func(release, rest string) {
		if several {
			fmt.Fprintf(w, "%s\t", release)
		}
		fmt.Fprintln(w, rest)
	}
	row("RELEASE", "BOARD\tRESULT\tTIME\tIMAGE")
	var failed, of []string // boards, and their releases
	count := 0
	for _, r := range results {
		text := fmt.Sprintf("%d steps built", r.built)
		switch {
		case r.err != nil:
			text = string(build.Failed)
			count++
			failed, of = addOnce(failed, r.board), addOnce(of, r.release)
		case r.built == 0:
			text = string(build.Hit)
		}
		row(r.release, fmt.Sprintf("%s\t%s\t%s\t%s", r.board, text, took(r.took), r.image))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if count == 0 {
		return nil
	}
	again := strings.Join(failed, " ")
	if named {
		again += " --release " + strings.Join(of, ",")
	}
	return fmt.Errorf("build: %d of %d images failed: %s\nhint: tench build %s tries them again; what is finished is kept",
		count, len(results), strings.Join(failed, ", "), again)
}

func addOnce(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
