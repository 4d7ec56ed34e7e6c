package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tench/supervisor"
)

func (c *client) backup() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Write all that this box is made again from, secrets included",
		Long: `backup writes a tar archive to standard output: the identity (host key, keys that
may log in, secrets) and all generations of router.toml. It is not encrypted;
tench backup HOST FILE on the desk fetches it over SSH and encrypts it there.
Leases and the clock are not in it: the next box gets its own.`,
		Example: "  tench backup gw0 gw0.age       on the desk\n  tenchd backup | tar -tf /proc/self/fd/0         on the box: what would be in it",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if tty, ok := cmd.OutOrStdout().(*os.File); ok && term.IsTerminal(int(tty.Fd())) {
				return errors.New("backup: secrets would be shown on this terminal\nhint: on the desk, tench backup HOST FILE; here, tenchd backup > FILE")
			}
			return supervisor.WriteBackup(cmd.OutOrStdout(), dataDir, c.runDir)
		},
	}
	cmd.Flags().StringVar(&dataDir, "data", supervisor.DataDir, "directory of the generations and the identity")
	return cmd
}
