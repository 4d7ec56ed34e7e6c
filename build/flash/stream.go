package flash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"tench/release/writestream"
)

// StreamOptions say for whom a stream is.
type StreamOptions struct {
	Request writestream.Request
	// Seed is what the marks are made of by which an installer finds a disk that
	// lies about its size. The same seed, image and data are the same stream, so that
	// one that broke can be sent from where it did.
	Seed   [32]byte
	Data   io.ReaderAt    // takes the place of the image's data partition; nil for that
	Report func(Progress) // what was handed to the writer; may be nil
}

// Stream is Write for a medium that is far away: it writes to out what an
// installer does, step by step in the order of Write, and returns the receipt
// that the installer has once it has read all of it back. An error before the
// first byte leaves out alone; one with writestream.ErrTooSmall in its chain is for
// the person at the box.
//
// A request for a slot gets slot A of the image; Data is not used then.
func Stream(ctx context.Context, img *Image, o StreamOptions, out io.Writer) (receipt string, err error) {
	receipt, err = stream(ctx, img, o, out)
	if err != nil {
		return "", fmt.Errorf("flash: stream %s for disk %s: %w", img.Path, o.Request.Disk, err)
	}
	return receipt, nil
}

func stream(ctx context.Context, img *Image, o StreamOptions, out io.Writer) (string, error) {
	steps, err := newSteps(img, o)
	if err != nil {
		return "", err
	}
	if o.Report == nil {
		o.Report = func(Progress) {}
	}
	total := int64(0)
	for _, s := range steps {
		total += plan{body: s.pieces}.size()
	}
	e, err := writestream.NewEncoder(out, writestream.Header{Size: o.Request.Size, Total: total})
	if err != nil {
		return "", err
	}
	buf, done := make([]byte, mib), int64(0)
	for _, s := range steps {
		for _, x := range s.pieces {
			if err := ctx.Err(); err != nil {
				return "", err
			}
			if err := x.read(buf[:x.size]); err != nil {
				return "", fmt.Errorf("read the image at %d: %w", x.off, err)
			}
			if err := e.Write(x.at, buf[:x.size]); err != nil {
				return "", err
			}
			done += int64(x.size)
			o.Report(Progress{PhaseWrite, done, total})
		}
		if err := e.Step(s.end); err != nil {
			return "", err
		}
	}
	return e.End()
}

// step is what is written before the medium is waited for.
type step struct {
	pieces []piece
	end    writestream.Kind // Sync or Verify
}

// newSteps are the steps of Write.
func newSteps(img *Image, o StreamOptions) ([]step, error) {
	p, end, err := streamPlan(img, o)
	if err != nil {
		return nil, err
	}
	size := o.Request.Size
	if end > size {
		return nil, fmt.Errorf("%w: %d bytes are there, and %d needed\nhint: a larger disk", writestream.ErrTooSmall, size, end)
	}
	head := headOf(p)
	wipe := []step{
		{pieces(span{0, sector}, nil, 0), writestream.Sync},
		{pieces(span{sector, head - sector}, nil, 0), writestream.Verify},
	}
	var probe []step
	if !o.Request.Slot {
		probe = append([]step{{marks(size, end, rand.NewChaCha8(o.Seed)), writestream.Verify}}, wipe...)
		// The beginning of the first partition goes ahead: by it an installer knows
		// a disk whose install did not end.
		first := append(pieces(tail(size, end), nil, 0), p.body[0])
		probe, p.body = append(probe, step{first, writestream.Sync}), p.body[1:]
	}
	last := len(p.head) - 1
	write := []step{{p.body, writestream.Verify}, {p.head[:last], writestream.Sync}, {p.head[last:], writestream.Verify}}
	return slices.Concat(wipe, probe, write), nil
}

// headOf is where the stretch ends that makes a medium boot.
func headOf(p plan) int64 {
	end := int64(0)
	for _, x := range p.head {
		end = max(end, x.at+int64(x.size))
	}
	return end
}

// streamPlan is what the medium of a request gets, and where that ends.
func streamPlan(img *Image, o StreamOptions) (p plan, end int64, err error) {
	if o.Request.Slot {
		return slotPlan(img)
	}
	write := Options{Data: o.Data, Old: Contents{data: span{o.Request.OldAt, o.Request.OldSize}}}
	p, err = newPlan(img, write)
	return p, img.Size, err
}

// slotPlan is newPlan for slot A alone, on a partition that is a slot: its boot
// sector is what makes GRUB load it.
func slotPlan(img *Image) (p plan, end int64, err error) {
	part := img.parts[slotPart]
	slot := io.NewSectionReader(img.file, part.at, part.size)
	used, err := usedOf(slotPart, slot)
	if err != nil {
		return plan{}, 0, fmt.Errorf("slot A: %w", err)
	}
	if len(used) != 1 || used[0].at != 0 || used[0].size <= slotHead {
		return plan{}, 0, errors.New("slot A is empty")
	}
	end = used[0].end()
	p.body = pieces(span{slotHead, end - slotHead}, slot, 0)
	p.head = append(pieces(span{sector, slotHead - sector}, slot, 0), pieces(span{0, sector}, slot, 0)...)
	return p, end, nil
}

// slotHead is the first block of a slot: no FAT16 fits into less.
const slotHead = 4096
