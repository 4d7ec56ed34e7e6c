package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tench/release/slotimage"
	"tench/release/transfer"
	"tench/supervisor/health"
)

const (
	// lineSilence is a little more than it takes the door until a line that is
	// silent counts as broken, and what ran over it ends.
	lineSilence = 150 * time.Second
	lookAgain   = 5 * time.Second
)

// maxAsked bounds how often a desk may have the line measured or slots hashed.
const maxAsked = 64

// Serve takes an update over a stream, as release/transfer describes it. The
// desk is told of everything, the error included; reboot says whether the
// caller reboots the box once Serve returned without one.
func (u *Updater) Serve(ctx context.Context, in io.Reader, out io.Writer, reboot bool) error {
	conn := transfer.NewConn(in, out)
	told := u.Step
	u.Step = func(text string, done, total int64) {
		told(text, done, total)
		// A line that broke is noticed by whoever reads from it.
		_ = conn.Send(transfer.StepMessage(transfer.StepBody{Text: text, Done: done, Total: total}))
	}
	defer func() { u.Step = told }()
	done, err := u.serve(ctx, conn)
	if errors.Is(err, transfer.ErrLine) {
		return err // the desk does not hear it, or is to try again
	}
	if err != nil {
		_ = conn.Send(transfer.FailMessage(err)) // the log has it, too
		return err
	}
	done.Reboot = reboot
	// The slot is armed: a line that broke in the meantime changes nothing.
	_ = conn.Send(transfer.DoneMessage(done))
	return nil
}

func (u *Updater) serve(ctx context.Context, conn *transfer.Conn) (transfer.DoneBody, error) {
	fail := func(err error) (transfer.DoneBody, error) { return transfer.DoneBody{}, err }
	hello, err := u.hello()
	if err != nil {
		return fail(err)
	}
	if err := conn.Send(transfer.HelloMessage(hello)); err != nil {
		return fail(err)
	}
	m, err := conn.Expect(transfer.Offer)
	if err != nil {
		return fail(err)
	}
	offer, err := transfer.ParseOffer(m)
	if err != nil {
		return fail(err)
	}
	j, err := u.await(ctx, slotimage.Ticket(offer.Ticket))
	if err != nil {
		return fail(err)
	}
	defer j.Close()
	if size := j.device.Size(); offer.Size > size {
		return fail(fmt.Errorf("update: the image has %d bytes, and slot %s has %d\nhint: this disk was flashed with smaller slots; flash it anew", offer.Size, j.target, size))
	}
	if err := conn.Send(transfer.Message{Kind: transfer.Accept}); err != nil {
		return fail(err)
	}
	src := &transfer.Image{Conn: conn, Size: offer.Size, Running: j.running, Target: j.device}
	if src.First, err = j.questions(conn, offer.Size); err != nil {
		return fail(err)
	}
	info, err := j.Install(ctx, src)
	return transfer.DoneBody{Slot: j.target, Release: info.Release, Epoch: info.Epoch}, err
}

// await is Begin, once the update before has ended: the line of that one may have
// broken, as the desk knows, which goes on over a new one, and the box not yet.
func (u *Updater) await(ctx context.Context, ticket slotimage.Ticket) (*Job, error) {
	for waited := time.Duration(0); ; waited += lookAgain {
		j, err := u.Begin(ticket)
		if !errors.Is(err, errBusy) || waited >= lineSilence {
			return j, err
		}
		u.Step("wait for another update to end", 0, 0)
		if err := u.Wait(ctx, lookAgain); err != nil {
			return nil, fmt.Errorf("update: %w", err)
		}
	}
}

// Unwell lists what keeps this box from being healthy now. As long as that
// lasts, no slot that is tried is confirmed.
func (u *Updater) Unwell() ([]string, error) {
	n, err := health.ReadNote(u.Run)
	return n.Reasons, err
}

// hello is what this box says of itself.
func (u *Updater) hello() (transfer.HelloBody, error) {
	h := transfer.HelloBody{Version: transfer.Version, Board: u.Board, Running: u.Slots.Running(),
		Release: u.Release, Epoch: u.Epoch, Least: u.least(), Partial: u.partial()}
	var err error
	if h.Target, err = u.target(); err != nil {
		return h, err
	}
	if h.Unwell, err = u.Unwell(); err != nil {
		u.Log("update: %v", err) // the update need not wait for that
	}
	for _, key := range u.keys() {
		h.Keys = append(h.Keys, string(key.Marshal()))
	}
	d, err := u.open(h.Target, false)
	if err != nil {
		return h, err
	}
	h.Size = d.Size()
	return h, d.Close()
}

// questions answers what the desk wants to know before it sends the image, and
// returns the image's first message.
func (j *Job) questions(conn *transfer.Conn, size int64) (transfer.Message, error) {
	for range maxAsked {
		m, err := conn.Receive()
		if err != nil {
			return m, err
		}
		switch m.Kind {
		case transfer.Probe:
			err = conn.Send(transfer.Message{Kind: transfer.Pong})
		case transfer.Ask:
			err = j.sums(conn, string(m.Body), size)
		default:
			return m, nil
		}
		if err != nil {
			return m, err
		}
	}
	return transfer.Message{}, fmt.Errorf("update: the desk asked more than %d questions", maxAsked)
}

// sums sends the hashes of a slot: of the one that runs as far as it is used, of
// the other as far as the image will go.
func (j *Job) sums(conn *transfer.Conn, slot string, size int64) error {
	d, n := j.device, size
	switch slot {
	case j.target:
	case j.u.Slots.Running():
		d, n = j.running, j.used()
	default:
		return fmt.Errorf("update: there is no slot %q", slot)
	}
	j.u.Step("hash the blocks of slot "+slot, 0, 0)
	return conn.SendSums(io.NewSectionReader(d, 0, d.Size()), min(n, d.Size()/block*block))
}

// used is how much of the slot that runs its image takes, in whole blocks. What
// cannot be read has nothing to copy from.
func (j *Job) used() int64 {
	_, info, err := slotimage.ReadHead(io.NewSectionReader(j.running, 0, j.running.Size()))
	if err != nil {
		j.u.Log("slot %s: %v: all of the update must be sent", j.u.Slots.Running(), err)
		return 0
	}
	return (info.End + block - 1) / block * block
}
