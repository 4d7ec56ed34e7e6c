// Package rollout updates boxes from the desk: the work of `tench update`.
//
//	rollout.go  Options, Line, Result
//	image.go    Source: the image for a board, and its ticket
//	box.go      one box, through broken lines, until it is healthy
//	session.go  one conversation over one line
//	line.go     how fast the line is, and what to send over it
//	health.go   how a box does that was started anew
//	fleet.go    All: several boxes, in which order
//
// A box is asked `tenchd update -` (package release/transfer), `tenchd slots
// --json` and `tenchd status --json` over SSH, and nothing else.
package rollout

import (
	"context"
	"io"
	"time"
)

// Line is a connection to a box, logged in.
type Line interface {
	// Run runs a command there, e.g. "update -", until it ends. The error of one
	// that ran is a *remote.ExitError, which has the command's words.
	Run(ctx context.Context, command string, stdin io.Reader, stdout io.Writer) error
	Close() error
}

// Reporter shows a person how it goes.
type Reporter interface {
	// Start says that work begins on a host.
	Start(host, text string)
	// Progress tells how far that work is, in bytes.
	Progress(done, total int64)
	// Note tells what stays on the screen.
	Note(host, text string)
}

// Options say what is sent, and how.
type Options struct {
	Source    Source
	Dial      func(ctx context.Context, host string) (Line, error)
	Downgrade bool // also to what is older than what was confirmed there
	// AskDowngrade asks a person whether a host is to go back to an older release,
	// when Downgrade does not say so; nil refuses.
	AskDowngrade func(ctx context.Context, host, what string) (bool, error)
	NoReboot     bool          // leave the box running as it is; the slot is armed
	Patience     time.Duration // for a box that reboots to be healthy
	Report       Reporter

	Now func() time.Time
	// Pause waits; its error is the context's.
	Pause func(ctx context.Context, d time.Duration) error
}

// Result is how the update of a host ended.
type Result struct {
	Host    string  `json:"host"`
	Board   string  `json:"board,omitempty"`
	Before  string  `json:"before,omitempty"`  // the release that ran
	Release string  `json:"release,omitempty"` // the one that was written
	Slot    string  `json:"slot,omitempty"`    // that it was written to
	Sent    int64   `json:"sent"`              // bytes of the image that went over the line
	Seconds float64 `json:"seconds"`           // until it was healthy, or failed
	State   State   `json:"state"`
	Error   string  `json:"error,omitempty"`
}

// State is how a host is left.
type State string

// The states.
const (
	Healthy   State = "healthy"   // the new release runs and is confirmed
	Armed     State = "armed"     // the next boot tries it
	Failed    State = "failed"    // see Error
	Untouched State = "untouched" // another host failed before its turn came
)
