package rollout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"tench/internal/remote"
	"tench/release/signify"
	"tench/release/transfer"
)

// session is one conversation with a box.
type session struct {
	o       Options
	host    string
	conn    *transfer.Conn
	heard   chan hearing
	hello   transfer.HelloBody
	image   Image
	done    transfer.DoneBody
	sent    int64       // bytes of the image
	whole   bool        // all of it was sent: the box may have armed the slot
	begun   bool        // the box writes the image: what was armed before is no more
	sending atomic.Bool // the desk's own progress is on the screen
}

// hearing is a message of the box, or why there is none; that is the last.
type hearing struct {
	transfer.Message
	err error
}

// listen hears all that the box says, so that neither side waits for the other
// to listen first.
func (s *session) listen(from io.Closer) {
	defer close(s.heard)
	defer from.Close() // what comes after garbage is not waited for
	for {
		m, err := s.conn.Receive()
		s.heard <- hearing{m, err}
		if err != nil {
			return
		}
	}
}

// refusal is an error that no new try mends: of the desk itself, or of the box,
// which said why.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// older is the refusal of a release that is older than what was confirmed on a
// box. A person may take it all the same.
type older struct{ release, running string }

func (e older) Error() string {
	return e.what() + "\nhint: --allow-downgrade sends it all the same"
}

func (e older) what() string {
	return fmt.Sprintf("release %s is older than the newest that was confirmed on the box, which runs %s", e.release, e.running)
}

// converse updates the box at the other end of a line. The session tells how far
// it came.
func converse(ctx context.Context, o Options, host string, line Line) (*session, error) {
	fromBox, boxOut := io.Pipe()
	boxIn, toBox := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := line.Run(ctx, command(o), boxIn, boxOut)
		boxOut.Close() // whoever waits for the box, or writes to it, waits no more
		boxIn.Close()
		ended <- err
	}()
	s := &session{o: o, host: host, conn: transfer.NewConn(fromBox, toBox), heard: make(chan hearing, 16)}
	go s.listen(fromBox)
	err := s.run(ctx)
	toBox.Close()
	var no refusal // what the box said last is the better reason
	for h := range s.heard {
		if errors.Is(h.err, transfer.ErrFailed) && err != nil && !errors.As(err, &no) {
			err = refusal{h.err}
		}
	}
	runErr := <-ended
	var exit *remote.ExitError
	switch {
	case err == nil, errors.As(err, &no), s.hello.Version != 0:
		return s, err
	case errors.As(runErr, &exit) && exit.Signal == "": // it was no conversation
		return s, refusal{fmt.Errorf("run tenchd update there: %w", exit)}
	case runErr != nil && !errors.Is(runErr, context.Canceled):
		return s, fmt.Errorf("run tenchd update there: %w", runErr)
	}
	return s, err
}

func command(o Options) string {
	words := "update -"
	if o.Downgrade {
		words += " --allow-downgrade"
	}
	if o.NoReboot {
		words += " --no-reboot"
	}
	return words
}

func (s *session) run(ctx context.Context) error {
	m, err := s.expect(transfer.Hello)
	if err != nil {
		return err
	}
	if s.hello, err = transfer.ParseHello(m); err != nil {
		return refusal{err}
	}
	if s.image, err = s.o.Source.Load(s.hello.Board); err != nil {
		return refusal{err}
	}
	if err := s.check(); err != nil {
		return refusal{err}
	}
	if err := s.conn.Send(transfer.OfferMessage(transfer.OfferBody{Ticket: string(s.image.Ticket), Size: int64(len(s.image.Data))})); err != nil {
		return err
	}
	if _, err := s.expect(transfer.Accept); err != nil {
		return err
	}
	ops, err := s.choose()
	if err != nil {
		return err
	}
	return s.send(ctx, ops)
}

// check refuses what the box would refuse, before anything is sent.
func (s *session) check() error {
	var keys []signify.PublicKey
	for _, text := range s.hello.Keys {
		key, err := signify.ParsePublicKey([]byte(text))
		if err != nil {
			return fmt.Errorf("the box's key: %w", err)
		}
		keys = append(keys, key)
	}
	if _, err := s.image.Ticket.Verify(s.hello.Board, keys); err != nil {
		return err
	}
	if n := max(int64(len(s.image.Data)), s.image.Info.End); n > s.hello.Size {
		return fmt.Errorf("the image has %d bytes, and slot %s of the box %d\nhint: its disk was flashed with smaller slots; flash it anew", n, s.hello.Target, s.hello.Size)
	}
	if info := s.image.Info; info.Epoch < s.hello.Least && !s.o.Downgrade {
		return older{info.Release, s.hello.Release}
	}
	return nil
}

// expect waits for a message and shows what the box does meanwhile.
func (s *session) expect(kind transfer.Kind) (transfer.Message, error) {
	for {
		h, open := <-s.heard
		m := h.Message
		switch {
		case !open:
			return m, transfer.ErrLine
		case errors.Is(h.err, transfer.ErrFailed):
			return m, refusal{h.err}
		case h.err != nil || m.Kind == kind:
			return m, h.err
		case m.Kind != transfer.Step:
			return m, fmt.Errorf("transfer: message of kind %q where %q was due", byte(m.Kind), byte(kind))
		}
		step, err := transfer.ParseStep(m)
		if err != nil {
			return m, err
		}
		if kind == transfer.Done {
			s.begun = true // the first step after the offer is the wipe of the slot
		}
		if s.sending.Load() {
			continue // it would only repeat the desk's own
		}
		s.o.Report.Start(s.host, step.Text)
		s.o.Report.Progress(step.Done, step.Total)
	}
}

// send sends the image, and listens meanwhile: a box that nobody listens to
// would stop in the middle.
func (s *session) send(ctx context.Context, ops []transfer.Op) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.o.Report.Start(s.host, fmt.Sprintf("send release %s to slot %s", s.image.Info.Release, s.hello.Target))
	s.sending.Store(true)
	answer := make(chan error, 1)
	go func() {
		m, err := s.expect(transfer.Done)
		if err == nil {
			s.done, err = transfer.ParseDone(m)
		}
		cancel() // a box that refuses takes no more
		answer <- err
	}()
	cost := transfer.Cost(ops)
	sendErr := s.conn.SendImage(ctx, s.image.Data, ops, func(sent int64) {
		s.sent = sent
		s.o.Report.Progress(sent, cost)
	})
	s.sending.Store(false)
	s.whole = sendErr == nil
	// Where sending failed the line has ended, and with it the listening: what
	// the box said last is the better reason.
	if err := <-answer; err != nil {
		return err
	}
	return sendErr
}
