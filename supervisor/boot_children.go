package supervisor

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tench/supervisor/proc"
)

// self is this program, also when its file was replaced or renamed.
const self = "/proc/self/exe"

// childEnv is the environment of the loop and of the menus with their shells.
var childEnv = []string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/", "TERM=dumb"}

// running is a set of children that live and end together.
type running struct {
	children []*proc.Child
	cancel   context.CancelFunc
	done     chan struct{} // closed when all of them are gone
}

// runChildren starts children once before is gone (nil: at once).
func (p *pid1) runChildren(before *running, children ...*proc.Child) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{children: children, cancel: cancel, done: make(chan struct{})}
	p.spawn(func() {
		defer close(r.done)
		if before != nil {
			<-before.done
		}
		if ctx.Err() != nil {
			return // stopped while it waited: nothing shows up on the way down
		}
		var all sync.WaitGroup
		for _, c := range children {
			all.Add(1)
			p.spawn(func() {
				defer all.Done()
				c.Run(ctx)
			})
		}
		all.Wait()
	})
	return r
}

// stop tells the children to end; done tells when they have.
func (r *running) stop() {
	if r != nil {
		r.cancel()
	}
}

func (r *running) kill(why string) {
	for _, c := range r.children {
		c.Kill(why)
	}
}

// startLoop starts the network loop; dataErr tells how the data partition is.
// It is started once.
func (p *pid1) startLoop(dataErr error) {
	if dataErr != nil {
		p.dataWrong(dataErr)
		if p.loop == nil && !isMounted(DataDir) {
			if err := mountSpare(DataDir); err != nil {
				p.problem("%v", err)
			}
		}
	}
	if p.loop != nil {
		return
	}
	p.loopAt = time.Now()
	p.loop = p.runChildren(nil, proc.New(proc.Spec{
		Name: "loop",
		Path: self,
		Argv: []string{"tenchd", "loop", "-data", DataDir, "-run", RunDir, "-board", BoardFile, "-report"},
		Env:  childEnv,
		Log:  func(line string) { p.log.add("loop", line) },
		Report: func(line string) {
			m, err := parseMessage(line)
			if err != nil {
				p.logf("%v", err)
				return
			}
			p.messages <- m
		},
		Start: func() { p.tasks <- p.loopStarted },
		Logf:  p.logf,
	}, p.reaper))
}

// dataWrong tells everybody what is wrong with the data partition.
func (p *pid1) dataWrong(err error) {
	p.dataErr = err
	p.problem("%v", err)
	note := filepath.Join(RunDir, DataProblemName)
	if err := os.WriteFile(note, []byte(err.Error()+"\n"), 0o644); err != nil {
		p.problem("%v", err)
	}
}

// lateData brings router.toml into force when the mount of the data partition
// returned after the loop was started without it: a slow disk must not leave the
// box without a network, and cost a slot its trial. mountErr says that it is
// mounted, and what is wrong with it all the same: that it is read-only.
func (p *pid1) lateData(mountErr error) {
	if isSpare(DataDir) { // mounted over it in the same moment
		if err := unix.Unmount(DataDir, unix.MNT_DETACH); err != nil {
			p.problem("data: unmount RAM disk: %v", err)
			return
		}
	}
	p.dataErr = nil
	if err := os.Remove(filepath.Join(RunDir, DataProblemName)); err != nil {
		p.problem("data: %v", err)
	}
	if mountErr != nil {
		p.dataWrong(mountErr)
	}
	p.loop.kill("the data partition is there now")
}

// startMenus runs a menu on each port, in place of those that run now.
func (p *pid1) startMenus(want consoles) {
	if p.menus != nil && p.menusAt.trusted == want.trusted && p.menusAt.speed == want.speed &&
		slices.Equal(p.menusAt.ports, want.ports) {
		return
	}
	var children []*proc.Child
	for n, port := range want.ports {
		argv := []string{"tenchd", p.role(n), "-port", port, "-speed", strconv.Itoa(want.speed), "-run", RunDir,
			"-board", p.board.Name, "-slot", p.args.Slot}
		if !want.trusted {
			argv = append(argv, "-locked")
		}
		children = append(children, proc.New(proc.Spec{
			Name: "console " + port, Path: self, Argv: argv, Env: childEnv,
			Log:   func(line string) { p.log.add("console "+port, line) },
			Start: func() { p.tasks <- func() { p.menuUp(port, true) } },
			End:   func() { p.tasks <- func() { p.menuUp(port, false) } },
			Logf:  p.logf,
		}, p.reaper))
	}
	p.menus.stop()
	p.menus, p.menusAt = p.runChildren(p.menus, children...), want
}
