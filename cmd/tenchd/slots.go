package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"tench/supervisor/console"
	"tench/supervisor/status"
)

func (c *client) slots() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "slots",
		Short: "The two slots: which one runs, which is good, and is the box healthy",
		Long: `slots shows the two slots that a kernel and a root file system can lie in. One is
good: it is what the box comes back to. A slot on trial, after an update or after
"slots use", becomes the good one when the box is healthy in it (see [health] of
router.toml); otherwise the box reboots, and after a few tries starts the good
one again and says here why.`,
		Example: "  tenchd slots\n  tenchd slots -json\n  tenchd slots use b",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := console.ReadSlots(c.runDir)
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				if jerr := e.Encode(r); jerr != nil {
					return jerr
				}
				return err
			}
			if perr := status.Print(cmd.OutOrStdout(), r.Tree()); perr != nil {
				return perr
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs: the same as JSON")
	cmd.AddCommand(&cobra.Command{
		Use:   "use a|b",
		Short: "Start a slot at the next boot, on trial where it is not the good one",
		Example: `  tenchd slots use b && tenchd reboot
  tenchd slots use a      take it back`,
		Args:      exactly(1),
		ValidArgs: []string{"a", "b"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "a" && args[0] != "b" {
				return usageError{fmt.Errorf("slots use: %q is not a or b\nhint: tenchd slots shows them", args[0])}
			}
			done, err := console.UseSlot(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), done)
			return nil
		},
	})
	return cmd
}
