package console

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Port is a serial port with a menu on it.
type Port struct {
	Name   string // below /dev, e.g. "ttyS0"
	Speed  int    // bit/s
	Locked bool
	Box    Live // TTY is filled in
}

// portRE is what a port may be called: a device right below /dev.
var portRE = regexp.MustCompile(`^(tty[A-Za-z0-9]+|hvc[0-9]+)$`)

// replug is how often a port that is not there is looked for.
const replug = time.Second

// Run runs the menu on the port until ctx ends or the box goes down. A port
// that is missing, e.g. an unplugged USB adapter, is waited for. The process
// must lead a session without a controlling terminal.
func (p Port) Run(ctx context.Context, logf func(format string, args ...any)) error {
	if !portRE.MatchString(p.Name) {
		return fmt.Errorf("console: %q is not a terminal's name, e.g. ttyS0", p.Name)
	}
	interrupts, stop := Interrupts()
	defer stop()
	missing := false
	for ctx.Err() == nil {
		err := p.serve(ctx, interrupts)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
			if !missing {
				logf("waiting for the port: %v", err)
			}
			missing = true
		case errors.Is(err, errLeave):
			<-ctx.Done() // PID 1 ends the menus first
			return nil
		case err != nil && ctx.Err() == nil:
			return err
		default:
			missing = false
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(replug):
		}
	}
	return nil
}

// serve opens the port and runs menus on it until it is gone.
func (p Port) serve(ctx context.Context, interrupts <-chan struct{}) error {
	tty, err := openTTY(filepath.Join("/dev", p.Name))
	if err != nil {
		return err
	}
	defer tty.Close()
	return p.serveOn(ctx, tty, interrupts)
}

// OpenPort opens a serial port for something else than a menu, in the same mode:
// lines, echo, ctrl-C. The process must lead a session without a controlling
// terminal.
func OpenPort(name string, speed int) (*os.File, error) {
	if !portRE.MatchString(name) {
		return nil, fmt.Errorf("console: %q is not a terminal's name, e.g. ttyS0", name)
	}
	tty, err := openTTY(filepath.Join("/dev", name))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(setTTY(tty, speed), takeTTY(tty)); err != nil {
		tty.Close()
		return nil, err
	}
	return tty, nil
}

func openTTY(path string) (*os.File, error) {
	// Without O_NONBLOCK the open would wait for a carrier until CLOCAL is set.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("console: open %s: %w", path, err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("console: %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// serveOn runs menus on an open terminal until it is gone: ctrl-D at the prompt
// only starts a new one.
func (p Port) serveOn(ctx context.Context, tty *os.File, interrupts <-chan struct{}) error {
	if err := setTTY(tty, p.Speed); err != nil {
		return err
	}
	if err := takeTTY(tty); err != nil {
		return err
	}
	p.Box.TTY = tty
	in := NewInput(tty, interrupts)
	defer in.Close()
	for ctx.Err() == nil {
		m := Menu{Box: p.Box, In: in, Out: tty, Locked: p.Locked}
		if err := m.Run(ctx); err == nil {
			return errLeave
		}
		if gone(tty) {
			return nil
		}
	}
	return nil
}

// Interrupts turns SIGINT into values of a channel. SIGHUP, which a terminal
// sends when it is unplugged, is caught and means nothing: the read that fails
// tells.
func Interrupts() (interrupts <-chan struct{}, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGHUP)
	pressed := make(chan struct{}, 1)
	go func() {
		for sig := range signals {
			if sig != syscall.SIGINT {
				continue
			}
			select {
			case pressed <- struct{}{}:
			default:
			}
		}
	}()
	return pressed, func() {
		signal.Stop(signals)
		close(signals)
	}
}
