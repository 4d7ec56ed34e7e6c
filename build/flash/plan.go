package flash

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
)

const (
	mib = 1 << 20
	// headSize is the stretch before the first partition: partition table and
	// boot loaders. It is what makes a stick boot.
	headSize = 1 * mib
	// tailSize is what is cleared at the end of the stick: the second copy of a
	// GPT, and the super block of an old RAID, which would be believed.
	tailSize = 1 * mib
)

// span is a stretch of bytes.
type span struct{ at, size int64 }

func (s span) end() int64 { return s.at + s.size }

// joined sorts spans and joins those that touch or overlap.
func joined(list []span) []span {
	slices.SortFunc(list, func(a, b span) int { return int(min(1, max(-1, a.at-b.at))) })
	var out []span
	for _, s := range list {
		if last := len(out) - 1; last >= 0 && s.at <= out[last].end() {
			out[last].size = max(out[last].end(), s.end()) - out[last].at
			continue
		}
		out = append(out, s)
	}
	return out
}

// piece is a stretch of the target, at most 1 MiB and within one MiB, which
// every flash chip's erase block divides or is a multiple of.
type piece struct {
	at   int64       // bytes from the start of the target
	size int         // bytes, a multiple of the sector
	from io.ReaderAt // what belongs there, read at from; nil for zeros
	off  int64
	sum  [sha256.Size]byte // of what was written
}

// read reads what belongs into the piece.
func (p piece) read(b []byte) error {
	if p.from == nil {
		clear(b)
		return nil
	}
	_, err := io.ReadFull(io.NewSectionReader(p.from, p.off, int64(len(b))), b)
	return err
}

// pieces cuts a span of the target into pieces. base is where from begins on
// the target.
func pieces(s span, from io.ReaderAt, base int64) []piece {
	var list []piece
	for at := s.at; at < s.end(); {
		end := min(s.end(), (at/mib+1)*mib)
		list = append(list, piece{at: at, size: int(end - at), from: from, off: at - base})
		at = end
	}
	return list
}

// plan is what a target gets.
type plan struct {
	head []piece // partition table and boot loaders, written last
	body []piece
}

// size is the number of bytes that are written.
func (p plan) size() int64 {
	total := int64(0)
	for _, x := range slices.Concat(p.head, p.body) {
		total += int64(x.size)
	}
	return total
}

// newPlan says what of an image a target gets: everything but free clusters and
// blocks. Holes of the image file are no measure of that: a table of a file
// system may be all zeros, and where old data took their place it would be read
// as the table.
//
// data takes the place of the image's fourth partition unless it is nil.
func newPlan(img *Image, data io.ReaderAt) (plan, error) {
	var p plan
	for i, part := range img.parts {
		from, base := io.ReaderAt(img.file), int64(0)
		if i == dataPart && data != nil {
			from, base = data, part.at
		}
		used, err := usedOf(i, io.NewSectionReader(from, part.at-base, part.size))
		if err != nil {
			return plan{}, fmt.Errorf("partition %d: %w", i+1, err)
		}
		for _, s := range used {
			p.body = append(p.body, pieces(span{part.at + s.at, s.size}, from, base)...)
		}
	}
	// Sector 0 is a piece of its own, the very last.
	p.head = append(pieces(span{sector, headSize - sector}, img.file, 0), pieces(span{0, sector}, img.file, 0)...)
	return p, nil
}

// usedOf lists what is not free in partition i.
func usedOf(i int, r *io.SectionReader) ([]span, error) {
	if i == dataPart {
		e, err := openExt4(r)
		if err != nil {
			return nil, err
		}
		return e.used()
	}
	f, err := openFAT(r)
	if err != nil {
		return nil, err
	}
	end, err := f.usedEnd()
	return []span{{0, end}}, err
}
