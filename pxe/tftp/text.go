package tftp

import (
	"bytes"
	"errors"
	"io"

	pin "github.com/pin/tftp/v3/netascii"
)

// maxText bounds what is sent as netascii, in bytes: the size after the coding
// has to be known before the first block, so the text is held in memory, up to
// allTransfers of them. Texts that loaders read are a few KiB.
const maxText = 64 << 10

var errNotText = errors.New("too large for netascii: ask in octet mode")

// memory is a File that is in memory.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// netascii is file in the coding of RFC 764 that TFTP's text mode has: lines end
// with CR LF.
func netascii(file File) (File, error) {
	if file.Size() > maxText {
		return nil, errNotText
	}
	text, err := io.ReadAll(pin.ToReader(io.NewSectionReader(file, 0, file.Size())))
	if err != nil {
		return nil, err
	}
	return memory{bytes.NewReader(text)}, nil
}
