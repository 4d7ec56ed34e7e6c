package writestream

import (
	"encoding/binary"
	"fmt"
)

// bootSignature ends a boot sector, of a disk and of a FAT.
const bootSignature = 0xAA55

// rules follow a stream record by record, and refuse one that could leave a
// medium which half boots:
//
//	         zeros to sector 0, Sync          a boot sector to 0
//	[fresh] ------------------------> [open] --------------------> [boots]
//	                                   any write, Sync, Verify      Sync, Verify, End
//
// A boot sector comes when all before it is on the medium. End comes when all
// was verified.
type rules struct {
	header     Header
	done       int64 // bytes written
	state      state
	unsynced   bool
	unverified int // records
}

type state int

const (
	fresh  state = iota
	wiping       // the zeros came, the Sync did not
	open
	boots
	ended
)

// bad says why a record is not taken.
func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFormat, fmt.Errorf(format, args...))
}

func (h Header) check() error {
	if h.Size < Sector || h.Size > MaxSize || h.Size%Sector != 0 {
		return bad("a medium of %d bytes", h.Size)
	}
	if h.Total < Sector || h.Total > MaxSize {
		return bad("%d bytes to write", h.Total)
	}
	return nil
}

// write takes the head of a Write, before its bytes are there.
func (r *rules) write(at, size int64) error {
	switch {
	case size <= 0 || size > MaxPiece || size%Sector != 0:
		return bad("a write of %d bytes", size)
	case at < 0 || at%Sector != 0 || at > r.header.Size-size:
		return bad("a write of %d bytes at %d of %d", size, at, r.header.Size)
	case r.done+size > r.header.Total:
		return bad("more writes than the %d bytes it tells of", r.header.Total)
	case r.unverified == MaxUnverified:
		return bad("more than %d writes that are not verified", MaxUnverified)
	case r.state == wiping:
		return bad("a write before the wipe of sector 0 is on the medium")
	case r.state >= boots:
		return bad("a write after the boot sector")
	case r.state == fresh && at != 0:
		return bad("it does not begin with a wipe of sector 0")
	}
	r.done += size
	r.unverified++
	return nil
}

// wrote takes the bytes of the Write whose head was taken.
func (r *rules) wrote(at int64, b []byte) error {
	isBoot := at == 0 && binary.LittleEndian.Uint16(b[Sector-2:]) == bootSignature
	switch {
	case r.state == fresh && !blank(b):
		return bad("it does not begin with a wipe of sector 0")
	case r.state == fresh:
		r.state = wiping
	case isBoot && len(b) != Sector: // a medium may take the first sector of several alone
		return bad("a boot sector with more behind it")
	case isBoot && r.unsynced:
		return bad("a boot sector before all else is on the medium")
	case isBoot:
		r.state = boots
	}
	r.unsynced = true
	return nil
}

// step takes a Sync, a Verify or an End.
func (r *rules) step(k Kind) error {
	switch k {
	case Sync, Verify:
		if r.state == ended {
			return bad("a record after the end")
		}
		if r.state == wiping {
			r.state = open
		}
		r.unsynced = false
		if k == Verify {
			r.unverified = 0
		}
		return nil
	case End:
		if r.state != boots || r.unverified > 0 {
			return bad("an end before all is written and verified")
		}
		if r.done != r.header.Total {
			return bad("an end after %d of %d bytes", r.done, r.header.Total)
		}
		r.state = ended
		return nil
	}
	return bad("a record of kind %q", byte(k))
}

// blank reports whether b holds only zeros.
func blank(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
