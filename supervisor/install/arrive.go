package install

import (
	"context"
	"fmt"
	"time"

	"tench/release/netboot"
)

const (
	// arrivalLimit is how long a box that came up tries to tell so. It is longer
	// than the time in which it must have become healthy.
	arrivalLimit = 15 * time.Minute
	// askAgain is how often the server is tried, and the box's health looked at.
	askAgain = 10 * time.Second
)

// Arrival is a box that came up after an install, or without a disk.
type Arrival struct {
	Server Client
	About  string // what runs, e.g. "release 2026.11, slot b"
	// Health is how the box does: healthy, or failed with why not; false while
	// that is not known.
	Health func() (netboot.Progress, bool)

	Wait func(ctx context.Context, d time.Duration) error
	Now  func() time.Time
	Log  func(format string, args ...any)
}

// Run tells the server that the box is ready, and then that it is healthy, or why
// it is not: each once. It gives up after a quarter of an hour, or when the server
// says no: the box does as well without being heard.
func (a Arrival) Run(ctx context.Context) error {
	end := a.Now().Add(arrivalLimit)
	if err := a.post(ctx, end, netboot.Progress{Stage: netboot.Ready, Text: a.About}); err != nil {
		return fmt.Errorf("tell that the box is ready: %w", err)
	}
	for a.Now().Before(end) {
		p, known := a.Health()
		if !known {
			if err := a.Wait(ctx, askAgain); err != nil {
				return err
			}
			continue
		}
		if p.Text == "" {
			p.Text = a.About
		}
		if err := a.post(ctx, end, p); err != nil {
			return fmt.Errorf("tell that the box is %s: %w", p.Stage, err)
		}
		return nil
	}
	return fmt.Errorf("tell that the box is healthy: it was not for %v", arrivalLimit)
}

// post posts until the server has heard it.
func (a Arrival) post(ctx context.Context, end time.Time, p netboot.Progress) error {
	for {
		err := a.Server.Post(ctx, "progress", p, nil)
		if err == nil || final(err) || !a.Now().Before(end) {
			return err
		}
		a.Log("%v; trying again", err)
		if err := a.Wait(ctx, askAgain); err != nil {
			return err
		}
	}
}
