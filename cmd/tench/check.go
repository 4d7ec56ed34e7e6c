package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"tench/boards"
	"tench/build"
	"tench/config"
)

func checkCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "check router.toml …",
		Short: "Check a box's configuration",
		Long: `check reads router.toml files as the box would and names every mistake with its
line. The same check runs when an image is built and when a box applies a file.
With --board the ports that the files name must be on that board's case, too. A
single - reads from standard input.`,
		Example: `  tench check router.toml
  tench check router.toml --board apu2
  tench check - < router.toml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var board boards.Board
			if name != "" {
				var err error
				if _, board, err = findBoard([]string{name}); err != nil {
					return err
				}
			}
			return checkFiles(c, args, board)
		},
	}
	c.Flags().StringVar(&name, "board", "", "the `board` that the files are for")
	_ = c.RegisterFlagCompletionFunc("board", completeMoreBoards) // an error is a flag that is not there
	return c
}

// checkFiles checks files, for a board if it has a name.
func checkFiles(c *cobra.Command, files []string, b boards.Board) error {
	bad := 0
	for _, file := range files {
		err := checkFile(c, file, b)
		if ctx := c.Context(); ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintln(c.ErrOrStderr(), err)
			bad++
			continue
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: configuration OK\n", file)
	}
	if bad > 0 {
		return fmt.Errorf("check: %d of %d files are not usable\nhint: config/reference.toml explains every key", bad, len(files))
	}
	return nil
}

func checkFile(c *cobra.Command, name string, b boards.Board) error {
	var data []byte
	var err error
	if name == "-" {
		data, err = readAll(c.Context(), c.InOrStdin())
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return err
	}
	cfg, err := config.Parse(name, data)
	if err != nil || b.Name == "" {
		return err
	}
	return build.CheckPorts(b, name, cfg)
}
