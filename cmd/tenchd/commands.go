package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"tench/supervisor"
	"tench/supervisor/console"
	"tench/supervisor/status"
)

// client is what every command works with.
type client struct {
	runDir   string
	identity string // directory of this box's identity
}

func (c *client) box() status.Client {
	return status.Client{Path: filepath.Join(c.runDir, status.SocketName), Session: os.Getenv(status.SessionEnv)}
}

func (c *client) logPath() string { return filepath.Join(c.runDir, supervisor.LogName) }

// execute runs a client command.
func execute(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := &client{}
	root := &cobra.Command{
		Use:   "tenchd",
		Short: "Ask and steer this box",
		Long: `tenchd is all of a tench box: PID 1, the network loop, the serial menu. As a
command it asks the running loop, over a socket that root alone may use.

Exit codes: 0 done; 1 it could not be done, or the box refused it; 2 the command
line was wrong; 3 an update is older than what was confirmed here.`,
		Example: `  tenchd status              what is up, and what is not
  tenchd why lan             the chain of causes
  tenchd apply router.toml   check a configuration and put it in force`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetArgs(longFlags(args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.DisableDefaultCmd = true // the box's shell has none
	root.PersistentFlags().StringVar(&c.runDir, "run", supervisor.RunDir, "directory of control socket and log")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nhint: %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(c.status(), c.why(), c.log(), c.report(), c.backup(), c.sbom(), c.check(), c.apply(), c.confirm(), c.rollback(), c.generations(),
		c.config(), c.secret(), c.menu(), c.slots(), c.update(),
		down("reboot", "Reboot the box in order", console.Reboot),
		down("poweroff", "Power the box off in order", console.PowerOff))
	err := root.ExecuteContext(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") {
		return usageError{fmt.Errorf("%w\nhint: tenchd --help", err)}
	}
	return err
}

// longFlags writes -json as --json: many who type it come from programs whose
// long flags have one dash.
func longFlags(args []string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		if name, _, _ := strings.Cut(a, "="); slices.Contains([]string{"-json", "-run", "-confirm"}, name) {
			args[i] = "-" + a
		}
	}
	return args
}

// exactly is cobra.ExactArgs with a hint.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usageError{fmt.Errorf("%s: %d arguments given; want %d\nhint: usage: %s", cmd.CommandPath(), len(args), n, cmd.UseLine())}
	}
}

// atLeastOne is cobra.MinimumNArgs with a hint.
func atLeastOne(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return usageError{fmt.Errorf("%s: no arguments given\nhint: usage: %s", cmd.CommandPath(), cmd.UseLine())}
}

func (c *client) status() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "What is up, and what is not",
		Long:  `status shows everything the box keeps alive. A "!" marks what is not as it should be.`,
		Example: `  tenchd status
  tenchd status -json`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := c.box().Status(cmd.Context())
			if err != nil {
				return err
			}
			if !asJSON {
				return status.Print(cmd.OutOrStdout(), root)
			}
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(root)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs: the whole tree as JSON")
	return cmd
}

func (c *client) why() *cobra.Command {
	return &cobra.Command{
		Use:     "why NAME",
		Short:   "Why something is not up: the chain of causes",
		Example: "  tenchd why lan\n  tenchd why \"dhcp wan\"",
		Args:    atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			// Names have spaces: "dhcp wan" need not be quoted.
			lines, err := c.box().Why(cmd.Context(), strings.Join(args, " "))
			for _, line := range lines {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return err
		},
	}
}

func (c *client) log() *cobra.Command {
	var lines int
	var follow bool
	cmd := &cobra.Command{
		Use:   "log",
		Short: "The box's log since it started",
		Long: `log shows the last lines of the log. The log is in RAM and bounded; each line
has the seconds since the kernel started.`,
		Example: "  tenchd log -n 50\n  tenchd log -f",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if follow {
				ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
				defer stop()
				if err := console.FollowLog(ctx, c.logPath(), cmd.OutOrStdout()); !errors.Is(err, context.Canceled) {
					return err
				}
				return nil
			}
			text, err := console.Log(c.logPath(), lines)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", 100, "how many lines")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new lines until ctrl-C")
	return cmd
}

func readFile(stdin io.Reader, name string) (string, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		stdin = f
	}
	// More than the socket carries is refused there, with a message.
	data, err := io.ReadAll(io.LimitReader(stdin, status.MaxRequest))
	return string(data), err
}

func (c *client) config() *cobra.Command {
	return &cobra.Command{
		Use:     "config",
		Short:   "Print the router.toml in force",
		Example: "  tenchd config > router.toml",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.box().Config(cmd.Context())
			if err != nil {
				return err
			}
			if cfg.Problem != "" {
				what := fmt.Sprintf("this is generation %d; the newest one cannot be used", cfg.Generation)
				if cfg.Generation == 0 {
					what = "no router.toml is in force"
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "tenchd: %s:\n%s\n", what, cfg.Problem)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), cfg.Text)
			return err
		},
	}
}

func (c *client) menu() *cobra.Command {
	return &cobra.Command{
		Use:     "menu",
		Short:   "The menu of the serial console, on this terminal",
		Example: "  tenchd menu",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			interrupts, stop := console.Interrupts()
			defer stop()
			tty, _ := cmd.InOrStdin().(*os.File)
			m := console.Menu{
				Box: console.Live{Client: c.box(), LogPath: c.logPath(), RunDir: c.runDir, TTY: tty},
				In:  console.NewInput(cmd.InOrStdin(), interrupts),
				Out: cmd.OutOrStdout(),
			}
			defer m.In.Close()
			if err := m.Run(cmd.Context()); !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		},
	}
}

// down makes the command that takes the box down by do.
func down(name, short string, do func() error) *cobra.Command {
	return &cobra.Command{
		Use:     name,
		Short:   short,
		Example: "  tenchd " + name,
		Args:    exactly(0),
		RunE:    func(*cobra.Command, []string) error { return do() },
	}
}
