package install

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"tench/release/netboot"
	"tench/release/writestream"
)

// Medium is a disk or a partition that is open.
type Medium interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() int64 // bytes
	Sync() error // returns when all that was written is on the medium
	Drop() error // Sync; what is read from then on comes from the medium
}

// mediumError is the medium's fault, which trying again does not mend.
type mediumError struct{ error }

func (e mediumError) Unwrap() error { return e.error }

// obeyer does what one write stream orders.
//
// Everything that came since the last Verify is read back past the page cache and
// compared with the hashes that came with it. When the stream breaks, or the
// medium fails, after the boot sector came, that is wiped again: it is there only
// when all else is.
type obeyer struct {
	medium Medium
	step   func(stage netboot.Stage, done, total int64) // bytes

	receipt *writestream.Receipt
	written []written // since the last Verify
	boots   bool      // a boot sector may be on the medium
	done    int64
	total   int64
	synced  int64 // of done
}

// syncEvery is after how many bytes the medium is waited for, so that what is
// told of the progress is true.
const syncEvery = 8 << 20

// written is a piece that is to be read back.
type written struct {
	at, size int64
	sum      [sha256.Size]byte
}

// obey reads a stream to its end and returns the receipt.
func (o *obeyer) obey(ctx context.Context, stream io.Reader) (receipt string, err error) {
	o.receipt = writestream.NewReceipt()
	err = o.run(ctx, stream)
	if err == nil {
		return o.receipt.String(), nil
	}
	if o.boots {
		_, werr := o.medium.WriteAt(make([]byte, sector), 0)
		if werr = errors.Join(werr, o.medium.Sync()); werr != nil {
			err = mediumError{fmt.Errorf("%w\nhint: the disk does not take back its boot sector (%v): do not use it", err, werr)}
		}
	}
	return "", err
}

func (o *obeyer) run(ctx context.Context, stream io.Reader) error {
	d, err := writestream.NewDecoder(stream)
	if err != nil {
		return fmt.Errorf("read the image: %w", err)
	}
	if d.Header.Size != o.medium.Size() {
		return fmt.Errorf("%w: it was made for %d bytes, and there are %d", writestream.ErrFormat, d.Header.Size, o.medium.Size())
	}
	o.total = d.Header.Total
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the image: %w", err)
		}
		switch r.Kind {
		case writestream.Write:
			err = o.write(r)
		case writestream.Sync:
			err = o.medium.Sync()
		case writestream.Verify:
			err = o.verify(ctx)
		}
		if err != nil && ctx.Err() == nil {
			err = mediumError{err}
		}
		if err != nil {
			return err
		}
	}
}

func (o *obeyer) write(r writestream.Record) error {
	size := int64(len(r.Bytes))
	o.boots = o.boots || r.At == 0 && r.Bytes[sector-1] != 0
	if _, err := o.medium.WriteAt(r.Bytes, r.At); err != nil {
		return fmt.Errorf("write at %d MiB: %w", r.At>>20, err)
	}
	o.written = append(o.written, written{r.At, size, r.Sum})
	if o.done += size; o.done-o.synced >= syncEvery {
		if err := o.medium.Sync(); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		o.synced = o.done
	}
	o.step(netboot.Write, o.done, o.total)
	return nil
}

// verify reads back what was written since the last time.
func (o *obeyer) verify(ctx context.Context) error {
	if err := o.medium.Drop(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	total, done := int64(0), int64(0)
	for _, w := range o.written {
		total += w.size
	}
	buf := make([]byte, writestream.MaxPiece)
	for _, w := range o.written {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:w.size]
		if _, err := o.medium.ReadAt(b, w.at); err != nil {
			return fmt.Errorf("read back at %d MiB: %w", w.at>>20, err)
		}
		sum := sha256.Sum256(b)
		if sum != w.sum {
			return fmt.Errorf("read back: the disk does not give back what was written within bytes %d to %d: it is worn out or a fake", w.at, w.at+w.size-1)
		}
		o.receipt.Add(w.at, sum)
		done += w.size
		o.step(netboot.Check, done, total)
	}
	o.written = o.written[:0]
	return nil
}
