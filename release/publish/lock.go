package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tench/internal/remote"
)

// Owner is a process that publishes.
type Owner struct {
	User, Host string
	PID        int
	// Boot names the boot and the PID namespace in which the PID means something.
	Boot string
}

// Me is this process.
func Me() Owner {
	o := Owner{User: "?", Host: "?", PID: os.Getpid()}
	if u, err := user.Current(); err == nil {
		o.User = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		o.Host = host
	}
	// Without these the boot is "/", and only --break-lock takes a lock over.
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid")
	o.Boot = strings.TrimSpace(string(boot)) + "/" + space
	return o
}

// lock says that one publisher works on the tree: a symbolic link, because it
// is made with its content in one step and only where there is none, on every
// file system and over SFTP. Its target is lockText, e.g.
//
//	root@desk pid 4711 boot 31c5…/pid:[4026531836] since 2026-11-25T17:44:15Z
type lock struct {
	t    *Tree
	text string
}

const lockText = "%s@%s pid %d boot %s since %s"

// lock takes the lock, or says who has it. A lock that a process of this machine
// left behind when it was killed is taken over.
func (t *Tree) lock(o Options) (*lock, error) {
	me := o.Owner
	l := &lock{t, fmt.Sprintf(lockText, me.User, me.Host, me.PID, me.Boot, o.Now().UTC().Format(time.RFC3339))}
	err := t.store.Symlink(l.text, lockLink)
	if err == nil {
		return l, nil
	}
	have, readErr := t.store.Readlink(lockLink)
	if errors.Is(readErr, fs.ErrNotExist) { // it could not be made, for a reason of its own
		var link *os.LinkError
		if errors.As(err, &link) { // less the target, which is all of l.text
			err = fmt.Errorf("make %s: %w", link.New, link.Err)
		}
		return nil, err
	}
	if readErr != nil {
		return nil, readErr
	}
	if !o.BreakLock && !left(have, me) {
		return nil, lockedBy(have, o.Now())
	}
	o.Report.Warn("taking over the lock of " + who(have))
	if err := t.removeIfThere(lockLink); err != nil {
		return nil, err
	}
	if err := t.store.Symlink(l.text, lockLink); err != nil {
		return nil, fmt.Errorf("%w\nhint: did another publisher begin just now?", err)
	}
	return l, nil
}

// held is an error when somebody else took the lock over since.
func (l *lock) held() error {
	have, err := l.t.store.Readlink(lockLink)
	if err == nil && have == l.text {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("the lock was taken over by %s\nhint: let that publisher finish", who(have))
}

// release gives the lock back. After an error that may fail too: the next run
// from this machine takes the lock over.
func (l *lock) release(err *error) {
	mine := l.held()
	if mine == nil {
		mine = l.t.store.Remove(lockLink)
	}
	if *err == nil {
		*err = mine
	}
}

// who is the part of a lock's text that means something to people.
func who(text string) string {
	owner, _, _ := strings.Cut(text, " boot ")
	if owner == "" {
		return "nobody"
	}
	return remote.Plain(owner) // whoever may write there may have written anything
}

// left reports whether the lock is of a process of this machine that is no more.
func left(text string, me Owner) bool {
	var name, boot, since string
	var pid int
	if _, err := fmt.Sscanf(text, "%s pid %d boot %s since %s", &name, &pid, &boot, &since); err != nil {
		return false
	}
	_, host, _ := strings.Cut(name, "@")
	return boot != "/" && host == me.Host && boot == me.Boot && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

func lockedBy(text string, now time.Time) error {
	age := ""
	if _, since, ok := strings.Cut(text, " since "); ok {
		if began, err := time.Parse(time.RFC3339, since); err == nil {
			age = fmt.Sprintf(", for %s", now.Sub(began).Round(time.Second))
		}
	}
	return fmt.Errorf("locked by %s%s\nhint: wait for it; if that process is no more, add --break-lock", who(text), age)
}
