package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

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
		Example: "  tench backup gw0 gw0.age       on the desk\n  tenchd backup | tar -t         on the box: what would be in it",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if isTerminal(cmd.OutOrStdout()) {
				return errors.New("backup: secrets would be shown on this terminal\nhint: on the desk, tench backup HOST FILE; here, tenchd backup > FILE")
			}
			return supervisor.WriteBackup(cmd.OutOrStdout(), dataDir, c.runDir)
		},
	}
	cmd.Flags().StringVar(&dataDir, "data", supervisor.DataDir, "directory of the generations and the identity")
	return cmd
}

// isTerminal reports whether what is written to w is shown.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
