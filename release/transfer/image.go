package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// SendImage sends the image by its ops. progress is told of the bytes that went
// into the line; it may be nil.
func (c *Conn) SendImage(ctx context.Context, image []byte, ops []Op, progress func(sent int64)) error {
	sent := int64(0)
	send := func(m Message) error {
		if err := errors.Join(ctx.Err(), c.put(m)); err != nil {
			return err
		}
		sent += int64(headerSize + len(m.Body))
		if progress != nil {
			progress(sent)
		}
		return nil
	}
	for _, op := range ops {
		if op.Kind != Data {
			if err := send(Range{op.First, op.Length / blockSize}.message(op.Kind)); err != nil {
				return err
			}
			continue
		}
		for data := image[op.Offset : op.Offset+op.Length]; len(data) > 0; {
			n := min(len(data), chunk)
			if err := send(Message{Data, data[:n]}); err != nil {
				return err
			}
			data = data[n:]
		}
	}
	if err := send(Message{Kind: End}); err != nil {
		return err
	}
	return c.flush()
}

// Image reads the image that the other side sends: exactly size bytes, of which
// those it does not send come from the two slots.
type Image struct {
	Conn            *Conn
	Size            int64
	Running, Target io.ReaderAt
	First           Message // of the image, received already; its zero value: none

	at      int64     // how much was read
	part    io.Reader // the rest of the message
	partEnd int64     // at, when part ends
	ended   bool
}

// Read implements io.Reader.
func (i *Image) Read(p []byte) (int, error) {
	for i.part == nil {
		if i.ended {
			return 0, io.EOF
		}
		if err := i.next(); err != nil {
			return 0, err
		}
	}
	n, err := i.part.Read(p)
	i.at += int64(n)
	switch {
	case i.at == i.partEnd:
		i.part, err = nil, nil
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("transfer: blocks beyond the end of the slot")
	}
	return n, err
}

// next takes a message.
func (i *Image) next() error {
	m := i.First
	if i.First = (Message{}); m.Kind == 0 {
		var err error
		if m, err = i.Conn.Receive(); err != nil {
			return err
		}
	}
	switch m.Kind {
	case Data:
		if len(m.Body) == 0 {
			return errors.New("transfer: data of no bytes")
		}
		return i.take(bytes.NewReader(m.Body), int64(len(m.Body)))
	case Copy, Keep, Zero:
		r, err := parseRange(m.Body)
		if err != nil {
			return err
		}
		return i.takeRange(m.Kind, r)
	case End:
		if i.at != i.Size {
			return fmt.Errorf("transfer: the image ends after %d of %d bytes", i.at, i.Size)
		}
		i.ended = true
		return nil
	}
	return fmt.Errorf("transfer: message of kind %q within the image", byte(m.Kind))
}

func (i *Image) takeRange(kind Kind, r Range) error {
	n := int64(r.Count) * blockSize
	switch kind {
	case Zero:
		return i.take(io.LimitReader(zeros{}, n), n)
	case Copy:
		return i.take(io.NewSectionReader(i.Running, int64(r.First)*blockSize, n), n)
	}
	// Blocks that are kept lie where the image has them.
	return i.take(io.NewSectionReader(i.Target, i.at, n), n)
}

// take makes r the source of the next n bytes.
func (i *Image) take(r io.Reader, n int64) error {
	if n > i.Size-i.at {
		return fmt.Errorf("transfer: the image is longer than the %d bytes that were offered", i.Size)
	}
	i.part, i.partEnd = r, i.at+n
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
