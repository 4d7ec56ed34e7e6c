package flash

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"
)

// Target is what an image is written to. Offsets and lengths of writes are
// multiples of the sector.
type Target interface {
	io.ReaderAt
	io.WriterAt
	Name() string // for messages, e.g. "/dev/sdb"
	Size() int64  // bytes
	// Sync returns when all that was written is on the medium.
	Sync() error
	// DropCaches makes the next reads come from the medium.
	DropCaches() error
}

// Phase is what is being done.
type Phase string

// The phases, in their order.
const (
	PhaseCheck  Phase = "check"  // the image's hash
	PhaseWipe   Phase = "wipe"   // what made the stick boot until now
	PhaseProbe  Phase = "probe"  // is it as large as it says
	PhaseWrite  Phase = "write"  // all but the first MiB
	PhaseVerify Phase = "verify" // read back
	PhaseBoot   Phase = "boot"   // boot loaders and partition table, written and read back
)

// Progress says how far a phase is, in bytes. Total is 0 where it is not known.
type Progress struct {
	Phase       Phase
	Done, Total int64
}

// Options say how to write.
type Options struct {
	Data   io.ReaderAt      // takes the place of the image's data partition; nil for that
	Old    Contents         // of the target: the secrets on a stick of ours are cleared
	Probe  bool             // find out whether the target is as large as it says
	Report func(Progress)   // may be nil
	Now    func() time.Time // the clock of the speeds in Result
}

// Result tells what was done.
type Result struct {
	Bytes         int64 // written and read back
	Write, Verify time.Duration
}

// Unfinished is the error of a target that was being written. It does not boot:
// what makes it boot goes first and comes last.
type Unfinished struct {
	Target string
	Err    error
	// Spoilt says that the boot loader or a part of it was written, and could not
	// be taken back: the target broke at the worst moment.
	Spoilt bool
}

func (u *Unfinished) Error() string {
	cause := u.Err.Error()
	if errors.Is(u.Err, context.Canceled) {
		cause = "flash: interrupted"
	}
	if u.Spoilt {
		return fmt.Sprintf("%s\nhint: %s does not take back its boot loader: throw it away", cause, u.Target)
	}
	return fmt.Sprintf("%s\nhint: %s has no partition table and no boot loader now, so that it does not half boot; the same command begins again", cause, u.Target)
}

func (u *Unfinished) Unwrap() error { return u.Err }

// Write writes the image to the target and compares what it reads back:
//
//	wipe    the first MiB: from here on the target does not boot
//	probe   marks all over the target, which one that lies about its size loses
//	write   partitions
//	verify  partitions
//	boot    the first MiB but for sector 0; then sector 0; all of it read back
//
// After each that writes comes a Sync, so that the order is that of the medium.
// An error before the wipe leaves the target as it was; a later one is an
// *Unfinished.
func Write(ctx context.Context, img *Image, t Target, o Options) (Result, error) {
	if o.Old.data.size == 0 {
		o.Old.data = leftover(img, t)
	}
	p, err := newPlan(img, o)
	if err != nil {
		return Result{}, fmt.Errorf("flash: %s: %w", img.Path, err)
	}
	if img.Size > t.Size() {
		return Result{}, fmt.Errorf("flash: %s has %d bytes, the image %d", t.Name(), t.Size(), img.Size)
	}
	if o.Report == nil {
		o.Report = func(Progress) {}
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("flash: %w: nothing was written to %s", err, t.Name())
	}
	w := &writer{ctx: ctx, t: t, o: o, buf: make([]byte, mib)}
	o.Report(Progress{PhaseWipe, 0, headSize})
	if err := w.wipe(); err != nil {
		return Result{}, fmt.Errorf("flash: wipe %s: %w\nhint: what was on it may be damaged", t.Name(), err)
	}
	r, err := w.run(img, p)
	if err != nil {
		u := &Unfinished{Target: t.Name(), Err: fmt.Errorf("flash: %w", err)}
		if w.headBegun {
			u.Spoilt = w.wipe() != nil
		}
		return Result{}, u
	}
	return r, nil
}

// writer is one Write.
type writer struct {
	ctx context.Context
	t   Target
	o   Options
	buf []byte // 1 MiB

	headBegun bool // something of the first MiB may have been written
}

// wipe clears the first MiB. It does not end with the context.
func (w *writer) wipe() error {
	// Sector 0 goes first: without it the rest is nothing.
	for _, s := range []span{{0, sector}, {sector, headSize - sector}} {
		clear(w.buf)
		if _, err := w.t.WriteAt(w.buf[:s.size], s.at); err != nil {
			return err
		}
		if err := w.t.Sync(); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) run(img *Image, p plan) (Result, error) {
	if w.o.Probe {
		if err := w.probe(img.Size); err != nil {
			return Result{}, err
		}
	}
	if err := w.clearTail(img.Size); err != nil {
		return Result{}, err
	}
	began := w.o.Now()
	if err := w.write(PhaseWrite, p.body); err != nil {
		return Result{}, err
	}
	written := w.o.Now()
	if err := w.verify(PhaseVerify, p.body); err != nil {
		return Result{}, err
	}
	r := Result{Bytes: p.size(), Write: written.Sub(began), Verify: w.o.Now().Sub(written)}
	w.headBegun = true
	last := len(p.head) - 1
	for _, part := range [][]piece{p.head[:last], p.head[last:]} {
		if err := w.write(PhaseBoot, part); err != nil {
			return Result{}, err
		}
	}
	return r, w.verify(PhaseBoot, p.head)
}

// clearTail clears the end of the target, behind the image.
func (w *writer) clearTail(imageEnd int64) error {
	end := tail(w.t.Size(), imageEnd)
	if end.size <= 0 {
		return nil
	}
	clear(w.buf)
	if _, err := w.t.WriteAt(w.buf[:end.size], end.at); err != nil {
		return fmt.Errorf("clear the end: %w", err)
	}
	return nil
}

// tail is what is cleared at the end of a target of size bytes: nothing where the
// image reaches it.
func tail(size, imageEnd int64) span {
	at := max(imageEnd, (size-tailSize)/sector*sector)
	return span{at, size - at}
}

// write writes pieces and notes what they hold.
func (w *writer) write(phase Phase, list []piece) error {
	progress := w.progress(phase, list)
	ctx, stop := context.WithCancel(w.ctx)
	free, filled := make(chan []byte, 2), make(chan content)
	free <- w.buf
	free <- make([]byte, mib)
	go prepare(ctx, list, free, filled)
	defer func() {
		stop()
		for range filled { // until prepare has ended: it reads what the caller may close
		}
	}()
	for i := range list {
		c, ok := <-filled
		if !ok {
			return ctx.Err()
		}
		if c.err != nil {
			return fmt.Errorf("read the image at %d: %w", list[i].off, c.err)
		}
		list[i].sum = c.sum
		if _, err := w.t.WriteAt(c.bytes[:list[i].size], list[i].at); err != nil {
			return fmt.Errorf("write at %d MiB: %w", list[i].at/mib, err)
		}
		free <- c.bytes
		progress(list[i].size)
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.t.Sync(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// content is what belongs into a piece.
type content struct {
	bytes []byte // 1 MiB, of which the piece takes the beginning
	sum   [sha256.Size]byte
	err   error
}

// prepare reads pieces into free buffers and hashes them, while the one before is
// being written.
func prepare(ctx context.Context, list []piece, free <-chan []byte, filled chan<- content) {
	defer close(filled)
	for _, x := range list {
		var c content
		select {
		case c.bytes = <-free:
		case <-ctx.Done():
			return
		}
		c.err = x.read(c.bytes[:x.size])
		c.sum = sha256.Sum256(c.bytes[:x.size])
		select {
		case filled <- c:
		case <-ctx.Done():
			return
		}
	}
}

// verify reads pieces back from the medium.
func (w *writer) verify(phase Phase, list []piece) error {
	if err := w.t.DropCaches(); err != nil {
		return fmt.Errorf("read back: drop caches: %w", err)
	}
	progress := w.progress(phase, list)
	for _, x := range list {
		b := w.buf[:x.size]
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if _, err := w.t.ReadAt(b, x.at); err != nil {
			return fmt.Errorf("read back at %d MiB: %w", x.at/mib, err)
		}
		if sha256.Sum256(b) != x.sum {
			return fmt.Errorf("read back: %s does not give back what was written within bytes %d to %d: it is worn out or a fake",
				w.t.Name(), x.at, x.at+int64(x.size)-1)
		}
		progress(x.size)
	}
	return nil
}

// progress reports the bytes of pieces that are done.
func (w *writer) progress(phase Phase, list []piece) func(n int) {
	total, done := plan{body: list}.size(), int64(0)
	w.o.Report(Progress{phase, 0, total})
	return func(n int) {
		done += int64(n)
		w.o.Report(Progress{phase, done, total})
	}
}

// errFake says what a lost mark means.
var errFake = errors.New("it is smaller than it says: what is written near its end overwrites what is before, or is lost")

// probe writes marks at 0, at the halves, quarters … of the target that lie
// behind the image, and at its end, and then looks for all of them. A stick that
// says to be larger than it is either drops what is beyond, or begins again from
// 0, where the first mark is: such sticks have a half, a quarter … of what they
// say. Of another fraction the image itself, read back, proves as much as it takes.
func (w *writer) probe(imageEnd int64) error {
	w.o.Report(Progress{PhaseProbe, 0, 0})
	list := marks(w.t.Size(), imageEnd, rand.Reader)
	mark := make([]byte, markSize)
	for i, x := range list {
		if err := x.read(mark); err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		list[i].sum = sha256.Sum256(mark)
		if _, err := w.t.WriteAt(mark, x.at); err != nil {
			return fmt.Errorf("probe: write at %d MiB: %w", x.at/mib, err)
		}
	}
	if err := errors.Join(w.t.Sync(), w.t.DropCaches()); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	for _, x := range list {
		if _, err := w.t.ReadAt(mark, x.at); err != nil {
			return fmt.Errorf("probe: read at %d MiB: %w", x.at/mib, err)
		}
		if sha256.Sum256(mark) != x.sum {
			return fmt.Errorf("probe: %s: %w", w.t.Name(), errFake)
		}
	}
	return w.wipe()
}

// markSize is what a mark of probe has, in bytes.
const markSize = 4096

// marks are what probe writes to a target of size bytes; random never fails.
func marks(size, imageEnd int64, random io.Reader) []piece {
	places := []int64{0}
	for at := size / 2; at >= imageEnd; at /= 2 {
		places = append(places, at/markSize*markSize)
	}
	if end := (size - markSize) / sector * sector; end >= imageEnd {
		places = append(places, end)
	}
	var list []piece
	for _, at := range places {
		mark := make([]byte, markSize)
		_, _ = io.ReadFull(random, mark)
		mark[sector-1] = 0 // no boot sector ends so
		list = append(list, piece{at: at, size: markSize, from: bytes.NewReader(mark)})
	}
	return list
}
