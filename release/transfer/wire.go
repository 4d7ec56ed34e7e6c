package transfer

import (
	"encoding/binary"
	"fmt"
)

// Message is one message. On the wire it is its kind, the length of its body
// as 32 bits in network order, and the body.
type Message struct {
	Kind Kind
	Body []byte
}

const headerSize = 5

// Append appends the message's bytes to dst.
func (m Message) Append(dst []byte) []byte {
	dst = append(dst, byte(m.Kind))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(m.Body)))
	return append(dst, m.Body...)
}

// parseHeader reads a header: which kind of message, how many bytes follow.
func parseHeader(b [headerSize]byte) (Kind, int, error) {
	kind, n := Kind(b[0]), binary.BigEndian.Uint32(b[1:])
	limit, known := limits[kind]
	if !known {
		return 0, 0, fmt.Errorf("transfer: message of kind %q, which is not known\nhint: are both sides of the same release, and does nothing else print on this line?", b[0])
	}
	if int64(n) > int64(limit) {
		return 0, 0, fmt.Errorf("transfer: message of kind %q with %d bytes, more than %d", b[0], n, limit)
	}
	return kind, int(n), nil
}

// Range is blocks of a slot; a block has slotimage.BlockSize bytes.
type Range struct{ First, Count int }

const rangeSize = 8

func (r Range) message(kind Kind) Message {
	b := binary.BigEndian.AppendUint32(nil, uint32(r.First))
	return Message{kind, binary.BigEndian.AppendUint32(b, uint32(r.Count))}
}

// parseRange reads the body of Copy, Keep and Zero. What it returns lies within
// the largest slot.
func parseRange(body []byte) (Range, error) {
	if len(body) != rangeSize {
		return Range{}, fmt.Errorf("transfer: range of %d bytes, want %d", len(body), rangeSize)
	}
	first, count := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
	if count == 0 || first > maxBlock || count > maxBlock-first {
		return Range{}, fmt.Errorf("transfer: range of %d blocks from %d, beyond %d", count, first, maxBlock)
	}
	return Range{int(first), int(count)}, nil
}
