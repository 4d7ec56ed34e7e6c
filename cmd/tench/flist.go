package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tench/build"
)

func flistCommand() *cobra.Command {
	var o build.Options
	var update bool
	c := &cobra.Command{
		Use:   "flist [BOARD]",
		Short: "List the files of a board's root file system, or declare them",
		Long: `flist prints what is in the board's root file system, and builds what the cache
does not have of it. An image is only built when its files are those that the
lists declare: build/flist, release/recipes/NAME/flist, overlays/NAME.flist.
With --update the lists are rewritten to declare what there is now; the
differences are shown first. Look at them: each file that was not there before
is one that every box will have.`,
		Example: `  tench flist
  tench flist alix2d3 | grep bin/
  tench flist --update                   after adding a command or a file on purpose`,
		Args:              between(0, 1),
		ValidArgsFunction: completeBoards,
		RunE: func(c *cobra.Command, args []string) error {
			t, b, err := findBoard(args)
			if err != nil {
				return err
			}
			o.Root, o.Cache, o.Mirrors = t.Root, t.Cache, t.Mirrors
			o.Report = newProgress(c.ErrOrStderr())
			files, err := build.FileList(c.Context(), b, o)
			if err != nil {
				return explainFailure(err)
			}
			lines := files.Lines
			if update {
				lines = files.Differences
			}
			for _, line := range lines {
				fmt.Fprintln(c.OutOrStdout(), line)
			}
			if !update {
				return nil
			}
			names, err := files.Update()
			for _, name := range names {
				fmt.Fprintln(c.ErrOrStderr(), "tench: rewritten:", name)
			}
			if err == nil && len(names) == 0 {
				fmt.Fprintln(c.ErrOrStderr(), "tench: every file is as declared")
			}
			return err
		},
	}
	c.Flags().BoolVar(&update, "update", false, "rewrite the lists, after showing the differences")
	c.Flags().BoolVar(&o.Offline, "offline", false, "never use the network; say what is missing")
	return c
}
