package main

import (
	"fmt"
	"math"

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
		Args: between(1, math.MaxInt),
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
		_, err := checkedFile(c, file, b)
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

// checkedFile reads a router.toml that has no mistakes, for a board if it has a
// name; - is standard input.
func checkedFile(c *cobra.Command, name string, b boards.Board) ([]byte, error) {
	var text []byte
	var err error
	if name == "-" {
		text, err = readAll(c.Context(), c.InOrStdin())
	} else {
		text, err = readFile(c.Context(), name)
	}
	if err != nil {
		return nil, err
	}
	cfg, err := config.Parse(name, text)
	if err == nil && b.Name != "" {
		err = build.CheckPorts(b, name, cfg)
	}
	return text, err
}
