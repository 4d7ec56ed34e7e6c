package update

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tench/release/slotimage"
	"tench/release/transfer"
	"tench/supervisor/system"
)

const (
	block     = slotimage.BlockSize
	chunkSize = 64 << 10
	// syncEvery is after how many bytes the medium is waited for: what is told of
	// the progress is then true, and a broken update goes on from there.
	syncEvery = 4 << 20
)

// writer brings one image to the medium.
type writer struct {
	job   *Job
	ctx   context.Context
	total int64 // of the image, as far as it is known, for the progress

	first []byte // the image's first block, kept back
	end   int64  // of what was written
	hash  hash.Hash
}

// run writes an image, of which head was read already.
func (w *writer) run(head []byte, src io.Reader) error {
	w.hash = sha256.New()
	w.first = bytes.Clone(head[:block])
	w.hash.Write(w.first)
	w.end = block
	// What another update left in the slot is written over from here on.
	if w.job.u.partial().SHA256 != w.job.grant.SHA256 {
		if err := w.job.u.forgetPartial(); err != nil {
			return err
		}
	}
	if err := w.put(make([]byte, block), 0, "wipe"); err != nil {
		return err
	}
	if err := w.copy(io.MultiReader(bytes.NewReader(head[block:]), src)); err != nil {
		return err
	}
	if got := hex.EncodeToString(w.hash.Sum(nil)); got != w.job.grant.SHA256 {
		w.job.u.forgetPartial()
		return fmt.Errorf("update: the image is not the one that was signed: its SHA-256 is %s, and should be %s\nhint: start it again; what was sent is thrown away", got, w.job.grant.SHA256)
	}
	if err := w.readBack(); err != nil {
		w.job.u.forgetPartial()
		return err
	}
	if err := w.put(w.first, 0, "write the boot sector of"); err != nil {
		return err
	}
	return w.job.u.forgetPartial()
}

// put writes a piece and waits until it is on the medium.
func (w *writer) put(data []byte, at int64, verb string) error {
	w.job.u.Step(verb+" slot "+w.job.target, 0, 0)
	_, err := w.job.device.WriteAt(data, at)
	if err == nil {
		err = w.job.device.Drop()
	}
	if err != nil {
		return w.broken(verb, err)
	}
	back := make([]byte, len(data))
	if _, err := w.job.device.ReadAt(back, at); err != nil {
		return w.broken("read back", err)
	}
	if !bytes.Equal(back, data) {
		return w.broken(verb, errors.New("it has something else than what was written"))
	}
	return nil
}

func (w *writer) broken(verb string, err error) error {
	return fmt.Errorf("update: %s slot %s: %w\nhint: the medium fails; the box goes on with the slot that runs", verb, w.job.target, err)
}

// copy writes all but the first block. When src fails, what came before is kept
// for the next try.
func (w *writer) copy(src io.Reader) error {
	buf, old := make([]byte, chunkSize), make([]byte, chunkSize)
	synced := w.end
	for {
		n, err := io.ReadFull(src, buf)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err == nil {
			err = w.ctx.Err()
		}
		failed := err != nil && !last
		if failed {
			n -= n % block
		}
		if err := w.write(buf[:n], old[:n]); err != nil {
			return err
		}
		if last || failed || w.end-synced >= syncEvery {
			if err := w.job.device.Sync(); err != nil {
				return w.broken("write", err)
			}
			synced = w.end
			w.notePartial()
		}
		if failed {
			return fmt.Errorf("update: read the image: %w", err)
		}
		w.job.u.Step("write slot "+w.job.target, w.end, max(w.total, w.end))
		if last {
			return nil
		}
	}
}

// write writes a chunk at the end, unless it is there already: flash wears out,
// and an update that goes on finds its first part there. old is as long as data.
func (w *writer) write(data, old []byte) error {
	size := w.job.device.Size()
	switch {
	case w.end+int64(len(data)) > size:
		return fmt.Errorf("update: the image is larger than slot %s, which has %d bytes", w.job.target, size)
	case len(data)%block != 0:
		return fmt.Errorf("update: the image does not end with a whole block: it was cut\nhint: start it again; it goes on from there")
	}
	w.hash.Write(data)
	_, err := w.job.device.ReadAt(old, w.end)
	if err != nil || !bytes.Equal(old, data) {
		if _, err := w.job.device.WriteAt(data, w.end); err != nil {
			return w.broken("write", err)
		}
	}
	w.end += int64(len(data))
	return nil
}

// readBack reads from the medium, past the kernel's cache, what was written,
// and compares it with what was signed.
func (w *writer) readBack() error {
	if err := w.job.device.Drop(); err != nil {
		return w.broken("write", err)
	}
	sum, buf := sha256.New(), make([]byte, chunkSize)
	sum.Write(w.first)
	for at := int64(block); at < w.end; {
		if err := w.ctx.Err(); err != nil {
			return fmt.Errorf("update: %w", err)
		}
		n, err := w.job.device.ReadAt(buf[:min(int64(len(buf)), w.end-at)], at)
		if err != nil {
			return w.broken("read back", err)
		}
		sum.Write(buf[:n])
		at += int64(n)
		w.job.u.Step("read slot "+w.job.target+" back", at, w.end)
	}
	if hex.EncodeToString(sum.Sum(nil)) != w.job.grant.SHA256 {
		return w.broken("read back", errors.New("it has something else than what was written"))
	}
	return nil
}

// partialName is a file below Run: how much of which update is in the slot. It
// is forgotten with the next boot, because only then can a cut have come
// between the write and the medium.
const partialName = "update-partial"

// notePartial records how far the slot is written. A record that cannot be
// written only costs time later.
func (w *writer) notePartial() {
	data, err := json.Marshal(transfer.Partial{SHA256: w.job.grant.SHA256, Bytes: w.end})
	if err == nil {
		err = system.WriteFile(w.job.u.partialPath(), data, 0o600)
	}
	if err != nil {
		w.job.u.Log("note how far the update is: %v", err)
	}
}

func (u *Updater) partialPath() string { return filepath.Join(u.Run, partialName) }

// partial is what notePartial recorded; nothing where it cannot be read.
func (u *Updater) partial() transfer.Partial {
	var p transfer.Partial
	data, err := os.ReadFile(u.partialPath())
	if err != nil || json.Unmarshal(data, &p) != nil {
		return transfer.Partial{}
	}
	return p
}

func (u *Updater) forgetPartial() error {
	if err := os.Remove(u.partialPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

// date is a release's epoch for people.
func date(epoch int64) string { return time.Unix(epoch, 0).UTC().Format(time.DateOnly) }

// firstLine is an error without its hint.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
