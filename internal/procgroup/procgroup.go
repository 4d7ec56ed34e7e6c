// Package procgroup runs a program that starts others, such as make, so that
// an interrupt ends all of them.
package procgroup

import (
	"context"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// patience is how long programs may take to clean up after SIGTERM: make then
// removes the files it was about to write.
const patience = 10 * time.Second

// Command is exec.CommandContext for a process group of its own: when ctx ends,
// every process in it gets SIGTERM. The program gets it too when we are killed
// by a signal that nobody can handle, and make then ends its children.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = patience
	return cmd
}

// Run runs a command made by Command, and kills whoever of its group did not
// listen when ctx ended; mostly nobody is left.
func Run(ctx context.Context, cmd *exec.Cmd) error {
	// The kernel takes the thread that starts the program for its parent
	// (PR_SET_PDEATHSIG(2const)): it must live until the program has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return err
}
