package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Output is where what a command writes goes.
type Output struct {
	Stdout io.Writer // nil drops it
	Stderr io.Writer // nil: its last words become part of the error
}

// ExitError is a command that ran and was not content.
type ExitError struct {
	Status int    // 1 to 255; 0 if a signal ended it
	Signal string // e.g. "KILL"; "" if it exited
	Words  string // what it wrote to standard error, if nobody else heard it
}

func (e *ExitError) Error() string {
	if e.Words != "" {
		return e.Words
	}
	if e.Signal != "" {
		return "ended there by signal " + e.Signal
	}
	return fmt.Sprintf("ended there with status %d", e.Status)
}

// Run runs a command on the host until it ends; nil stdin is an empty one. The
// error of a command that ran is an *ExitError. When ctx ends, the command is
// sent SIGTERM and left; out may then be written to for a moment longer.
func (c *Client) Run(ctx context.Context, command string, stdin io.Reader, out Output) error {
	s, err := c.ssh.NewSession()
	if err != nil {
		return fmt.Errorf("ssh: open session: %w", c.Cause(err))
	}
	defer s.Close()
	var words tail
	s.Stdout, s.Stderr = out.Stdout, out.Stderr
	if out.Stderr == nil {
		s.Stderr = &words
	}
	in, err := s.StdinPipe()
	if err != nil {
		return fmt.Errorf("ssh: open session: %w", err)
	}
	if err := s.Start(command); err != nil {
		return fmt.Errorf("ssh: start command: %w", c.Cause(err))
	}
	unread, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		if err := feed(in, stdin); err != nil {
			unread <- err
		}
	}()
	go func() { ended <- s.Wait() }()
	// A host need not answer when it is left, so nothing waits for it.
	select {
	case err := <-ended:
		return c.ended(err, words.String())
	case err := <-unread:
		return fmt.Errorf("read what to send: %w", err)
	case <-ctx.Done():
		_ = s.Signal(ssh.SIGTERM)
		return ctx.Err()
	}
}

// feed sends what it reads and then closes. Its error is one of reading: a
// command that ends early takes no more, which is its own affair.
func feed(in io.WriteCloser, from io.Reader) error {
	defer in.Close()
	if from == nil {
		return nil
	}
	r := &reader{Reader: from}
	_, _ = io.Copy(in, r)
	return r.err
}

// reader remembers its error.
type reader struct {
	io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// ended tells how a command ended.
func (c *Client) ended(err error, words string) error {
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch cause := c.Cause(err); {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		e := &ExitError{Status: exit.ExitStatus(), Signal: Plain(exit.Signal()), Words: words}
		if e.Signal != "" {
			e.Status = 0
		}
		return e
	case errors.As(err, &missing) && cause == err:
		return errors.New("the connection was lost before the command ended")
	default:
		return fmt.Errorf("ssh: run command: %w", cause)
	}
}

// maxWords bounds what is kept of standard error, in bytes.
const maxWords = 4 << 10

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - maxWords; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// String is the text, fit for a terminal.
func (t *tail) String() string {
	return strings.TrimSpace(Plain(string(t.text)))
}

// Plain is a text of a host without what would steer a terminal: the host may be
// anybody's by now.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '\ufffd'
		}
		return r
	}, text)
}
