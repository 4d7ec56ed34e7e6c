// Package slotimage knows what an update writes into a slot, tench-BOARD.slot:
// what it says of itself, and who vouches for it. The desk and the box ask it
// the same questions.
//
//	slotimage.go  ReadHead: board, release and epoch out of slot.env
//	fat.go        where in the image slot.env lies
//	ticket.go     Ticket: the signature that names the image's hash
//
// A slot image is a FAT16 (build/disk writes it) that ends behind its last
// block that is not all zeros. slot.env is its first file, so that whoever
// receives an image knows what it is after the first hundred kilobytes.
package slotimage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// BlockSize is what updates count in, in bytes. A slot image is a whole number
// of blocks.
const BlockSize = 4096

const (
	sector  = 512
	envSize = 1024 // of every GRUB environment block
	envHead = "# GRUB Environment Block\n"
)

// Info is what an image says of itself. It is worth as much as the image's
// hash: before that is checked, anybody may have written it.
type Info struct {
	Board   string // e.g. "alix2d3"
	Release string // e.g. "2026.11"
	Epoch   int64  // of the release, seconds since 1970
	End     int64  // where kernel and initramfs end, in bytes from the slot's start
}

// ReadHead reads an image from its start up to the end of slot.env, and returns
// what it has read: the rest of the image follows in r. What is longer than a
// megabyte, or no slot image, is an error.
func ReadHead(r io.Reader) (head []byte, info Info, err error) {
	h := &headReader{r: r}
	at, err := h.findEnv()
	if err != nil {
		return nil, Info{}, fmt.Errorf("slot image: %w", err)
	}
	if err := h.upTo(at + envSize); err != nil {
		return nil, Info{}, fmt.Errorf("slot image: read slot.env: %w", err)
	}
	info, err = parseEnv(h.data[at : at+envSize])
	if err != nil {
		return nil, Info{}, fmt.Errorf("slot image: slot.env: %w", err)
	}
	return h.data, info, nil
}

// nameRE is what a board or a release may be called: both reach the console.
var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$`)

// parseEnv reads an environment block (GRUB manual, "The GRUB environment
// block").
func parseEnv(block []byte) (Info, error) {
	text, ok := strings.CutPrefix(string(block), envHead)
	if !ok {
		return Info{}, errors.New("it is no environment block")
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok && !strings.HasPrefix(line, "#") {
			values[name] = value
		}
	}
	info := Info{Board: values["board"], Release: values["release"]}
	for _, name := range []string{"board", "release"} {
		if !nameRE.MatchString(values[name]) {
			return Info{}, fmt.Errorf("%s=%q is no name", name, values[name])
		}
	}
	var err error
	if info.Epoch, err = strconv.ParseInt(values["epoch"], 10, 64); err != nil || info.Epoch <= 0 {
		return Info{}, fmt.Errorf("epoch=%q is no number of seconds since 1970", values["epoch"])
	}
	for _, name := range []string{"kernel", "ramfs"} {
		end, err := endOfBlocks(values[name])
		if err != nil {
			return Info{}, fmt.Errorf("%s=%q is no block list such as 305+9000", name, values[name])
		}
		info.End = max(info.End, end)
	}
	return info, nil
}

// endOfBlocks is where "FIRST+COUNT", in sectors, ends, in bytes.
func endOfBlocks(list string) (int64, error) {
	first, count, _ := strings.Cut(list, "+")
	a, err := strconv.ParseUint(first, 10, 31)
	b, err2 := strconv.ParseUint(count, 10, 31)
	return int64(a+b) * sector, errors.Join(err, err2)
}

// headReader reads the start of an image, as far as it is needed.
type headReader struct {
	r    io.Reader
	data []byte
}

// maxHead bounds the head: boot sector, two FATs of at most 128 KiB, a root
// folder, and one cluster.
const maxHead = 1 << 20

// upTo reads until the first n bytes are there.
func (h *headReader) upTo(n int64) error {
	if n > maxHead {
		return fmt.Errorf("it would end after %d bytes, more than %d", n, maxHead)
	}
	have := int64(len(h.data))
	if n <= have {
		return nil
	}
	more := make([]byte, n-have)
	if _, err := io.ReadFull(h.r, more); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the image is cut short")
		}
		return err
	}
	h.data = append(h.data, more...)
	return nil
}

// Blank reports whether a block is all zeros.
func Blank(block []byte) bool { return len(bytes.TrimRight(block, "\x00")) == 0 }
