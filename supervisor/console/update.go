package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tench/supervisor/status"
)

// Stick is a stick that was plugged in and holds an update for this board.
type Stick struct {
	Device  string // e.g. "/dev/sdb1"
	Text    string // what it holds, e.g. "release 2026.12 (2026-12-01) for board apu2"
	Refused string // why the box does not take it, in lines; "" for one that it takes
}

// ExitOlder is the exit code of a `tenchd update` that refuses a downgrade.
const ExitOlder = 3

// ErrOlder tells of an update that is older than what was confirmed on the box.
// The reason is on the terminal already.
var ErrOlder = errors.New("nothing was changed")

// endTime is how long an update has to end in order after ctrl-C: what it has
// written to a slow disk is waited for.
const endTime = 10 * time.Second

// Update implements Box with tenchd itself, as a child that ctrl-C ends, in order:
// a stick would stay mounted otherwise. On success that reboots the box.
func (l Live) Update(ctx context.Context, from string, downgrade bool, w io.Writer) error {
	args := []string{"update", "--run", l.RunDir, fmt.Sprintf("--allow-downgrade=%v", downgrade), "--", from}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Args[0] = "tenchd"
	cmd.Stdout, cmd.Stderr = w, w
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = endTime
	var exit *exec.ExitError
	err := cmd.Run()
	if errors.As(err, &exit) && exit.ExitCode() == ExitOlder {
		return ErrOlder
	}
	if errors.As(err, &exit) && ctx.Err() == nil {
		return errors.New("nothing was changed that the box starts from")
	}
	return described("update", err, ctx)
}

// Sticks implements Box.
func (l Live) Sticks() <-chan Stick { return l.Plugged }

// update asks where an update is.
func (m *Menu) update(ctx context.Context) error {
	m.printf("A release's directory or tench-BOARD.slot on a mounted disk, a stick's\n" +
		"partition such as /dev/sdb1, or http://HOST/DIRECTORY.\n")
	from, err := m.ask(ctx, "update from: ")
	if err != nil || from == "" {
		return err
	}
	yes, err := m.confirm(ctx, "Write it into the other slot, and reboot into that?")
	if err != nil || !yes {
		return err
	}
	return m.updateFrom(ctx, from)
}

// updateFrom updates, and asks once more before it goes back to what is older.
func (m *Menu) updateFrom(ctx context.Context, from string) error {
	m.printf("ctrl-C stops\n")
	run := func(downgrade bool) error {
		return m.In.Interruptible(ctx, func(ctx context.Context) error { return m.Box.Update(ctx, from, downgrade, m.Out) })
	}
	err := run(false)
	if errors.Is(err, ErrOlder) {
		yes, askErr := m.confirm(ctx, "It is older. Go back to it?")
		if askErr != nil || !yes {
			return askErr
		}
		err = run(true)
	}
	if err != nil {
		return err
	}
	return errLeave
}

// offer asks about a stick that was plugged in. What was half typed then is the
// start of the answer, and so makes it a no.
func (m *Menu) offer(ctx context.Context, s Stick) error {
	if s.Refused != "" {
		m.printf("\n! %s has an update that this box does not take:\n", s.Device)
		for line := range strings.Lines(s.Refused) {
			m.printf("! %s\n", status.Plain(strings.TrimRight(line, "\n")))
		}
		return nil
	}
	m.printf("\n! %s has %s.\n", s.Device, status.Plain(s.Text))
	yes, err := m.confirm(ctx, "! Write it into the other slot, and reboot into that?")
	if err != nil || !yes {
		return err
	}
	return m.updateFrom(ctx, s.Device)
}

// prompt waits for a line, or for a stick.
func (m *Menu) prompt(ctx context.Context) (string, *Stick, error) {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	plugged := make(chan *Stick, 1)
	go func() {
		defer cancel()
		select {
		case s := <-m.Box.Sticks():
			plugged <- &s
		case <-wait.Done():
			plugged <- nil
		}
	}()
	line, err := m.ask(wait, m.Box.Hostname()+"> ")
	cancel()
	s := <-plugged
	if s != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	return line, s, err
}
