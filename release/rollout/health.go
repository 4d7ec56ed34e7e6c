package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tench/release/transfer"
)

// slotsAnswer is what is looked at of `tenchd slots --json`.
type slotsAnswer struct {
	Running string `json:"running"` // "a" or "b"
	Next    string `json:"next"`    // what is started next
	Good    string `json:"good"`
	Pending bool   `json:"pending"` // Next is on trial
	Health  struct {
		Trial     bool     `json:"trial"`      // PID 1 has not seen its verdict stored yet
		Reasons   []string `json:"reasons"`    // what is not well
		LastTrial string   `json:"last-trial"` // e.g. "slot b was given up: …"
	} `json:"health"`
}

// phase is how far a box is with the slot that it was given.
//
//	booting ──> trying ──> confirmed
//	   ^           │
//	   └───────────┴─────> fallen back
type phase int

const (
	booting    phase = iota // the old slot still runs, or runs between two tries
	trying                  // the new one runs, and is not confirmed
	confirmed               // the new one runs, and is what the box comes back to
	fallenBack              // the old one runs, and the new one will not be tried again
)

func (a slotsAnswer) phase(target string) phase {
	switch {
	case a.Running == target && a.Good == target && !a.Health.Trial:
		return confirmed
	case a.Running == target:
		return trying
	case a.Pending && a.Next == target:
		return booting
	}
	return fallenBack
}

// await waits until the box reports that the new slot is confirmed. The error
// says why that did not come.
func (o Options) await(ctx context.Context, r Result) error {
	end := o.Now().Add(o.Patience)
	o.Report.Start(r.Host, "reboot into slot "+r.Slot)
	last := errors.New("it still ran the old slot")
	for o.Now().Before(end) {
		if err := o.Pause(ctx, respite); err != nil {
			return err
		}
		a, err := o.slots(ctx, r.Host)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			last = err // it reboots
			continue
		}
		switch a.phase(r.Slot) {
		case confirmed:
			return nil
		case fallenBack:
			why := a.Health.LastTrial
			if why == "" {
				why = "it does not say why"
			}
			return fmt.Errorf("it fell back to slot %s, with release %s: %s\nhint: `tenchd slots` and `tenchd log` there say more",
				transfer.Plain(a.Running), r.Before, transfer.Plain(why))
		case trying:
			text := "slot " + r.Slot + " is on trial"
			if len(a.Health.Reasons) > 0 {
				text += ": " + transfer.Plain(strings.Join(a.Health.Reasons, "; "))
			}
			last = errors.New(text)
			o.Report.Start(r.Host, text)
		}
	}
	return fmt.Errorf("not healthy within %.0f min: %w\nhint: if it does not become so it falls back by itself; --wait waits longer", o.Patience.Minutes(), last)
}

// armed finds out whether a box that was sent the whole image has armed it: its
// line broke before it said so. A box that does not answer is taken to reboot
// into it, one that goes on running the old slot not to have come so far.
func (o Options) armed(ctx context.Context, r Result) bool {
	o.Report.Note(r.Host, "the line broke behind the last byte: looking whether the box has armed slot "+r.Slot)
	end, still := o.Now().Add(o.Patience), 0
	for still < attempts && o.Now().Before(end) && o.Pause(ctx, respite) == nil {
		a, err := o.slots(ctx, r.Host)
		if err != nil {
			continue
		}
		switch p := a.phase(r.Slot); {
		case p == trying, p == confirmed, p == booting && o.NoReboot:
			return true
		}
		still++ // it writes, or shuts down
	}
	return false
}

// lookTime bounds one look at a box that answers slowly. A line that falls silent,
// as of a box that goes down, ends sooner (internal/remote).
const lookTime = 2 * time.Minute

func (o Options) slots(ctx context.Context, host string) (slotsAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var a slotsAnswer
	line, err := o.Dial(ctx, host)
	if err != nil {
		return a, err
	}
	defer line.Close()
	err = ask(ctx, line, "slots --json", &a)
	return a, err
}
