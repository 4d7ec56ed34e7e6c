package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tench/supervisor/slots"
)

const (
	// dataPartition is the number of the data partition in the MBR.
	dataPartition = 4
	// diskWait is how long the disk that we booted from may take to appear: a
	// USB stick is found again only after the controller has reset the bus.
	diskWait = 20 * time.Second
	// rescan bounds the pause between two looks at all disks, in case the news
	// of a disk got lost.
	rescan = 500 * time.Millisecond
)

// dataFlags keep the data partition from holding programs or devices; noatime
// spares the flash.
const dataFlags = unix.MS_NOATIME | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// DataProblemName is a file below the run directory that tells why the data
// partition is not as it should be, and what to do. There is none when it is.
const DataProblemName = "data-problem"

// mountData mounts the data partition of the disk with the given MBR id on dir.
func mountData(disk uint32, dir string) error {
	if disk == 0 {
		return errors.New("data: the kernel command line names no tench.disk")
	}
	device, err := waitForDisk(disk)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("data: make mount point: %w", err)
	}
	if err = mountExt4(device, dir); err == nil {
		return nil
	}
	// Read-only still gives the configuration; noload because a journal cannot
	// be replayed onto a disk that takes no writes.
	if unix.Mount(device, dir, "ext4", dataFlags|unix.MS_RDONLY, "noload") == nil {
		return fmt.Errorf("data: %s is read-only: %w", device, err)
	}
	return fmt.Errorf("data: mount %s: %w", device, err)
}

// mountExt4 mounts a data partition on dir.
func mountExt4(device, dir string) error {
	err := unix.Mount(device, dir, "ext4", dataFlags, "errors=remount-ro")
	if err == nil {
		return nil
	}
	// A disk that cannot be read or written has its own words.
	if mended, _ := MendSuperblock(device); mended {
		err = unix.Mount(device, dir, "ext4", dataFlags, "errors=remount-ro")
	}
	return err
}

// mountSpare puts a RAM disk in the place of a data partition that cannot be
// had, so that the box can still be configured, until it is switched off.
func mountSpare(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("data: make mount point: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", dataFlags, "mode=0755,size=4m"); err != nil {
		return fmt.Errorf("data: mount RAM disk: %w", err)
	}
	return nil
}

// isSpare reports whether a RAM disk is in the place of the data partition.
func isSpare(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && int64(fs.Type) == unix.TMPFS_MAGIC
}

// isMounted reports whether dir is a mount point.
func isMounted(dir string) bool {
	var here, above unix.Stat_t
	return unix.Stat(dir, &here) == nil && unix.Stat(filepath.Dir(dir), &above) == nil && here.Dev != above.Dev
}

// dataWatch notices when the kernel gives the data partition up. After an error in
// it Linux 6.12 neither writes nor reads it, and says "Remounting filesystem
// read-only", but the mount table still has rw (ext4_handle_error in
// fs/ext4/super.c). What tells is the number of errors that ext4 has found in it.
// That outlives a reboot, so it is compared with what it was. The zero value
// watches nothing.
type dataWatch struct {
	name   string // of the device, e.g. "sda4"
	device string // the device below /sys
	file   string // where the kernel counts the errors
	count  string // what that held at the start
}

// watchData watches the file system that is mounted on dir, unless it is a RAM
// disk. sys is /sys.
func watchData(sys, dir string) dataWatch {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return dataWatch{}
	}
	return watchDevice(sys, unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
}

func watchDevice(sys string, major, minor uint32) dataWatch {
	device, err := filepath.EvalSymlinks(filepath.Join(sys, "dev/block", fmt.Sprintf("%d:%d", major, minor)))
	if err != nil {
		return dataWatch{}
	}
	name := filepath.Base(device)
	w := dataWatch{name: name, device: device, file: filepath.Join(sys, "fs/ext4", name, "errors_count")}
	count, err := os.ReadFile(w.file)
	if err != nil {
		return dataWatch{}
	}
	w.count = string(count)
	return w
}

// look returns what has become wrong since, nil for nothing. It reads what the
// kernel has in memory: a disk that hangs cannot hold it up.
func (w dataWatch) look() error {
	if w.file == "" {
		return nil
	}
	const after = "what is in force goes on, but nothing can be stored"
	if _, err := os.Stat(w.device); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data: %s is gone: %s\nhint: put the disk back and reboot", w.name, after)
	}
	if now, err := os.ReadFile(w.file); err == nil && string(now) != w.count {
		return fmt.Errorf("data: ext4 found an error on %s and stopped using it: %s\n"+
			"hint: `tenchd report` has the kernel's words, a reboot mounts it again; if it happens again, replace the disk", w.name, after)
	}
	return nil
}

// waitForDisk returns the data partition's device once the disk is there. The
// kernel tells of new block devices on a netlink socket, which is opened before
// the first look, so that none can appear in between unseen.
func waitForDisk(disk uint32) (string, error) {
	news, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return "", fmt.Errorf("data: open uevent socket: %w", err)
	}
	defer unix.Close(news)
	if err := unix.Bind(news, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		return "", fmt.Errorf("data: bind uevent socket: %w", err)
	}
	deadline := time.Now().Add(diskWait)
	for {
		device, err := slots.FindPartition(slots.SysBlock, slots.Dev, disk, dataPartition)
		if err == nil {
			return device, nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("data: %w", err)
		}
		waitForNews(news)
	}
}

// waitForNews returns after the next uevent, or after rescan. Everything that
// waits on the socket is read: one look serves it all.
func waitForNews(socket int) {
	poll := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLIN}}
	_, _ = unix.Poll(poll, int(rescan.Milliseconds()))
	buf := make([]byte, 4096)
	for {
		if _, err := unix.Read(socket, buf); err != nil {
			return
		}
	}
}
