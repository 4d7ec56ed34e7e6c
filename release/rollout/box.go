package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// attempts is how often in a row a line may break without that more of the image
	// has arrived.
	attempts = 5
	// respite is the pause after a line that broke, and between two looks at a box
	// that reboots.
	respite = 5 * time.Second
)

// one updates one box.
func (o Options) one(ctx context.Context, host string) Result {
	began := o.Now()
	r := Result{Host: host, State: Failed}
	err := o.deliver(ctx, &r)
	switch {
	case err != nil:
	case o.NoReboot:
		r.State = Armed
		o.Report.Note(host, fmt.Sprintf("slot %s has release %s; the next boot tries it", r.Slot, r.Release))
	default:
		err = o.await(ctx, r)
		switch {
		case err == nil:
			r.State = Healthy
			o.Report.Note(host, fmt.Sprintf("healthy: slot %s with release %s is confirmed", r.Slot, r.Release))
		case errors.Is(err, context.Canceled): // the box goes on alone
			r.State = Armed
			o.Report.Note(host, fmt.Sprintf("slot %s has release %s, and the box tries it by itself: `tenchd slots` there says how it ends", r.Slot, r.Release))
		}
	}
	r.Seconds = o.Now().Sub(began).Seconds()
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// deliver brings the image into the box's slot, through lines that break.
func (o Options) deliver(ctx context.Context, r *Result) error {
	reached, arrived := false, int64(0)
	var no refusal
	var old older
	for try := 1; ; try++ {
		o.Report.Start(r.Host, "connect")
		line, err := o.Dial(ctx, r.Host)
		if err == nil {
			reached = true
			var s *session
			s, err = converse(ctx, o, r.Host, line)
			line.Close()
			r.note(s)
			if err != nil && s.begun && s.whole && ctx.Err() == nil && !errors.As(err, &no) && o.armed(ctx, *r) {
				return nil
			}
			if there := s.hello.Partial; there.SHA256 == s.image.SHA256 && there.Bytes > arrived {
				try, arrived = 1, there.Bytes
			}
		}
		switch {
		case err == nil:
			return nil
		case errors.As(err, &old) && o.AskDowngrade != nil:
			yes, askErr := o.AskDowngrade(ctx, r.Host, old.what())
			if askErr != nil || !yes {
				return errors.Join(err, askErr)
			}
			o.Downgrade, try = true, 0
			continue
		case errors.As(err, &no), ctx.Err() != nil, !reached:
			return err
		case try >= attempts:
			return fmt.Errorf("%w\nhint: the same command goes on where this one stopped", err)
		}
		o.Report.Note(r.Host, fmt.Sprintf("%v; going on in %.0f s", err, respite.Seconds()))
		if err := o.Pause(ctx, respite); err != nil {
			return err
		}
	}
}

// note keeps what a conversation told.
func (r *Result) note(s *session) {
	r.Sent += s.sent
	if s.hello.Version != 0 {
		r.Board, r.Before, r.Slot = s.hello.Board, s.hello.Release, s.hello.Target
	}
	if s.image.Data != nil {
		r.Release = s.image.Info.Release
	}
}
