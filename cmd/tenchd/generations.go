package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tench/supervisor/status"
)

// trialHelp is what apply and rollback say about trials.
const trialHelp = `
On trial, the generation before it is back by itself unless "tenchd confirm" follows
in time, and at once when the network loop ends or the box restarts; also when the
SSH session that applied it is lost and its operator does not come back within half
a minute. --confirm TIME asks for a trial, --confirm 0 for none. Without it, a change
that comes over SSH is on trial for 5 minutes, and one from the box's own console,
where nobody can be cut off, is permanent.`

// window is the time of a trial that the flag --confirm asks for.
func (c *client) window(cmd *cobra.Command, given time.Duration) (time.Duration, error) {
	if !cmd.Flags().Changed("confirm") {
		return c.box().Window(), nil
	}
	if err := (status.Change{Trial: given}).Check(); err != nil {
		return 0, usageError{fmt.Errorf("%s: --confirm: %w", cmd.Name(), err)}
	}
	return given, nil
}

func (c *client) check() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a router.toml, and change nothing",
		Long: `check names every mistake of a router.toml with its line, as this box would find
them. A single - reads from standard input.`,
		Example: "  tenchd check router.toml",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readFile(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			if err := c.box().Check(cmd.Context(), text); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: configuration OK\n", args[0])
			return err
		},
	}
}

func (c *client) apply() *cobra.Command {
	var confirm time.Duration
	var dry, asJSON bool
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Check a router.toml, say what it changes, and put it in force",
		Long: `apply hands a router.toml to the box. A file with a mistake changes nothing; every
mistake is named with its line. A single - reads from standard input.
` + trialHelp,
		Example: `  tenchd apply router.toml
  tenchd apply router.toml -confirm 5m
  ssh root@gw0 config | sed s/eth1/eth2/ | ssh root@gw0 apply -     on the desk
  tenchd apply --dry-run router.toml`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			window, err := c.window(cmd, confirm)
			if err != nil {
				return err
			}
			text, err := readFile(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			d, err := c.box().Compare(cmd.Context(), 0, 0, text)
			if err != nil {
				return err
			}
			// Before it is applied: whoever is cut off knows at least what by.
			if err := show(cmd.OutOrStdout(), asJSON, d, d.Print); err != nil || dry {
				return err
			}
			o, err := c.box().Apply(cmd.Context(), status.Change{Text: text, Trial: window})
			return c.outcome(cmd, asJSON, o, err)
		},
	}
	cmd.Flags().DurationVar(&confirm, "confirm", 0, "trial: take it back unless it is confirmed in this `time`, e.g. 5m")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check it and say what it changes, no more")
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs: difference and outcome, a line of JSON each")
	return cmd
}

// show prints a value: for programs as a line of JSON, for people with print.
func show(w io.Writer, asJSON bool, v any, print func(io.Writer) error) error {
	if asJSON {
		return json.NewEncoder(w).Encode(v)
	}
	return print(w)
}

// outcome prints what became of a change.
func (c *client) outcome(cmd *cobra.Command, asJSON bool, o status.Outcome, err error) error {
	if err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), asJSON, o, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, o)
		return err
	})
}

func (c *client) confirm() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "confirm [N]",
		Short: "Keep the configuration that is on trial",
		Long: `confirm makes the generation on trial permanent. With N it does so only if that is
the one, so that nobody confirms what somebody else has applied meanwhile.`,
		Example: "  tenchd confirm\n  tenchd confirm 8",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := number(cmd, args, 0)
			if err != nil {
				return err
			}
			o, err := c.box().Confirm(cmd.Context(), n)
			return c.outcome(cmd, asJSON, o, err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs: the outcome as a line of JSON")
	return cmd
}

func (c *client) rollback() *cobra.Command {
	var confirm time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rollback [N]",
		Short: "End a trial, or go back to an earlier generation",
		Long: `rollback ends the trial under way. Without one it puts generation N in force again,
or the one before the current one, as a new generation.
` + trialHelp,
		Example: "  tenchd rollback\n  tenchd rollback 3 --confirm 10m",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			window, err := c.window(cmd, confirm)
			if err != nil {
				return err
			}
			n, err := number(cmd, args, 0)
			if err != nil {
				return err
			}
			o, err := c.box().Rollback(cmd.Context(), n, status.Change{Trial: window})
			return c.outcome(cmd, asJSON, o, err)
		},
	}
	cmd.Flags().DurationVar(&confirm, "confirm", 0, "trial: take it back unless it is confirmed in this `time`, e.g. 5m")
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs: the outcome as a line of JSON")
	return cmd
}

func (c *client) generations() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "generations",
		Short: "The router.toml files that the box keeps",
		Long: `generations lists the configurations that were in force, and those whose trial
failed: when each came, from whom, and how many lines it changed. The last ten
are kept, and the last three that were not confirmed.`,
		Example: `  tenchd generations
  tenchd generations show 7 > router.toml
  tenchd generations diff 7 8`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.box().Generations(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), asJSON, list, func(w io.Writer) error { return status.PrintGenerations(w, list) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs: the list as JSON")
	cmd.AddCommand(c.showGeneration(), c.diffGenerations())
	return cmd
}

func (c *client) showGeneration() *cobra.Command {
	return &cobra.Command{
		Use:     "show N",
		Short:   "Print generation N",
		Example: "  tenchd generations show 7 > router.toml",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := number(cmd, args, 0)
			if err != nil {
				return err
			}
			cfg, err := c.box().Generation(cmd.Context(), n)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), cfg.Text)
			return err
		},
	}
}

func (c *client) diffGenerations() *cobra.Command {
	return &cobra.Command{
		Use:     "diff N [M]",
		Short:   "How generation M, or the one in force, differs from generation N",
		Example: "  tenchd generations diff 7\n  tenchd generations diff 7 8",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return atLeastOne(cmd, args)
			}
			return atMost(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := number(cmd, args, 0)
			if err != nil {
				return err
			}
			to, err := number(cmd, args, 1)
			if err != nil {
				return err
			}
			text := ""
			if to == 0 {
				cfg, err := c.box().Config(cmd.Context())
				if err != nil {
					return err
				}
				to, text = cfg.Generation, cfg.Text
			}
			d, err := c.box().Compare(cmd.Context(), from, to, text)
			if err != nil {
				return err
			}
			return d.Print(cmd.OutOrStdout())
		},
	}
}

// number reads the number of a generation; 0 where there is no such argument.
func number(cmd *cobra.Command, args []string, at int) (int, error) {
	if at >= len(args) {
		return 0, nil
	}
	n, err := strconv.Atoi(args[at])
	if err != nil || n < 1 {
		return 0, usageError{fmt.Errorf("%s: %q is not the number of a generation\nhint: tenchd generations", cmd.CommandPath(), args[at])}
	}
	return n, nil
}

// atMost is cobra.MaximumNArgs with a hint.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		return usageError{fmt.Errorf("%s: %d arguments given; want at most %d\nhint: usage: %s", cmd.CommandPath(), len(args), n, cmd.UseLine())}
	}
}
