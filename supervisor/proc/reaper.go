package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Reaper waits for all processes that become children of this one: those that
// start makes, and the orphans that the kernel hands to PID 1.
type Reaper struct {
	mu     sync.Mutex
	exited map[int]chan<- syscall.WaitStatus // by pid; each holds one status
}

// NewReaper returns a Reaper; Run makes it work.
func NewReaper() *Reaper {
	return &Reaper{exited: map[int]chan<- syscall.WaitStatus{}}
}

// Run reaps until ctx ends.
func (r *Reaper) Run(ctx context.Context) {
	sigchld := make(chan os.Signal, 1)
	signal.Notify(sigchld, syscall.SIGCHLD)
	defer signal.Stop(sigchld)
	for {
		// Before the first signal too: a child may have ended before Notify.
		r.reap()
		select {
		case <-sigchld:
		case <-ctx.Done():
			return
		}
	}
}

// reap takes every process that has ended; one SIGCHLD may stand for several.
func (r *Reaper) reap() {
	for {
		r.mu.Lock()
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if pid > 0 {
			if exited, ok := r.exited[pid]; ok {
				exited <- status
				delete(r.exited, pid)
			}
		}
		r.mu.Unlock()
		if pid <= 0 && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// start runs a program. The lock is held over the fork, so that reap cannot
// take a process that ends at once before its pid is noted.
func (r *Reaper) start(path string, argv []string, attr *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	exited := make(chan syscall.WaitStatus, 1)
	r.exited[pid] = exited
	return pid, exited, nil
}

// signal sends sig to the group that pid leads. Until reap has taken it the
// kernel cannot give the pid to another process, hence the lock.
func (r *Reaper) signal(pid int, sig syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.exited[pid]; ok {
		// ESRCH is the only error that root can get, for one that just ended.
		_ = syscall.Kill(-pid, sig)
	}
}
