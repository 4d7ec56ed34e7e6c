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

// without lists what of s is in none of the spans, which joined has returned.
func (s span) without(list []span) []span {
	var rest []span
	for _, x := range list {
		if x.end() <= s.at || x.at >= s.end() {
			continue
		}
		if x.at > s.at {
			rest = append(rest, span{s.at, x.at - s.at})
		}
		s = span{x.end(), s.end() - x.end()}
	}
	if s.size > 0 {
		rest = append(rest, s)
	}
	return rest
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
// o.Data takes the place of the image's fourth partition unless it is nil, and
// what was the data partition of an older stick is cleared.
func newPlan(img *Image, o Options) (plan, error) {
	var p plan
	written := []span{{0, headSize}}
	for i, part := range img.parts {
		from, base := io.ReaderAt(img.file), int64(0)
		if i == dataPart && o.Data != nil {
			from, base = o.Data, part.at
		}
		used, err := usedOf(i, io.NewSectionReader(from, part.at-base, part.size))
		if err != nil {
			return plan{}, fmt.Errorf("partition %d: %w", i+1, err)
		}
		for _, s := range used {
			s.at += part.at
			written = append(written, s)
			p.body = append(p.body, pieces(s, from, base)...)
		}
	}
	for _, s := range o.Old.data.without(joined(written)) {
		p.body = append(p.body, pieces(s, nil, 0)...)
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
