package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tench/supervisor"
	"tench/supervisor/console"
	"tench/supervisor/update"
)

func (c *client) update() *cobra.Command {
	var downgrade, stay bool
	cmd := &cobra.Command{
		Use:   "update FILE|URL|-",
		Short: "Write a new image into the slot that does not run, and try it",
		Long: `update takes a release's directory, a slot image (tench-BOARD.slot) beside its
SHA256.sig, a stick's partition that holds one of these at its top, or the http
URL of a release's directory. A single - speaks with "tench update" over standard
input and output.

The image must be signed by a key of this box's identity. It is written into the
slot that does not run, read back and compared; then the box reboots and tries
it. An image that does not become healthy is given up by itself: see "tenchd
slots". A power cut at any moment leaves the slot that runs as it is.`,
		Example: `  tenchd update /dev/sdb1
  tenchd update http://192.168.1.2/tench/2026.12 --no-reboot`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := supervisor.NewUpdater(c.runDir)
			if err != nil {
				return err
			}
			u.Downgrade = downgrade
			// A line that breaks ends an update while it writes, and does so in order: a
			// stick would stay mounted otherwise. Once the slot is armed it must not: the
			// box would not reboot into it.
			signal.Ignore(unix.SIGPIPE)
			if args[0] == "-" {
				ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGHUP)
				defer stop()
				err = u.Serve(ctx, cmd.InOrStdin(), cmd.OutOrStdout(), !stay)
			} else {
				err = updateFrom(cmd, u, args[0])
			}
			if err != nil || stay {
				return err
			}
			return console.Reboot()
		},
	}
	cmd.Flags().BoolVar(&downgrade, "allow-downgrade", false, "take a release that is older than the newest that was confirmed here")
	cmd.Flags().BoolVar(&stay, "no-reboot", false, "leave it to the next reboot to try the new image")
	return cmd
}

// updateFrom updates from a place that the box reads itself.
func updateFrom(cmd *cobra.Command, u *update.Updater, from string) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, unix.SIGHUP)
	defer stop()
	out := cmd.OutOrStdout()
	u.Step = (&update.Steps{Out: out, Now: time.Now}).Step
	src, err := update.OpenSource(ctx, from, u.Board, u.Run)
	if err != nil {
		return err
	}
	defer src.Image.Close()
	j, err := u.Begin(src.Ticket)
	if err != nil {
		return err
	}
	defer j.Close()
	if unwell, _ := u.Unwell(); len(unwell) > 0 {
		fmt.Fprintf(out, "not healthy now: %s; if that stays so, the box falls back after its tries\n", strings.Join(unwell, "; "))
	}
	info, err := j.Install(ctx, src.Image)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "release %s is in the other slot; the next boot tries it\n", info.Release)
	return nil
}
