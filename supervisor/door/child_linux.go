package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"tench/supervisor/status"
)

// endTime is how long a program has to end after SIGHUP when its client is gone:
// longer than the menu gives an update to end in order.
const endTime = 15 * time.Second

// child is the program of a session. It leads a session and a process group of
// its own, so that it ends with all that it started.
type child struct {
	ctx    context.Context // ends when the client is gone
	cmd    *exec.Cmd
	master *os.File       // of its pty; nil on pipes
	in     *os.File       // its standard input; nil on a pty
	copies sync.WaitGroup // of its output
}

// startChild starts tenchd with args, or the shell.
func (v *visit) startChild(ctx context.Context, args []string, pty *ptyRequest, channel ssh.Channel) (*child, error) {
	term := "dumb"
	if pty != nil {
		term = pty.Term
	}
	c := &child{ctx: ctx}
	if args[0] == shellWord {
		if len(args) > 1 {
			return nil, errors.New("shell: it takes no arguments\nhint: ssh HOST shell < FILE runs the commands of a file")
		}
		c.cmd = exec.CommandContext(ctx, v.d.o.Shell)
	} else {
		c.cmd = exec.CommandContext(ctx, v.d.o.Program, args...)
		c.cmd.Args[0] = "tenchd"
	}
	c.cmd.Dir = "/"
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/", "TERM=" + term, status.SessionEnv + "=" + v.id}
	c.cmd.Cancel = func() error { return unix.Kill(-c.cmd.Process.Pid, unix.SIGHUP) }
	c.cmd.WaitDelay = endTime
	var err error
	if pty != nil {
		err = c.startOnPTY(pty.Size, channel)
	} else {
		err = c.startOnPipes(channel)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	return c, nil
}

// startOnPipes gives the program pipes of its own, of which it gets the far ends
// as they are: what it wrote before it ended still comes, however slow the line.
func (c *child) startOnPipes(channel ssh.Channel) error {
	var theirs, ours []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(ours)
			return err
		}
		if len(ours) == 0 {
			theirs, ours = append(theirs, r), append(ours, w)
			continue
		}
		theirs, ours = append(theirs, w), append(ours, r)
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = theirs[0], theirs[1], theirs[2]
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.cmd.Start(); err != nil {
		closeAll(ours)
		return err
	}
	c.in = ours[0]
	go func() {
		_, _ = io.Copy(c.in, channel) // until the client or the program has enough
		c.in.Close()
	}()
	c.copyOutput(channel, ours[1])
	c.copyOutput(channel.Stderr(), ours[2])
	return nil
}

// copyOutput copies what the program writes until nobody can write any more, or
// the client is gone.
func (c *child) copyOutput(to io.Writer, from *os.File) {
	stop := context.AfterFunc(c.ctx, func() { from.Close() })
	c.copies.Go(func() {
		_, _ = io.Copy(to, from) // a client that is gone ends ctx, too
		stop()
		from.Close()
	})
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// startOnPTY makes a terminal the program's controlling one.
func (c *child) startOnPTY(size winSize, channel ssh.Channel) error {
	master, slave, err := openPTY()
	if err != nil {
		return err
	}
	defer slave.Close()
	c.master = master
	err = c.resize(size)
	if err == nil {
		c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		err = c.cmd.Start()
	}
	if err != nil {
		master.Close()
		return err
	}
	go func() {
		_, _ = io.Copy(master, channel)
		_, _ = master.Write([]byte{'D' & 0x1f}) // an input that ends, as a person says it
	}()
	c.copyOutput(channel, master) // it ends with an error when the last program is gone
	return nil
}

// openPTY makes a pseudo-terminal, see pts(4).
func openPTY() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	raw, err := master.SyscallConn()
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	var number int
	var ioctlErr error
	err = raw.Control(func(fd uintptr) {
		if ioctlErr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ioctlErr == nil {
			number, ioctlErr = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err = errors.Join(err, ioctlErr); err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("make terminal: %w", err)
	}
	return master, slave, nil
}

// resize sets the size of the terminal; the kernel tells the program.
func (c *child) resize(size winSize) error {
	if c.master == nil {
		return errors.New("there is no terminal")
	}
	raw, err := c.master.SyscallConn()
	if err != nil {
		return err
	}
	var ioctlErr error
	err = raw.Control(func(fd uintptr) {
		ioctlErr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{
			Col: uint16(min(size.Columns, 1000)), Row: uint16(min(size.Rows, 1000))})
	})
	return errors.Join(err, ioctlErr)
}

// signals are those that a client may send; RFC 4254, section 6.10.
var signals = map[ssh.Signal]syscall.Signal{
	ssh.SIGABRT: unix.SIGABRT, ssh.SIGALRM: unix.SIGALRM, ssh.SIGFPE: unix.SIGFPE, ssh.SIGHUP: unix.SIGHUP,
	ssh.SIGILL: unix.SIGILL, ssh.SIGINT: unix.SIGINT, ssh.SIGKILL: unix.SIGKILL, ssh.SIGPIPE: unix.SIGPIPE,
	ssh.SIGQUIT: unix.SIGQUIT, ssh.SIGSEGV: unix.SIGSEGV, ssh.SIGTERM: unix.SIGTERM, ssh.SIGUSR1: unix.SIGUSR1,
	ssh.SIGUSR2: unix.SIGUSR2,
}

// signal sends a signal to the program and what it started.
func (c *child) signal(name ssh.Signal) bool {
	sig, known := signals[name]
	return known && unix.Kill(-c.cmd.Process.Pid, sig) == nil
}

// wait returns how the program ended, when all that it wrote is sent. If the
// client is gone, nothing that the program started is left.
func (c *child) wait() exit {
	err := c.cmd.Wait()
	c.copies.Wait() // for what it started and left, too; they end with ctx
	if c.in != nil {
		c.in.Close() // a client that does not close its channel would keep it
	}
	if c.ctx.Err() != nil {
		_ = unix.Kill(-c.cmd.Process.Pid, unix.SIGKILL) // an empty group is as well
	}
	state := c.cmd.ProcessState
	if state == nil {
		return exit{status: exitError}
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		for name, sig := range signals {
			if sig == ws.Signal() {
				return exit{signal: name}
			}
		}
		return exit{status: 128 + uint32(ws.Signal())} // as shells count those that RFC 4254 does not name
	}
	if err != nil && state.ExitCode() == 0 {
		return exit{status: exitError}
	}
	return exit{status: uint32(state.ExitCode())}
}
