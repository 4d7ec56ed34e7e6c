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

// bytesFile is a file that we made.
func bytesFile(data []byte) File { return memory{bytes.NewReader(data)} }

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }
