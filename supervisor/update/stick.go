package update

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tench/release/slotimage"
)

// ErrNoUpdate is in the chain of errors about a stick that holds no update for
// this board, as most do.
var ErrNoUpdate = errors.New("there is no update for this board on it")

// LookAt reports what update a block device holds. An error that is not
// ErrNoUpdate says why this box does not take it: it must be signed by a key of
// the identity, for this board, and no downgrade. Whether the image is whole is
// found out by Install.
func (u *Updater) LookAt(ctx context.Context, device string) (slotimage.Info, error) {
	s, err := OpenSource(ctx, device, u.Board, u.Run)
	if err != nil {
		return slotimage.Info{}, fmt.Errorf("%w: %w", ErrNoUpdate, err)
	}
	defer s.Image.Close()
	if _, err := s.Ticket.Verify(u.Board, u.keys()); err != nil {
		return slotimage.Info{}, err
	}
	_, info, err := slotimage.ReadHead(s.Image)
	if err != nil {
		return info, err
	}
	return info, u.suits(info)
}

// stickFlags let nothing on a stick of somebody's be run or be written to, or
// lead to files of the box: a stick is looked at before anybody is asked.
const stickFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOSYMFOLLOW

// sticks are the file systems of a stick; noload leaves the journal alone, whose
// replay would write.
var sticks = []struct{ kind, options string }{{"vfat", ""}, {"ext4", "noload"}}

// mountStick mounts a block device on a new folder below run, and returns the
// folder and what undoes that.
func mountStick(device, run string) (dir string, undo func() error, err error) {
	if dir, err = os.MkdirTemp(run, "stick-"); err != nil {
		return "", nil, err
	}
	for _, fs := range sticks {
		if err = unix.Mount(device, dir, fs.kind, stickFlags, fs.options); err == nil {
			return dir, func() error { return errors.Join(unix.Unmount(dir, unix.MNT_DETACH), os.Remove(dir)) }, nil
		}
	}
	return "", nil, errors.Join(fmt.Errorf("mount %s: %w\nhint: a stick with an update has a FAT or ext4 file system", device, err), os.Remove(dir))
}

// mountedReader unmounts the stick when it is closed.
type mountedReader struct {
	io.ReadCloser
	undo func() error
}

func (r mountedReader) Close() error { return errors.Join(r.ReadCloser.Close(), r.undo()) }

// settle is how long a new device may take to be in /dev.
const settle = 200 * time.Millisecond

// WatchBlockDevices calls found with the name of each block device that appears,
// e.g. "sdb1", until ctx ends. The kernel tells of them on a netlink socket. Of a
// disk with partitions found hears of those alone: a FAT may claim to be a
// partition of the disk that it fills (mformat(1)), and one of the two cannot be
// mounted while the other is.
func WatchBlockDevices(ctx context.Context, found func(name string)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return fmt.Errorf("open uevent socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "uevents")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		return fmt.Errorf("bind uevent socket: %w", err)
	}
	defer context.AfterFunc(ctx, func() { f.Close() })()
	buf := make([]byte, 8192)
	for {
		n, err := f.Read(buf)
		if errors.Is(err, unix.ENOBUFS) {
			continue // some were lost; whoever plugs it in again is heard
		}
		if err != nil {
			return err
		}
		name, ok := addedDevice(buf[:n])
		if !ok {
			continue
		}
		select {
		case <-time.After(settle):
			if !partitioned("/sys/class/block", name) {
				found(name)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// partitioned reports whether the kernel found partitions on a disk, which it
// does before it tells of the disk. sys is /sys/class/block.
func partitioned(sys, name string) bool {
	partitions, err := filepath.Glob(filepath.Join(sys, name, name+"*", "partition"))
	return err == nil && len(partitions) > 0
}

// addedDevice reads a uevent, which is lines that end with a zero byte, the
// first of them a header (lib/kobject_uevent.c of Linux).
func addedDevice(event []byte) (name string, ok bool) {
	values := map[string]string{}
	for _, line := range bytes.Split(event, []byte{0}) {
		if key, value, ok := bytes.Cut(line, []byte("=")); ok {
			values[string(key)] = string(value)
		}
	}
	name = values["DEVNAME"]
	if values["ACTION"] != "add" || values["SUBSYSTEM"] != "block" || !isDisk(name) {
		return "", false
	}
	return name, true
}

// isDisk admits the names of disks and their partitions, e.g. "sdb1",
// "mmcblk1p1", "nvme0n1".
func isDisk(name string) bool {
	for _, kind := range []string{"sd", "vd", "hd", "mmcblk", "nvme"} {
		if len(name) > len(kind) && len(name) < 32 && name[:len(kind)] == kind {
			return !bytes.ContainsAny([]byte(name), "/.\n")
		}
	}
	return false
}
