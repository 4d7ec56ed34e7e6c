package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tench/identity"
	"tench/internal/echo"
	"tench/supervisor"
)

func (c *client) secret() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Passwords and keys, which have no place in router.toml",
		Long: `secret keeps passwords and keys in the identity of this box, by name. They are in
no list of arguments, no log and no report. No key of router.toml takes one yet.`,
		Example: `  tenchd secret set isp
  tenchd secret set wg0 < wg0.key
  tenchd secret list`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			// It may be a secret, and is not repeated.
			return usageError{errors.New("secret: that is not set, list or remove\nhint: tenchd secret --help")}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&c.identity, "identity", filepath.Join(supervisor.DataDir, "identity"), "`directory` of the identity")
	cmd.AddCommand(c.setSecret(), c.listSecrets(), c.removeSecret())
	return cmd
}

func (c *client) setSecret() *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME",
		Short: "Store a secret, in place of one of that name",
		Long: `set asks for the secret twice, without showing it. Where there is no terminal, the
secret is all of standard input, less one line end at its end.`,
		Example: "  tenchd secret set isp\n  tenchd secret set wg0 < wg0.key",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := identity.CheckSecretName(args[0]); err != nil {
				return usageError{err}
			}
			value, err := readSecret(cmd, args[0])
			if err != nil {
				return fmt.Errorf("secret %s: %w", args[0], err)
			}
			err = identity.SetSecret(c.identity, args[0], value)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w\nhint: the box has no identity; is its data partition there? see `tenchd status`", err)
			}
			return err
		},
	}
}

// readSecret asks for a secret on the terminal, or reads standard input.
func readSecret(cmd *cobra.Command, name string) ([]byte, error) {
	tty, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(tty.Fd())) {
		data, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), identity.MaxFile+2))
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return bytes.TrimSuffix(data, []byte("\n")), nil
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	return echo.AskTwice(ctx, tty, cmd.ErrOrStderr(), "secret "+name+": ")
}

func (c *client) listSecrets() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "The names of the secrets",
		Example: "  tenchd secret list",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := identity.SecretNames(c.identity)
			for _, name := range names {
				fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			return err
		},
	}
}

func (c *client) removeSecret() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Remove a secret",
		Example: "  tenchd secret remove isp",
		Args:    exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			err := identity.RemoveSecret(c.identity, args[0])
			if err == nil {
				return nil
			}
			hint := "there are none"
			if names, lerr := identity.SecretNames(c.identity); lerr == nil && len(names) > 0 {
				hint = "there are " + strings.Join(names, ", ")
			}
			return fmt.Errorf("%w\nhint: %s", err, hint)
		},
	}
}
