package main

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"tench/supervisor"
)

func (c *client) report() *cobra.Command {
	return &cobra.Command{
		Use:   "report [FILE]",
		Short: "Write down what this box is and how it does, for somebody far away",
		Long: `report writes one text file: board, release and SBOM, status, the ports that the
board should have and those it has, its LEDs, buttons and watchdog, quirks, clock
source, PCI and USB devices, the kernel's log and the box's own. It has no
secrets. Without FILE it goes to report.txt beside the control socket; a single -
prints it.`,
		Example: "  tenchd report\n  ssh root@gw0 report - | less     on the desk",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := filepath.Join(c.runDir, "report.txt")
			if len(args) == 1 {
				path = args[0]
			}
			if path == "-" {
				return supervisor.WriteReport(cmd.Context(), cmd.OutOrStdout(), c.runDir)
			}
			var text bytes.Buffer
			if err := supervisor.WriteReport(cmd.Context(), &text, c.runDir); err != nil {
				return err
			}
			if err := renameio.WriteFile(path, text.Bytes(), 0o600); err != nil {
				return fmt.Errorf("report: write %s: %w", path, err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), path)
			return nil
		},
	}
}
