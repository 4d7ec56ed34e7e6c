package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build"
)

func buildCommand() *cobra.Command {
	var o build.Options
	var all bool
	var sources []string
	c := &cobra.Command{
		Use:   "build [BOARD]...",
		Short: "Build the images of several boards",
		Long: `build does for each board what tench image does, one after the other, and ends
with a table. A board that fails does not keep the others from being built. An
interrupted build goes on where it was: what is finished is kept.`,
		Example: `  tench build alix2d3 net5501
  tench build --all-boards`,
		ValidArgsFunction: completeMoreBoards,
		RunE: func(c *cobra.Command, args []string) error {
			t, list, err := findBoards(args, all)
			if err != nil {
				return err
			}
			o.Root, o.Cache, o.Mirrors = t.Root, t.Cache, t.Mirrors
			if o.Sources, err = t.sources(sources); err != nil {
				return err
			}
			var results []result
			for i, b := range list {
				fmt.Fprintf(c.ErrOrStderr(), "\n%s: %s (%d of %d)\n", b.Name, b.Title, i+1, len(list))
				o.Out = filepath.Join(t.Out, b.Name)
				o.Report = newProgress(c.ErrOrStderr())
				results = append(results, buildBoard(c, b, o))
				if c.Context().Err() != nil {
					break
				}
			}
			return showResults(c.OutOrStdout(), results)
		},
	}
	f := c.Flags()
	f.BoolVar(&all, "all-boards", false, "build every board there is")
	f.BoolVar(&o.Offline, "offline", false, "never use the network; say what is missing")
	f.BoolVar(&o.Strict, "strict", false, "stop when an archive no longer has a pinned version")
	f.IntVar(&o.Jobs, "jobs", 0, "compile this `many` files at once (default: one per processor)")
	sourceFlag(c, &sources)
	return c
}

// result is how a board's build ended.
type result struct {
	board string
	took  time.Duration
	built int // steps that ran; the others were hits
	image string
	err   error
}

func buildBoard(c *cobra.Command, b boards.Board, o build.Options) result {
	began := time.Now()
	m, err := build.Image(c.Context(), b, o)
	r := result{board: b.Name, took: time.Since(began), err: err}
	if err != nil {
		fmt.Fprintf(c.ErrOrStderr(), "tench: %s: %v\n", b.Name, explainFailure(err))
		return r
	}
	for _, s := range m.Steps {
		if !s.Hit {
			r.built++
		}
	}
	r.image = filepath.Join(o.Out, m.Products[0].File)
	return r
}

// showResults prints the table. Its error names the boards that failed.
func showResults(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "BOARD\tRESULT\tTIME\tIMAGE")
	var failed []string

	for _, r := range results {
		text := fmt.Sprintf("%d steps built", r.built)
		switch {
		case r.err != nil:
			text = string(build.Failed)
			failed = append(failed, r.board)
		case r.built == 0:
			text = string(build.Hit)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.board, text, took(r.took), r.image)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("build: %d of %d boards failed: %s\nhint: tench build %s tries them again; what is finished is kept",
		len(failed), len(results), strings.Join(failed, ", "), strings.Join(failed, " "))
}
