package view

import (
	"bytes"
	"io"
)

// File is a file on its way to a box; TFTP and HTTP read it from any place.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Bytes is a file that is in memory.
func Bytes(data []byte) File { return memory{bytes.NewReader(data)} }

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }
