package supervisor

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mount is one early mount. All of them are in RAM or the kernel's own.
type mount struct {
	fs, dir string
	flags   uintptr
	data    string
	spare   bool // the box does without it
}

// earlyMounts are made in this order. The sizes bound what a runaway program
// can take of a box with 256 MiB.
var earlyMounts = []mount{
	{fs: "proc", dir: "/proc", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{fs: "sysfs", dir: "/sys", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{fs: "devtmpfs", dir: "/dev", flags: unix.MS_NOSUID, data: "mode=0755"},
	{fs: "devpts", dir: "/dev/pts", flags: unix.MS_NOSUID | unix.MS_NOEXEC, data: "mode=0620,ptmxmode=0666"},
	{fs: "tmpfs", dir: "/run", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=0755,size=16m"},
	{fs: "tmpfs", dir: "/tmp", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=1777,size=25%"},
	// Oopses of the boot before, where board or firmware keep them.
	{fs: "pstore", dir: "/sys/fs/pstore", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, spare: true},
}

// mountEarly makes all early mounts, and reports the problems of those that the
// box needs. A place that is mounted already, e.g. /dev by the kernel, is fine.
func mountEarly() error {
	var problems []error
	for _, m := range earlyMounts {
		if err := m.make(); err != nil && !m.spare {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (m mount) make() error {
	if !m.spare {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	err := unix.Mount(m.fs, m.dir, m.fs, m.flags, m.data)
	if err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s: %s: %w", m.dir, m.fs, err)
	}
	return nil
}
