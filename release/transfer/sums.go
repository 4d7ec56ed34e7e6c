package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"tench/release/slotimage"
)

const blockSize = slotimage.BlockSize

// Sum is the hash of a block: a weak one that can be rolled over an image byte
// by byte, and the first bytes of SHA-256 for where the weak one matches. Two
// blocks taken for one only cost a try: the hash of the whole image tells.
type Sum struct {
	Weak   uint32
	Strong [8]byte
}

const sumSize = 12

// sumOf is the sum of a block.
func sumOf(block []byte) Sum {
	return Sum{Weak: newRolling(block).sum(), Strong: strong(block)}
}

func strong(block []byte) [8]byte {
	sum := sha256.Sum256(block)
	return [8]byte(sum[:8])
}

// rolling is the checksum of Tridgell's "Efficient Algorithms for Sorting and
// Synchronization" (1999), section 3.2: two sums of 16 bits.
type rolling struct{ a, b uint32 }

func newRolling(block []byte) rolling {
	var r rolling
	for i, c := range block {
		r.a += uint32(c)
		r.b += uint32(len(block)-i) * uint32(c)
	}
	return r
}

// roll moves a window of blockSize bytes one byte on.
func (r *rolling) roll(out, in byte) {
	r.a += uint32(in) - uint32(out)
	r.b += r.a - blockSize*uint32(out)
}

func (r rolling) sum() uint32 { return r.a&0xffff | r.b<<16 }

// SendSums answers Ask with the hashes of the first size bytes of a slot.
func (c *Conn) SendSums(slot io.Reader, size int64) error {
	block, body := make([]byte, blockSize), []byte(nil)
	for done := int64(0); done < size; done += blockSize {
		if _, err := io.ReadFull(slot, block); err != nil {
			return fmt.Errorf("transfer: hash blocks: %w", err)
		}
		sum := sumOf(block)
		body = append(binary.BigEndian.AppendUint32(body, sum.Weak), sum.Strong[:]...)
		if len(body)+sumSize > limits[Sums] {
			if err := c.Send(Message{Sums, body}); err != nil {
				return err
			}
			body = nil
		}
	}
	if len(body) > 0 {
		if err := c.put(Message{Sums, body}); err != nil {
			return err
		}
	}
	return c.Send(Message{Kind: Sums})
}

// AppendSums reads the body of Sums, of which an empty one ends the answer to Ask.
func AppendSums(list []Sum, body []byte) ([]Sum, error) {
	if len(body)%sumSize != 0 {
		return nil, fmt.Errorf("transfer: hashes of %d bytes, not whole ones of %d", len(body), sumSize)
	}
	if len(list)+len(body)/sumSize > maxBlock {
		return nil, errors.New("transfer: more hashes than a slot has blocks")
	}
	for ; len(body) > 0; body = body[sumSize:] {
		list = append(list, Sum{binary.BigEndian.Uint32(body), [8]byte(body[4:sumSize])})
	}
	return list, nil
}
