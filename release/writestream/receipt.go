package writestream

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// Receipt is one hash over what a stream's writes left on the medium: SHA-256
// over place and SHA-256 of each, in their order. The desk makes it from what it
// sends, the box from what it reads back.
type Receipt struct{ hash hash.Hash }

// NewReceipt begins a receipt.
func NewReceipt() *Receipt { return &Receipt{sha256.New()} }

// Add adds a piece at an offset of the medium.
func (r *Receipt) Add(at int64, sum [sha256.Size]byte) {
	r.hash.Write(binary.BigEndian.AppendUint64(nil, uint64(at)))
	r.hash.Write(sum[:])
}

// String is the hash in hex.
func (r *Receipt) String() string { return hex.EncodeToString(r.hash.Sum(nil)) }
