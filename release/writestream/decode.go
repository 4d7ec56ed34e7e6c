package writestream

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
)

// Decoder reads a stream. It keeps one piece in memory.
type Decoder struct {
	Header Header

	r     io.Reader
	rules rules
	chain hash.Hash
	buf   []byte
}

// NewDecoder reads the header of a stream.
func NewDecoder(r io.Reader) (*Decoder, error) {
	d := &Decoder{r: r, chain: sha256.New()}
	b, err := d.get(headerSize)
	if err != nil {
		return nil, err
	}
	if string(b[:len(magic)]) != magic {
		return nil, bad("it does not begin as one of this version")
	}
	size, total := binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
	if size > MaxSize || total > MaxSize {
		return nil, bad("a medium of %d bytes, %d to write", size, total)
	}
	d.Header = Header{Size: int64(size), Total: int64(total)}
	d.rules.header = d.Header
	return d, d.Header.check()
}

// get reads n bytes, at most headerSize or a hash, that the chain covers.
func (d *Decoder) get(n int) ([]byte, error) {
	b := make([]byte, n)
	if err := d.fill(b); err != nil {
		return nil, err
	}
	d.chain.Write(b)
	return b, nil
}

// fill reads until b is full. An end of what it reads from is none of a stream.
func (d *Decoder) fill(b []byte) error {
	_, err := io.ReadFull(d.r, b)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Next reads a record. After the one of kind End it returns io.EOF.
//
// The error has ErrFormat in its chain when the stream is at fault, and not the
// line.
func (d *Decoder) Next() (Record, error) {
	if d.rules.state == ended {
		return Record{}, io.EOF
	}
	head, err := d.get(headSize)
	if err != nil {
		return Record{}, err
	}
	kind, size, at := Kind(head[0]), binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint64(head[8:])
	if head[1]|head[2]|head[3] != 0 || at > MaxSize {
		return Record{}, bad("the head of a record is %x", head)
	}
	if kind == Write || kind == zeros {
		return d.write(kind, int64(at), int64(size))
	}
	if at != 0 || size != 0 {
		return Record{}, bad("the head of a record is %x", head)
	}
	if err := d.rules.step(kind); err != nil {
		return Record{}, err
	}
	if kind == End {
		want := [sha256.Size]byte(d.chain.Sum(nil))
		var got [sha256.Size]byte
		if err := d.fill(got[:]); err != nil {
			return Record{}, err
		}
		if got != want {
			return Record{}, bad("its end is of another one")
		}
	}
	return Record{Kind: kind}, nil
}

func (d *Decoder) write(kind Kind, at, size int64) (Record, error) {
	if err := d.rules.write(at, size); err != nil {
		return Record{}, err
	}
	if int64(len(d.buf)) < size {
		d.buf = make([]byte, size)
	}
	r := Record{Kind: Write, At: at, Bytes: d.buf[:size]}
	if kind == zeros {
		clear(r.Bytes)
		r.Sum = sha256.Sum256(r.Bytes)
		return r, d.rules.wrote(at, r.Bytes)
	}
	sum, err := d.get(sha256.Size)
	if err != nil {
		return Record{}, err
	}
	if err := d.fill(r.Bytes); err != nil {
		return Record{}, err
	}
	if r.Sum = sha256.Sum256(r.Bytes); r.Sum != [sha256.Size]byte(sum) {
		return Record{}, bad("the piece at %d has another hash than it tells of", at)
	}
	return r, d.rules.wrote(at, r.Bytes)
}
