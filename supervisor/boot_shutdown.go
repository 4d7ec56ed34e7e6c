package supervisor

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// order is how the box is taken down.
type order struct {
	cause string // who asked
	verb  string // on the console
	cmd   int    // reboot(2)
	note  func() // writes to the data partition why, when all else has ended; nil for nothing
}

// orders are the signals that PID 1 obeys.
var orders = map[os.Signal]order{
	unix.SIGTERM: {cause: "told to reboot", verb: "rebooting", cmd: unix.LINUX_REBOOT_CMD_RESTART},
	unix.SIGINT:  {cause: "ctrl-alt-del", verb: "rebooting", cmd: unix.LINUX_REBOOT_CMD_RESTART},
	unix.SIGUSR2: {cause: "told to power off", verb: "powering off", cmd: unix.LINUX_REBOOT_CMD_POWER_OFF},
}

// Bounds on the way down. Their sum is below shutdownLimit, in which the
// watchdog is fed; a shutdown that hangs all the same is bitten.
const (
	menuStop      = 6 * time.Second // SIGKILL comes after 5 s
	loopStop      = 6 * time.Second
	restStop      = 2 * time.Second
	diskStop      = 15 * time.Second
	shutdownLimit = 35 * time.Second
)

// shutdown takes the box down in this order and never returns:
//
//  1. the menus, so that the lines below stand alone on the console and nobody
//     starts anything new;
//  2. the network loop. It leaves addresses and routes as they are, so the box
//     forwards packets to the very end and no peer sees half a configuration;
//  3. whatever else runs, e.g. a shell's children;
//  4. the data partition: written back, unmounted, or read-only if it is busy;
//  5. reboot(2).
func (p *pid1) shutdown(o order) {
	p.logf("%s: %s", o.verb, o.cause)
	say("\r\ntench: %s: %s", o.verb, o.cause)
	p.spawn(p.feedWhileStopping)

	p.stopStage("menus", p.menus, menuStop)
	p.stopStage("network loop", p.loop, loopStop)
	p.stopRest()

	say("tench: writing data")
	written := make(chan struct{})
	p.spawn(func() {
		defer close(written)
		if o.note != nil {
			o.note()
		}
		p.unmountData()
	})
	select {
	case <-written:
	case <-time.After(diskStop):
		say("tench: data: the disk does not answer, going on without it")
	}
	say("tench: %s", o.verb)
	if o.cmd == unix.LINUX_REBOOT_CMD_POWER_OFF {
		p.dog.release()
	}
	if err := unix.Reboot(o.cmd); err != nil {
		alarm("%s: %v", o.verb, err)
	}
	select {} // a box that cannot power off stays as it is, or is bitten
}

// feedWhileStopping gives the shutdown its time whatever the timeout is.
func (p *pid1) feedWhileStopping() {
	if p.dog == nil {
		return
	}
	if longest := int(shutdownLimit.Seconds()); p.dog.timeout < longest {
		_ = p.dog.setTimeout(longest) // drivers with less keep what they have
	}
	for end := time.Now().Add(shutdownLimit); time.Now().Before(end); time.Sleep(time.Second) {
		_ = p.dog.feed()
	}
}

// stopStage ends children and waits for it, while it takes what they still say.
func (p *pid1) stopStage(what string, r *running, limit time.Duration) {
	if r == nil {
		return
	}
	say("tench: stopping the %s", what)
	r.stop()
	late := time.After(limit)
	for {
		select {
		case <-r.done:
			return
		case <-p.messages:
		case <-p.tasks:
		case <-late:
			say("tench: the %s does not end, going on without it", what)
			return
		}
	}
}

// stopRest ends every other process.
func (p *pid1) stopRest() {
	if !othersRun() {
		return
	}
	say("tench: stopping what is left")
	_ = unix.Kill(-1, unix.SIGTERM)
	for end := time.Now().Add(restStop); othersRun() && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	_ = unix.Kill(-1, unix.SIGKILL)
}

// othersRun reports whether there is a process besides PID 1. Threads of the
// kernel have no program.
func othersRun() bool {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range exes {
		if _, err := os.Readlink(exe); err == nil && exe != "/proc/1/exe" {
			return true
		}
	}
	return false
}

// unmountData writes everything back and takes the data partition off the
// disk, so that the next boot finds a clean file system.
func (p *pid1) unmountData() {
	unix.Sync()
	if !isMounted(DataDir) {
		return
	}
	if err := unix.Unmount(DataDir, 0); err == nil {
		return
	}
	if err := unix.Mount("", DataDir, "", unix.MS_REMOUNT|unix.MS_RDONLY|dataFlags, ""); err != nil {
		alarm("data: unmount: %v", err)
	}
	unix.Sync()
}
