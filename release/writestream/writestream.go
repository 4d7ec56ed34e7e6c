// Package writestream is the order of writes that brings an image onto a medium,
// as one stream of bytes: the desk makes it (build/flash), the installer on the
// box obeys it (supervisor/install), and what one of the two got wrong, the rules
// here refuse.
//
//	writestream.go  this map, the format, Header, Record
//	rules.go        what order of records is taken
//	encode.go       Encoder
//	decode.go       Decoder
//	request.go      Request: which stream a box asks for
//	receipt.go      Receipt: what was read back, as one hash
//
// # Format
//
// All numbers are big endian. A header:
//
//	0   8  "tenchws" and the version, 1
//	8   8  bytes of the medium that the stream was made for
//	16  8  bytes that all its writes together have, for the progress
//
// Then records, each with a head of 16 bytes:
//
//	0   1  kind
//	1   3  zero
//	4   4  bytes that are written
//	8   8  where, from the start of the medium
//
//	'D'  data: 32 bytes of SHA-256, then the bytes
//	'Z'  zeros, which are not sent
//	'S'  all before is on the medium before anything behind is written
//	'V'  the same, and all that was written since the last 'V' is read back
//	     from the medium and compared
//	'E'  the end: 32 bytes of SHA-256 over the header, all heads and all hashes
//	     before, this head included
//
// So each byte is hashed once where it arrives, and a stream that was cut short
// or put together otherwise has no end that fits. The stream tells of damage; who
// made it, it does not tell.
package writestream

import (
	"crypto/sha256"
	"errors"
)

const (
	// Sector is what all offsets and lengths are multiples of, in bytes.
	Sector = 512
	// MaxPiece is the most that one record writes, in bytes: what a box keeps in
	// memory.
	MaxPiece = 1 << 20
	// MaxUnverified is the most records that write between two that verify: what
	// a box remembers the hashes of.
	MaxUnverified = 1 << 16
	// MaxSize is the largest medium and the most bytes of a stream.
	MaxSize = 1 << 46
)

const (
	magic      = "tenchws\x01"
	headerSize = 24
	headSize   = 16
)

// Kind is what a record does.
type Kind byte

// The kinds. Zeros on the wire are a Write with bytes for who reads them.
const (
	Write  Kind = 'D'
	Sync   Kind = 'S'
	Verify Kind = 'V'
	End    Kind = 'E'

	zeros Kind = 'Z'
)

// Header is what a stream begins with.
type Header struct {
	Size  int64 // bytes of the medium
	Total int64 // bytes of all writes
}

// Record is one step.
type Record struct {
	Kind  Kind
	At    int64             // of a Write: where, in bytes
	Bytes []byte            // of a Write: what; valid until the next record
	Sum   [sha256.Size]byte // of a Write: its SHA-256
}

// ErrFormat is in the chain of errors about a stream that is none, is damaged,
// or orders something that is not taken.
var ErrFormat = errors.New("the write stream is damaged")

// ErrTooSmall is in the chain of errors about a medium that has no room for what a
// box asks for.
var ErrTooSmall = errors.New("there is no room for it")
