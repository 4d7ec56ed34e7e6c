package flash

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Disk is an open block device that nobody else uses.
type Disk struct {
	f      *os.File
	size   int64
	direct bool   // past the page cache
	buf    []byte // where a page begins, as direct transfers want it
}

// OpenDevice opens the device d, which Machine.Find has found, for itself alone:
// the kernel refuses that while anything on it is mounted or otherwise claimed,
// in whatever namespace. Close it.
func OpenDevice(d Device) (*Disk, error) {
	disk, err := openDisk(d)
	if err != nil {
		return nil, fmt.Errorf("flash: open %s: %w", d.Path, err)
	}
	return disk, nil
}

func openDisk(d Device) (*Disk, error) {
	// O_EXCL without O_CREAT claims a block device (open(2)).
	flags := os.O_RDWR | unix.O_EXCL | unix.O_DIRECT
	f, err := os.OpenFile(d.Path, flags, 0)
	direct := !errors.Is(err, unix.EINVAL)
	if !direct {
		f, err = os.OpenFile(d.Path, flags&^unix.O_DIRECT, 0)
	}
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, errors.New("somebody uses it, e.g. a mount of another container, ZFS, or a virtual machine\nhint: lsof " + d.Path)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%w\nhint: writing disks is root's work: sudo", unix.EACCES)
	case err != nil:
		return nil, err
	}
	b := &Disk{f: f, direct: direct}
	if err := b.is(d); err != nil {
		f.Close()
		return nil, err
	}
	if b.buf, err = unix.Mmap(-1, 0, mib, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

// is makes sure that what was opened is the device that was looked at: names are
// given anew when a stick is pulled and another put in.
func (d *Disk) is(want Device) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.f.Fd()), &st); err != nil {
		return err
	}
	number := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	var err error
	if d.size, err = d.f.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK || number != want.Number || d.size != want.Size {
		return errors.New("it is not the device any more that it was a moment ago\nhint: was a stick pulled or put in? look again")
	}
	return nil
}

// Name is the device's path.
func (d *Disk) Name() string { return d.f.Name() }

// Size is the device's size in bytes.
func (d *Disk) Size() int64 { return d.size }

// ReadAt reads whole sectors through a buffer where a page begins.
func (d *Disk) ReadAt(p []byte, at int64) (int, error) {
	done := 0
	for done < len(p) {
		skip := (at + int64(done)) % sector
		first := at + int64(done) - skip
		want := min(int64(len(d.buf)), (skip+int64(len(p)-done)+sector-1)/sector*sector)
		n, err := d.f.ReadAt(d.buf[:want], first)
		if int64(n) <= skip {
			return done, errors.Join(err, io.ErrUnexpectedEOF)
		}
		done += copy(p[done:], d.buf[skip:n])
	}
	return done, nil
}

// WriteAt writes whole sectors through the same buffer.
func (d *Disk) WriteAt(p []byte, at int64) (int, error) {
	done := 0
	for done < len(p) {
		n := copy(d.buf, p[done:])
		if _, err := d.f.WriteAt(d.buf[:n], at+int64(done)); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// Sync writes out the page cache, if that was used, and the device's own.
func (d *Disk) Sync() error { return d.f.Sync() }

// DropCaches forgets what the page cache has of the device; direct reads would
// not look there.
func (d *Disk) DropCaches() error {
	if err := unix.IoctlSetInt(int(d.f.Fd()), unix.BLKFLSBUF, 0); err != nil && !d.direct {
		return err
	}
	return nil
}

// Close gives the device back. The kernel looks at the new partition table, if
// it was written; it may be busy doing so already.
func (d *Disk) Close() error {
	_ = unix.IoctlSetInt(int(d.f.Fd()), unix.BLKRRPART, 0)
	return errors.Join(unix.Munmap(d.buf), d.f.Close())
}

// ImageFile is a new image file, for a virtual machine or another writer of
// sticks. It has mode 0600, because it may hold secrets, and appears under its
// name only when Commit is called.
type ImageFile struct {
	f    *renameio.PendingFile
	path string
	size int64
}

// NewImageFile begins an image file of size bytes at path, where there is none.
func NewImageFile(path string, size int64) (*ImageFile, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("flash: %s exists, and is no block device\nhint: name a device, e.g. /dev/sdb, or a file that is to be made", path)
	}
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return nil, fmt.Errorf("flash: make %s: %w", path, withoutPath(err))
	}
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(fmt.Errorf("flash: make %s: %w", path, withoutPath(err)), f.Cleanup())
	}
	return &ImageFile{f: f, path: path, size: size}, nil
}

// Name is the path that the file will have.
func (i *ImageFile) Name() string { return i.path }

// Size is its size in bytes.
func (i *ImageFile) Size() int64 { return i.size }

// ReadAt reads from the file.
func (i *ImageFile) ReadAt(p []byte, at int64) (int, error) { return i.f.ReadAt(p, at) }

// WriteAt writes to the file.
func (i *ImageFile) WriteAt(p []byte, at int64) (int, error) { return i.f.WriteAt(p, at) }

// Sync writes the file out.
func (i *ImageFile) Sync() error { return i.f.Sync() }

// DropCaches forgets what the page cache has of the file.
func (i *ImageFile) DropCaches() error {
	return unix.Fadvise(int(i.f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// Commit gives the file its name.
func (i *ImageFile) Commit() error { return i.f.CloseAtomicallyReplace() }

// Close removes the file unless it has its name.
func (i *ImageFile) Close() error { return i.f.Cleanup() }
