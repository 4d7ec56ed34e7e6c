package door

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// politeness is the nice value of the door and of what sessions run: the network
// loop goes first, whoever knocks.
const politeness = 5

// needed are the capabilities of the door itself: ports below 1024, and sockets
// bound to a device.
const needed = 1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_NET_RAW

// DropPrivileges takes from this process what it does not need, so that a
// mistake in it cannot load modules, mount or change the network. Its children
// have all of root's privileges again, because exec(2) gives them: it is no cage
// for somebody who runs code in here. It is for a process of its own.
func DropPrivileges() error {
	if err := lowerPriority(); err != nil {
		return fmt.Errorf("door: lower priority: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: needed, Permitted: needed}}
	// Capabilities are a thread's own: all threads of the process change.
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		return fmt.Errorf("door: drop privileges: %w", errno)
	}
	return nil
}

// lowerPriority makes politeness the nice value of the process. Linux has one for
// each thread (setpriority(2)); those that are made later have that of their maker.
func lowerPriority() error {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, politeness)
	if errno != 0 {
		return errno
	}
	return nil
}
