package cache

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestLockOutlivesItsHolder kills a process whose child goes on working: the
// lock is the child's until it ends.
func TestLockOutlivesItsHolder(t *testing.T) {
	const step, key = "kernel", "0123"
	if dir := os.Getenv("TENCH_TEST_LOCKED"); dir != "" {
		holdLock(t, dir, step, key)
	}
	s := open(t)
	childEnds, hold, err := os.Pipe() // the child ends when we close hold
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockOutlivesItsHolder$")
	cmd.Env = append(os.Environ(), "TENCH_TEST_LOCKED="+s.dir)
	cmd.Stdin = childEnds
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the other process ended with %v, want SIGKILL", err)
	}
	waited := false
	unlock, err := s.lock(context.Background(), step, key, func() {
		waited = true
		if err := hold.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if !waited {
		t.Error("the lock was free while a child of its holder was at work")
	}
}

// holdLock takes the lock, starts a child that lives until standard input ends,
// and kills this process.
func holdLock(t *testing.T, dir, step, key string) {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.lock(context.Background(), step, key, func() {}); err != nil {
		t.Fatal(err)
	}
	child := exec.Command("cat")
	child.Stdin = os.Stdin
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Fatal(syscall.Kill(os.Getpid(), syscall.SIGKILL))
}

func TestUnlockedAlthoughAChildHasIt(t *testing.T) {
	s := open(t)
	unlock, err := s.lock(context.Background(), "kernel", "0123", func() {})
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	unlock()
	again, err := s.lock(context.Background(), "kernel", "0123", func() { t.Error("the lock is not free") })
	if err != nil {
		t.Fatal(err)
	}
	again()
	if err := errors.Join(in.Close(), child.Wait()); err != nil {
		t.Error(err)
	}
}
