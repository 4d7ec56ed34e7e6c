package supervisor

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"tench/supervisor/proc"
)

// incomingDir is where sftp puts files: in RAM, and not in /run, which is small.
const incomingDir = "/tmp/incoming"

// matchDoor starts the door once the menus run, and ends it when router.toml
// has no [ssh] any more, together with its sessions. A wish that only changes
// where to listen ends no session: tellDoor passes it on.
func (p *pid1) matchDoor() {
	wanted := p.doorAt.Port != 0
	switch {
	case wanted && p.door == nil && p.menus != nil:
		p.startDoor()
	case !wanted && p.door != nil:
		p.door.stop()
		p.doorGone, p.door = p.door, nil
	}
}

func (p *pid1) startDoor() {
	if p.doorOut == nil {
		if err := p.openDoorPipe(); err != nil {
			p.problem("door: make pipe: %v", err)
			p.doorAt.Port = 0 // not again before the loop says so again
			return
		}
	}
	p.door = p.runChildren(p.doorGone, proc.New(proc.Spec{
		Name: "door", Path: self,
		Argv:  []string{"tenchd", "door", "-data", DataDir, "-run", RunDir, "-incoming", incomingDir},
		Env:   childEnv,
		Stdin: p.doorOut,
		Log:   func(line string) { p.log.add("door", line) },
		Start: func() { p.tasks <- p.tellDoor },
		Logf:  p.logf,
	}, p.reaper))
}

// openDoorPipe makes the pipe that every door reads its wishes from. PID 1 never
// waits for a door that does not read.
func (p *pid1) openDoorPipe() error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	if err := unix.SetNonblock(fds[1], true); err != nil {
		return err
	}
	p.doorOut, p.doorIn = os.NewFile(uintptr(fds[0]), "door"), fds[1]
	return nil
}

// tellDoor tells the door where to listen: when that changes, and when a door
// was started, which has not heard what the one before it read.
func (p *pid1) tellDoor() {
	if p.door == nil {
		return
	}
	if _, err := unix.Write(p.doorIn, []byte(fmt.Sprintln(p.doorAt))); err != nil {
		p.problem("door: tell where to listen: %v", err)
	}
}
