// Package proc runs the processes of the box and watches them.
//
//	proc.go    Spec and Child: start, watch, restart, stop one process
//	life.go    the automaton behind Child: when to start, when to kill
//	reaper.go  Reaper, the one place that waits for processes
//	lines.go   a child's output, line by line, bounded
//
// It is made for PID 1, which must reap every orphan with wait4(-1). That call
// would also take the exit status away from os.Process.Wait, so nothing in a
// process that has a Reaper may use os/exec: processes are started and waited
// for here alone.
package proc

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Spec says what to run and who listens to it.
type Spec struct {
	Name   string            // in messages, e.g. "loop"
	Argv   []string          // Argv[0] is what ps shows
	Path   string            // the program
	Env    []string          // e.g. "PATH=/bin"
	Stdin  *os.File          // its standard input, the same at each start; nil: /dev/null
	Log    func(line string) // each line that it writes to standard output or error
	Report func(line string) // each line that it writes to file descriptor 3; nil: it has none
	Once   bool              // it is not started again when it ends
	Start  func()            // called after each start; nil for nobody
	End    func()            // called after each end; nil for nobody
	Logf   func(format string, args ...any)
}

// Child keeps one process running: it is started at once, started again with
// growing delays when it ends, and stopped with its whole process group.
type Child struct {
	spec   Spec
	reaper *Reaper
	kill   chan string
}

// New returns a Child that Run will start.
func New(spec Spec, reaper *Reaper) *Child {
	return &Child{spec: spec, reaper: reaper, kill: make(chan string, 1)}
}

// Kill ends the running process at once with SIGKILL, e.g. because it hangs; it
// is then started again. why goes into the log.
func (c *Child) Kill(why string) {
	select {
	case c.kill <- why:
	default: // one is under way
	}
}

// Run keeps the process running until ctx ends, then stops it: SIGTERM, and
// SIGKILL after a grace of 5 s. It returns when the process is gone; one that is
// to run once, when it ends.
func (c *Child) Run(ctx context.Context) {
	var life life
	var running process
	stop := ctx.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	ev, why := evStart, ""
	for {
		do, wake := life.handle(ev, time.Now())
		switch do {
		case doStart:
			var err error
			if running, err = c.start(); err != nil {
				c.spec.Logf("%s: start: %v", c.spec.Name, err)
				if c.spec.Once {
					return
				}
				ev = evExited
				continue
			}
			if c.spec.Start != nil {
				c.spec.Start()
			}
		case doTerm:
			why = "it did not stop when asked"
			c.reaper.signal(running.pid, syscall.SIGTERM)
		case doKill:
			c.spec.Logf("%s: killed: %s", c.spec.Name, why)
			c.reaper.signal(running.pid, syscall.SIGKILL)
		case doEnd:
			return
		}
		if !wake.IsZero() {
			timer.Reset(time.Until(wake))
		}
		select {
		case status := <-running.exited:
			running.drain()
			c.spec.Logf("%s: %s", c.spec.Name, describe(status))
			running, ev = process{}, evExited
			if c.spec.End != nil {
				c.spec.End()
			}
			if c.spec.Once {
				return
			}
			select {
			case <-c.kill: // meant for the process that is gone
			default:
			}
		case why = <-c.kill:
			ev = evKill
		case <-timer.C:
			ev = evTimer
		case <-stop:
			stop = nil
			ev = evStop
		}
	}
}

// process is a started process: pid, how it ended, and when all it wrote is read.
type process struct {
	pid    int
	exited <-chan syscall.WaitStatus
	read   []<-chan struct{}
}

// drain waits until what the process wrote is read, so that its last words
// come before the line about its end. A grandchild may hold the pipe open for
// ever, hence the limit.
func (p process) drain() {
	limit := time.After(100 * time.Millisecond)
	for _, done := range p.read {
		select {
		case <-done:
		case <-limit:
			return
		}
	}
}

func (c *Child) start() (process, error) {
	in := c.spec.Stdin
	if in == nil {
		null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
		if err != nil {
			return process{}, err
		}
		defer null.Close()
		in = null
	}
	var p process
	logEnd, done, err := linePipe(maxLine, limited(c.spec.Log, time.Now))
	if err != nil {
		return process{}, fmt.Errorf("make log pipe: %w", err)
	}
	defer logEnd.Close()
	p.read = append(p.read, done)
	files := []uintptr{in.Fd(), logEnd.Fd(), logEnd.Fd()}
	if c.spec.Report != nil {
		end, done, err := linePipe(maxReport, c.spec.Report)
		if err != nil {
			return process{}, fmt.Errorf("make report pipe: %w", err)
		}
		defer end.Close()
		p.read = append(p.read, done)
		files = append(files, end.Fd())
	}
	// A session of its own makes the process the leader of its group, so that
	// it is stopped with all it started, and lets a menu take a terminal.
	attr := &syscall.ProcAttr{Env: c.spec.Env, Files: files, Dir: "/", Sys: &syscall.SysProcAttr{Setsid: true}}
	p.pid, p.exited, err = c.reaper.start(c.spec.Path, c.spec.Argv, attr)
	return p, err
}

// describe says how a process ended.
func describe(status syscall.WaitStatus) string {
	switch {
	case status.Signaled():
		return "ended by signal: " + status.Signal().String()
	case status.ExitStatus() == 0:
		return "ended"
	}
	return fmt.Sprintf("ended with status %d", status.ExitStatus())
}
