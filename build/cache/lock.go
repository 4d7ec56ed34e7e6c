package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lock takes the lock of one product. When another process has it, it calls
// wait once and then waits for it or for the end of ctx.
//
// The programs that a step runs inherit the lock. When this process is killed
// and one of them goes on (a compiler, tar), the next run waits for it: the two
// would write to the same files. This is why the lock is not one of
// gofrs/flock, whose descriptor no child gets.
func (s *Store) lock(ctx context.Context, step, key string, wait func()) (unlock func(), err error) {
	path := s.workDir(step, key) + ".lock"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	fd := int(f.Fd())
	if err := acquire(ctx, fd, wait); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil { // no FD_CLOEXEC
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() {
		// Closing it would not do: a child may still have it.
		_ = unix.Flock(fd, unix.LOCK_UN)
		_ = f.Close()
	}, nil
}

// LockFolder locks a folder outside of the store against others who call it.
// It leaves no file there. wait is called once when another process has it.
func LockFolder(ctx context.Context, dir string, wait func()) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := acquire(ctx, int(f.Fd()), wait); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// Locked reports whether a process that lives has the folder locked by LockFolder.
func Locked(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, fmt.Errorf("lock: %w", err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// acquire takes flock(2) of fd. It asks again and again instead of blocking,
// because a blocked call does not end with ctx.
func acquire(ctx context.Context, fd int, wait func()) error {
	err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	wait()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for errors.Is(err, unix.EWOULDBLOCK) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	return err
}
