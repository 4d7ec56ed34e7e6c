package install

import (
	"context"
	"errors"
	"io"
)

// maxResumes is how often in a row the rest of a stream is asked for, with nothing
// of it coming, before it is given up: some five minutes.
const maxResumes = 20

// errAnother is why a stream cannot be taken up: half of one and half of another
// would be neither.
var errAnother = errors.New("the server has another image by now")

// resumed is the server's stream. Where the line breaks it is taken up behind the
// last byte that came, if the server has the same stream still; who reads it sees
// no more than that it takes longer. What comes is checked as ever: each piece has
// its hash, the end has one of the whole, and all is read back from the disk.
type resumed struct {
	i    *Installer
	ctx  context.Context
	what string

	answer Answer
	tag    string
	at     int64 // bytes that came
	tries  int   // since the last one came
}

// open asks for the stream from its start.
func (s *resumed) open() (err error) {
	s.answer, err = s.i.Server.Get(s.ctx, s.what, 0, "")
	s.tag = s.answer.Tag
	return err
}

// Read implements io.Reader. Nobody reads on behind the end of a write stream: any
// end is a line that broke.
func (s *resumed) Read(p []byte) (int, error) {
	for {
		n, err := s.answer.Read(p)
		if n > 0 {
			s.at, s.tries = s.at+int64(n), 0
			return n, nil // an error comes again
		}
		if err == nil || s.tag == "" || s.at == 0 || s.ctx.Err() != nil {
			return 0, err
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err := s.takeUp(err); err != nil {
			return 0, err
		}
	}
}

// takeUp asks for the rest until it comes.
func (s *resumed) takeUp(cause error) error {
	_ = s.answer.Close() // it is broken
	for ; s.tries < maxResumes; s.tries++ {
		pause := patience(s.tries)
		s.i.say("the line broke (%v); the image is taken up behind its first %s in %v", cause, size(s.at), pause)
		if err := s.i.Wait(s.ctx, pause); err != nil {
			return err
		}
		a, err := s.i.Server.Get(s.ctx, s.what, s.at, s.tag)
		switch {
		case err == nil && a.At == s.at:
			s.answer = a
			s.tries++
			return nil
		case err == nil:
			_ = a.Close()
			return errAnother
		case final(err) || s.ctx.Err() != nil:
			return err
		}
		cause = err
	}
	return cause
}

// Close ends the stream.
func (s *resumed) Close() error { return s.answer.Close() }
