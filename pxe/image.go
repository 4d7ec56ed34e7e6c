package pxe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"tench/pxe/track"
	"tench/pxe/web"
	"tench/release/writestream"
)

// Image makes the image of one box ready, which must still be the one that was
// armed.
func (c *content) Image(ctx context.Context, i track.Install, r writestream.Request) (web.Image, error) {
	product, err := c.s.product(i.Order)
	if err != nil {
		return nil, &web.Refusal{Text: oneLine(err)}
	}
	box, listed := c.s.inventory().ByName(i.Name)
	if !listed && i.Name != "" {
		return nil, &web.Refusal{Text: fmt.Sprintf("pxe: %s was armed, and is not in boxes.toml any more: arm the box by its new name", i.Name)}
	}
	stream, err := c.s.o.Image(ctx, Image{Product: product, Box: box, Request: r, Seed: seedOf(i.Token)})
	if err != nil {
		return nil, err
	}
	m, err := c.measure(ctx, i, stream)
	if err != nil {
		_ = stream.Close() // why there is none says more
		return nil, err
	}
	return m, nil
}

// seedOf is what an arming has for seed: a box whose line broke gets the rest of
// the same stream, also from a server that was started anew.
func seedOf(token string) [32]byte { return sha256.Sum256([]byte("tench write stream " + token)) }

// measure makes the whole stream once, to know its bytes before the first is sent.
func (c *content) measure(ctx context.Context, i track.Install, stream Stream) (*measured, error) {
	sum, size := sha256.New(), counter(0)
	_, err := stream.Send(ctx, io.MultiWriter(sum, &size))
	if errors.Is(err, writestream.ErrTooSmall) {
		return nil, &web.Refusal{Text: oneLine(err)} // to ask again helps nothing
	}
	if err != nil {
		return nil, err
	}
	return &measured{Stream: stream, c: c, token: i.Token, size: int64(size), tag: hex.EncodeToString(sum.Sum(nil))}, nil
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(data []byte) (int, error) {
	*c += counter(len(data))
	return len(data), nil
}

// measured is a stream whose length and hash are known. It is a web.Image.
type measured struct {
	Stream
	c     *content
	token string
	size  int64
	tag   string
}

func (m *measured) Size() int64 { return m.size }

func (m *measured) Tag() string { return m.tag }

// Send sends the stream, and keeps its receipt once it is sent.
func (m *measured) Send(ctx context.Context, w io.Writer) error {
	m.c.keep(m.token, "")
	receipt, err := m.Stream.Send(ctx, w)
	if err == nil {
		m.c.keep(m.token, receipt)
	}
	return err
}
