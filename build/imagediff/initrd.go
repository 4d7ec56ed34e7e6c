package imagediff

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
)

const (
	maxWindow   = 128 << 20 // of zstd; what it uses itself is at most 8 MiB for -19
	maxUnpacked = 1 << 30   // bytes of an initramfs
)

// initrdTree lists the files of an initramfs: cpio archives in "newc" format,
// zeros between them, and then one in zstd.
func initrdTree(initrd []byte) (tree, error) {
	files := tree{}
	for bytes.HasPrefix(initrd, []byte(newcMagic)) {
		size, err := files.addArchive(initrd)
		if err != nil {
			return nil, err
		}
		initrd = bytes.TrimLeft(initrd[size:], "\x00")
	}
	if len(initrd) == 0 && len(files) > 0 {
		return files, nil
	}
	archive, err := unzstd(initrd)
	if err != nil {
		return nil, err
	}
	_, err = files.addArchive(archive)
	return files, err
}

// addArchive adds the files of the archive that the data begins with, and
// returns its size.
func (files tree) addArchive(archive []byte) (int, error) {
	size, err := checkNewc(archive)
	if err != nil {
		return 0, fmt.Errorf("cpio: %w", err)
	}
	err = cpio.ForEachRecord(cpio.Newc.Reader(bytes.NewReader(archive)), func(r cpio.Record) error {
		if r.Name == cpio.Trailer {
			return nil
		}
		if _, twice := files[r.Name]; twice {
			return fmt.Errorf("/%s is there twice", r.Name)
		}
		about := fmt.Sprintf("mode %06o, owner %d:%d, time %d", r.Mode, r.UID, r.GID, r.MTime)
		if r.Rmajor != 0 || r.Rminor != 0 {
			about += fmt.Sprintf(", device %d:%d", r.Rmajor, r.Rminor)
		}
		data := archive[r.FilePos:][:r.FileSize]
		files[r.Name] = entry{about: about, size: int64(r.FileSize), read: content(data)}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("cpio: %w", err)
	}
	return size, nil
}

// unzstd unpacks the zstd at the start of packed. With an error it returns what
// could be unpacked.
func unzstd(packed []byte) ([]byte, error) {
	z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	defer z.Close()
	data, err := io.ReadAll(io.LimitReader(z, maxUnpacked+1))
	if err != nil {
		return data, fmt.Errorf("zstd: %w", err)
	}
	if len(data) > maxUnpacked {
		return nil, fmt.Errorf("zstd: more than %d MiB", maxUnpacked>>20)
	}
	return data, nil
}

// The "newc" header (Documentation/driver-api/early-userspace/buffer-format.rst
// of Linux): a magic number, then fields of 8 hex digits.
const (
	newcMagic  = "070701"
	newcHeader = 110
	newcSizeAt = 6 + 6*8  // bytes of the file
	newcNameAt = 6 + 11*8 // bytes of the name, with its NUL
)

// checkNewc refuses lengths that lead out of the archive: u-root's reader
// reserves memory for whatever a header names. It returns the archive's size.
func checkNewc(archive []byte) (int, error) {
	at, entries := 0, 0
	for {
		if len(archive)-at < newcHeader || !bytes.HasPrefix(archive[at:], []byte(newcMagic)) {
			return 0, fmt.Errorf("no entry at byte %d", at)
		}
		if entries++; entries > maxEntries {
			return 0, fmt.Errorf("more than %d entries", maxEntries)
		}
		size, err1 := newcField(archive[at+newcSizeAt:])
		name, err2 := newcField(archive[at+newcNameAt:])
		if err := errors.Join(err1, err2); err != nil {
			return 0, fmt.Errorf("entry at byte %d: %w", at, err)
		}
		begin := round4(at + newcHeader + name)
		if name == 0 || begin > len(archive) || round4(begin+size) > len(archive) {
			return 0, fmt.Errorf("entry at byte %d: a name of %d and %d bytes lead out of the archive", at, name, size)
		}
		if string(archive[at+newcHeader:at+newcHeader+name-1]) == cpio.Trailer {
			return round4(begin + size), nil
		}
		at = round4(begin + size)
	}
}

func newcField(b []byte) (int, error) {
	var n [4]byte
	_, err := hex.Decode(n[:], b[:8])
	return int(n[0])<<24 | int(n[1])<<16 | int(n[2])<<8 | int(n[3]), err
}

func round4(n int) int { return (n + 3) &^ 3 }
