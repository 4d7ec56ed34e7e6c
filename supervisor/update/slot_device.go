package update

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Device is where a slot lies.
type Device interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() int64 // bytes
	Sync() error // returns when all that was written is on the medium
	Drop() error // Sync; what is read from then on comes from the medium
}

// OpenDevice opens a block device, or a file in its place. One that is to be
// written must not be in use.
func OpenDevice(path string, write bool) (Device, error) {
	flags := os.O_RDONLY
	if write {
		flags = os.O_RDWR
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	isBlock := info.Mode()&os.ModeDevice != 0
	if isBlock && write {
		flags |= os.O_EXCL // refuses what is mounted (open(2))
	}
	f, err := os.OpenFile(path, flags, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w\nhint: it is mounted; umount it first", err)
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &diskDevice{f, size, isBlock}, nil
}

// diskDevice is a Device of the kernel's.
type diskDevice struct {
	*os.File
	size    int64
	isBlock bool
}

func (d *diskDevice) Size() int64 { return d.size }

func (d *diskDevice) Drop() error {
	if err := d.Sync(); err != nil {
		return err
	}
	if d.isBlock {
		if err := unix.IoctlSetInt(int(d.Fd()), unix.BLKFLSBUF, 0); err != nil {
			return os.NewSyscallError("BLKFLSBUF", err)
		}
		return nil
	}
	return os.NewSyscallError("fadvise", unix.Fadvise(int(d.Fd()), 0, 0, unix.FADV_DONTNEED))
}
