package slots

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// device is the boot partition.
type device interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
}

// opener opens the boot partition at path, for reading or also for writing.
type opener func(path string, write bool) (device, error)

// sectors is a block device that is read and written past the page cache.
// Through it the kernel would read and write whole pages of 4 KiB, and so write
// sectors anew that are not grubenv's.
type sectors struct{ f *os.File }

// directAlign is what O_DIRECT demands of a buffer's address. No disk that our
// boot loader starts from has larger sectors.
const directAlign = 4096

// openDevice opens a block device. One that is to be written is locked until it
// is closed: the loop's neighbours (PID 1, an update, `tenchd slots`) read,
// change and write.
func openDevice(path string, write bool) (device, error) {
	mode, lock := os.O_RDONLY, unix.LOCK_SH
	if write {
		mode, lock = os.O_RDWR|unix.O_DSYNC, unix.LOCK_EX
	}
	f, err := os.OpenFile(path, mode|unix.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), lock); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return sectors{f}, nil
}

// ReadAt implements io.ReaderAt for any part of the device.
func (s sectors) ReadAt(p []byte, off int64) (int, error) {
	skip := off % sector
	buf := aligned((int(skip) + len(p) + sector - 1) / sector * sector)
	n, err := s.f.ReadAt(buf, off-skip)
	got := copy(p, buf[min(int(skip), n):n])
	if got == len(p) {
		err = nil
	}
	return got, err
}

// WriteAt implements io.WriterAt for whole sectors.
func (s sectors) WriteAt(p []byte, off int64) (int, error) {
	buf := aligned(len(p))
	copy(buf, p)
	return s.f.WriteAt(buf, off)
}

// Close implements io.Closer and gives up the lock.
func (s sectors) Close() error { return s.f.Close() }

// aligned makes a buffer of n bytes for O_DIRECT.
func aligned(n int) []byte {
	buf := make([]byte, n+directAlign)
	skip := (directAlign - int(uintptr(unsafe.Pointer(&buf[0]))%directAlign)) % directAlign
	return buf[skip : skip+n : skip+n]
}
