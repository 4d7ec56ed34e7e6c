package writestream

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
)

// Encoder makes a stream.
type Encoder struct {
	w       io.Writer
	rules   rules
	chain   hash.Hash
	receipt *Receipt
}

// NewEncoder writes the header of a stream to w.
func NewEncoder(w io.Writer, h Header) (*Encoder, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	e := &Encoder{w: w, rules: rules{header: h}, chain: sha256.New(), receipt: NewReceipt()}
	return e, e.put(encodeHeader(h))
}

func encodeHeader(h Header) []byte {
	b := append(make([]byte, 0, headerSize), magic...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Size))
	return binary.BigEndian.AppendUint64(b, uint64(h.Total))
}

func encodeHead(k Kind, at int64, size int) []byte {
	b := append(make([]byte, 0, headSize), byte(k), 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	return binary.BigEndian.AppendUint64(b, uint64(at))
}

// put writes what the chain of hashes covers.
func (e *Encoder) put(b []byte) error {
	e.chain.Write(b)
	_, err := e.w.Write(b)
	return err
}

// Write orders the bytes b to be written at an offset of the medium.
func (e *Encoder) Write(at int64, b []byte) error {
	if err := e.rules.write(at, int64(len(b))); err != nil {
		return err
	}
	if err := e.rules.wrote(at, b); err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	e.receipt.Add(at, sum)
	if blank(b) {
		return e.put(encodeHead(zeros, at, len(b)))
	}
	if err := e.put(append(encodeHead(Write, at, len(b)), sum[:]...)); err != nil {
		return err
	}
	_, err := e.w.Write(b)
	return err
}

// Step orders a Sync or a Verify.
func (e *Encoder) Step(k Kind) error {
	if err := e.rules.step(k); err != nil {
		return err
	}
	return e.put(encodeHead(k, 0, 0))
}

// End ends the stream. The receipt is what the box shall answer.
func (e *Encoder) End() (receipt string, err error) {
	if err := e.Step(End); err != nil {
		return "", err
	}
	_, err = e.w.Write(e.chain.Sum(nil))
	return e.receipt.String(), err
}
