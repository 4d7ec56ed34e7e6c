package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"tench/internal/remote"
	"tench/release/rollout"
)

func updateCommand() *cobra.Command {
	var u updater
	c := &cobra.Command{
		Use:   "update HOST… IMAGE|RELEASE-DIR",
		Short: "Update boxes that run, over SSH, and wait until they are healthy",
		Long: `update sends a release's slot image, or what a build left in out/BOARD, to boxes.
It checks board, signature and size, measures the line, and says how much it will
send; on a slow line that is only what the box lacks. The box writes the slot that
does not run, reads it back, reboots and tries it. A box that is not healthy then
falls back by itself, and update says why. It asks before it sends a release that is
older than what was confirmed on the box.

A line that breaks is taken up again. Several boxes are updated one at a time; the
first that is not healthy ends it. Whoever stands by in a failover group (the fact
"role" in tenchd status --json) goes first.`,
		Example: `  tench update gw0 out/release/2026.12
  tench update --key dev.sec gw0 out/apu2           a build that nobody signed
  tench update gw0 gw1 root@192.0.2.7:2222 out/release/2026.12 --json`,
		Args: between(2, math.MaxInt),
		RunE: func(c *cobra.Command, args []string) error {
			if u.options.Patience <= 0 {
				return usageError{fmt.Errorf("update: --wait %s: it must be more than nothing", u.options.Patience)}
			}
			u.options.Source.Path = args[len(args)-1]
			if u.key != "" {
				key, err := readSecretKey(c, u.key)
				if err != nil {
					return err
				}
				u.options.Source.Sign = key.SignInside
			}
			return u.run(c, args[:len(args)-1])
		},
	}
	f := c.Flags()
	f.StringVar(&u.key, "key", "", "sign the image now, with the secret key in this `file`; a box must know the public one")
	f.StringVar(&u.identity, "identity", "", "log in with the key in this `file` and no other")
	f.BoolVar(&u.options.Downgrade, "allow-downgrade", false, "do not ask before a release that is older than the newest that was confirmed there")
	f.BoolVar(&u.options.NoReboot, "no-reboot", false, "leave it to the box's next reboot to try the image")
	f.DurationVar(&u.options.Patience, "wait", 20*time.Minute, "how long a box may take to be healthy")
	f.BoolVar(&u.json, "json", false, "for programs: the results as JSON")
	return c
}

// updater is one call of the command.
type updater struct {
	options  rollout.Options
	key      string // file of a secret key
	identity string // file of a key to log in with
	json     bool
}

func (u *updater) run(c *cobra.Command, hosts []string) error {
	for _, h := range hosts {
		if _, err := remote.ParseHost(h); err != nil {
			return usageError{fmt.Errorf("update: %w", err)}
		}
	}
	if _, err := os.Stat(u.options.Source.Path); err != nil {
		return fmt.Errorf("update: %w\nhint: the last argument is a release's directory or an image: tench update HOST… IMAGE", err)
	}
	report := &updateReport{progress: newProgress(c.ErrOrStderr())}
	u.options.Report = report
	u.options.Now, u.options.Pause = time.Now, pause
	u.options.Dial = dialer(sshOptions(c.Context(), u.identity))
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		defer tty.Close()
		u.options.AskDowngrade = func(ctx context.Context, host, what string) (bool, error) { return askDowngrade(ctx, tty, host, what) }
	}
	results, err := rollout.All(c.Context(), hosts, u.options)
	report.Clear()
	if err != nil && c.Context().Err() == nil {
		err = fmt.Errorf("update: %w", err)
	}
	if u.json && results != nil {
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		return errors.Join(err, e.Encode(results))
	}
	return errors.Join(err, showRollout(c.OutOrStdout(), results))
}

// askDowngrade asks whether a host is to go back.
func askDowngrade(ctx context.Context, tty io.ReadWriter, host, what string) (bool, error) {
	fmt.Fprintf(tty, clearLine+"%s: %s.\nIt may bring back what was mended since. To go back to it, type yes: ", host, what)
	line, err := readAnswer(ctx, tty)
	return line == "yes\n", err
}

// showRollout says how each host is left.
func showRollout(out io.Writer, results []rollout.Result) error {
	for _, r := range results {
		line := r.Host + ": " + string(r.State)
		if r.State == rollout.Healthy || r.State == rollout.Armed {
			line += fmt.Sprintf(", %s -> %s, %s sent in %s", r.Before, r.Release, humanize.Bytes(uint64(r.Sent)), took(time.Duration(r.Seconds*float64(time.Second))))
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// updateReport shows an update on the progress display.
type updateReport struct {
	*progress
	last string // what was started last: the box tells of it again and again
}

func (r *updateReport) Start(host, text string) {
	if now := host + " " + text; now != r.last {
		r.last = now
		r.progress.Start(host, text)
	}
}

func (r *updateReport) Progress(done, total int64) { r.progress.Progress(done, total, "B") }
