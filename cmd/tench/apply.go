package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tench/boards"
)

// defaultWindow is how long a change from the desk is on trial.
const defaultWindow = 5 * time.Minute

// boxFlags are what commands for a box far away have in common.
type boxFlags struct {
	identity string // file of a key
	window   time.Duration
	leave    bool
}

func (f *boxFlags) register(c *cobra.Command, trial bool) {
	c.Flags().StringVar(&f.identity, "identity", "", "log in with the key in this `file` and no other")
	if trial {
		c.Flags().DurationVar(&f.window, "confirm", defaultWindow, "the box takes it back unless it is confirmed in this `time`")
		c.Flags().BoolVar(&f.leave, "no-confirm", false, "leave it on trial: tench confirm HOST keeps it")
	}
}

// run makes the run of a change on the box called host.
func (f *boxFlags) run(c *cobra.Command, host string) (trialRun, error) {
	if f.window < minWindow || f.window > 24*time.Hour {
		return trialRun{}, usageError{fmt.Errorf("%s: --confirm %v: want %v to 24h", c.Name(), f.window, minWindow)}
	}
	o := sshOptions(c.Context(), f.identity)
	o.Patience, o.ConnectTime = linePatience, linePatience
	return trialRun{
		host: host, window: f.window, leave: f.leave, now: time.Now, wait: pause, dial: dialer(o),
		out: c.OutOrStdout(), notes: c.ErrOrStderr(),
	}, nil
}

// linePatience is how long the line to a box may be silent: a change may have
// cut it, and we want to know.
const linePatience = 15 * time.Second

func applyCommand() *cobra.Command {
	var f boxFlags
	var board string
	c := &cobra.Command{
		Use:   "apply HOST router.toml",
		Short: "Change a box's configuration without losing the box",
		Long: `apply checks a router.toml here, hands it to the box over SSH, shows what it
changes and lets the box run with it on trial. Then it connects to the box anew:
only if that works it confirms, and the configuration stays. Otherwise the box
takes it back by itself: in time, and sooner when this session is lost and not back
within half a minute, or when the box restarts. A single - reads from standard
input.`,
		Example: `  tench apply gw0 router.toml
  tench apply root@192.0.2.1:2222 router.toml --board apu2 --confirm 10m
  tench apply gw0 router.toml --no-confirm     look around first, then: tench confirm gw0`,
		Args: between(2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := f.run(c, args[0])
			if err != nil {
				return err
			}
			var b boards.Board
			if board != "" {
				if _, b, err = findBoard([]string{board}); err != nil {
					return err
				}
			}
			text, err := checkedFile(c, args[1], b)
			if err != nil {
				return err
			}
			return r.apply(c.Context(), text)
		},
	}
	f.register(c, true)
	c.Flags().StringVar(&board, "board", "", "check the ports that the file names against this `board`")
	_ = c.RegisterFlagCompletionFunc("board", completeMoreBoards) // an error is a flag that is not there
	return c
}

func confirmCommand() *cobra.Command {
	var f boxFlags
	c := &cobra.Command{
		Use:   "confirm HOST [N]",
		Short: "Keep the configuration that a box has on trial",
		Long: `confirm makes the generation on trial permanent. With N it does so only if that is
the one.`,
		Example: "  tench confirm gw0",
		Args:    between(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := generationArg(c, args)
			if err != nil {
				return err
			}
			f.window = defaultWindow
			r, err := f.run(c, args[0])
			if err != nil {
				return err
			}
			return r.keep(c.Context(), n)
		},
	}
	f.register(c, false)
	return c
}

func rollbackCommand() *cobra.Command {
	var f boxFlags
	c := &cobra.Command{
		Use:   "rollback HOST [N]",
		Short: "End a box's trial, or put an earlier configuration in force",
		Long: `rollback ends the trial under way on the box. Without one, generation N comes back,
or the one before the current one: as a new generation and on trial, like in tench
apply. "ssh HOST generations" lists them.`,
		Example: `  tench rollback gw0
  tench rollback gw0 3 --confirm 10m`,
		Args: between(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := generationArg(c, args)
			if err != nil {
				return err
			}
			r, err := f.run(c, args[0])
			if err != nil {
				return err
			}
			return r.rollback(c.Context(), n)
		},
	}
	f.register(c, true)
	return c
}

// generationArg reads the number behind HOST; 0 for none.
func generationArg(c *cobra.Command, args []string) (int, error) {
	if len(args) < 2 {
		return 0, nil
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 1 {
		return 0, usageError{fmt.Errorf("%s: %q is not the number of a generation\nhint: ssh %s generations lists them", c.Name(), args[1], args[0])}
	}
	return n, nil
}
