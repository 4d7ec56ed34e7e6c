package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tench/config"
)

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check router.toml …",
		Short: "Check a box's configuration",
		Long: `check reads router.toml files as the box would and names every mistake with its
line. The same check runs when an image is built and when a box applies a file.
A single - reads from standard input.`,
		Example: `  tench check router.toml
  tench check - < router.toml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			bad := 0
			for _, name := range args {
				if err := checkFile(c.InOrStdin(), name); err != nil {
					fmt.Fprintln(c.ErrOrStderr(), err)
					bad++
					continue
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: configuration OK\n", name)
			}
			if bad > 0 {
				return fmt.Errorf("check: %d of %d files are not usable\nhint: config/reference.toml explains every key", bad, len(args))
			}
			return nil
		},
	}
}

func checkFile(stdin io.Reader, name string) error {
	var data []byte
	var err error
	if name == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return err
	}
	_, err = config.Parse(name, data)
	return err
}
