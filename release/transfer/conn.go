package transfer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Conn sends and receives messages. One goroutine may send while another one
// receives.
type Conn struct {
	r *bufio.Reader
	w *bufio.Writer
}

// NewConn speaks over the two directions of a line.
func NewConn(r io.Reader, w io.Writer) *Conn {
	return &Conn{r: bufio.NewReaderSize(r, chunk), w: bufio.NewWriterSize(w, chunk)}
}

// ErrFailed is in the error of a message Fail: the other side gave up, and said
// why.
var ErrFailed = errors.New("refused")

// ErrLine is in the error of a line that ended or broke: a new one goes on.
var ErrLine = errors.New("the line broke")

// failure is what the other side said.
type failure struct{ text string }

func (f failure) Error() string        { return f.text }
func (f failure) Is(target error) bool { return target == ErrFailed }

// Send sends a message at once.
func (c *Conn) Send(m Message) error {
	if err := c.put(m); err != nil {
		return err
	}
	return c.flush()
}

// put sends a message with those that follow.
func (c *Conn) put(m Message) error {
	_, err := c.w.Write(m.Append(nil))
	return lineError(err)
}

func (c *Conn) flush() error { return lineError(c.w.Flush()) }

func lineError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("transfer: %w: it ended", ErrLine)
	}
	return fmt.Errorf("transfer: %w: %w", ErrLine, err)
}

// Receive waits for the next message. The body is the caller's. A message Fail
// is an error that is ErrFailed.
func (c *Conn) Receive() (Message, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(c.r, header[:]); err != nil {
		return Message{}, lineError(err)
	}
	kind, n, err := parseHeader(header)
	if err != nil {
		return Message{}, err
	}
	m := Message{Kind: kind, Body: make([]byte, n)}
	if _, err := io.ReadFull(c.r, m.Body); err != nil {
		return Message{}, lineError(err)
	}
	if kind == Fail {
		return Message{}, failure{Plain(string(m.Body))}
	}
	return m, nil
}

// Expect receives a message that must be of a kind.
func (c *Conn) Expect(kind Kind) (Message, error) {
	m, err := c.Receive()
	if err == nil && m.Kind != kind {
		err = fmt.Errorf("transfer: message of kind %q where %q was due", byte(m.Kind), byte(kind))
	}
	return m, err
}

// Plain is a text of the other side without what would steer a terminal.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0) {
			return '?'
		}
		return r
	}, text)
}
