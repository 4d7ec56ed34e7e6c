package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"tench/supervisor/status"
)

// Box is what the menu can do. Its methods are called one at a time.
type Box interface {
	Title() string    // the line above the menu, e.g. "tench gw0 (qemu-amd64, slot a)"
	Hostname() string // e.g. "gw0"

	Status(ctx context.Context) (status.Node, error)
	Why(ctx context.Context, name string) ([]string, error)
	Config(ctx context.Context) (status.Config, error)
	Compare(ctx context.Context, from, to int, text string) (status.Difference, error)
	Apply(ctx context.Context, c status.Change) (status.Outcome, error)
	Confirm(ctx context.Context, number int) (status.Outcome, error)
	Rollback(ctx context.Context, number int, c status.Change) (status.Outcome, error)
	Window() time.Duration // of a change that comes from here, see status.Client

	Interfaces() (string, error)                              // as the kernel has them, loop or no loop
	Log(lines int) (string, error)                            // the last lines
	FollowLog(ctx context.Context, w io.Writer) error         // until ctx ends
	Ping(ctx context.Context, host string, w io.Writer) error // until ctx ends
	Shell(ctx context.Context) error                          // on the menu's terminal
	Slots() (SlotReport, error)
	Trial() string                       // "" unless the running slot is on trial: what that means
	UseSlot(slot string) (string, error) // arms it, and says what that means
	// Update writes an update; success reboots. ErrOlder is the error of a downgrade
	// that was not asked for.
	Update(ctx context.Context, from string, downgrade bool, w io.Writer) error
	Sticks() <-chan Stick // that are plugged in
	Reboot() error
	PowerOff() error
}

// Live is the box that the menu runs on.
type Live struct {
	status.Client        // asks the loop
	LogPath       string // e.g. /run/tench/log
	RunDir        string // e.g. /run/tench
	Board, Slot   string // for the title; may be empty
	TTY           *os.File
	Plugged       <-chan Stick // nil: nobody looks for sticks
}

var _ Box = Live{}

// Title implements Box.
func (l Live) Title() string {
	title := "tench " + l.Hostname()
	var more []string
	if l.Board != "" {
		more = append(more, l.Board)
	}
	if l.Slot != "" {
		more = append(more, "slot "+l.Slot)
	}
	if len(more) > 0 {
		title += " (" + strings.Join(more, ", ") + ")"
	}
	return title
}

// Hostname implements Box.
func (l Live) Hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" || name == "(none)" {
		return "tench"
	}
	return name
}

// Interfaces implements Box.
func (l Live) Interfaces() (string, error) {
	list, err := net.Interfaces()
	if err != nil {
		return "", fmt.Errorf("interfaces: list: %w", err)
	}
	var b strings.Builder
	for _, i := range list {
		state := "down"
		if i.Flags&net.FlagUp != 0 {
			state = "up, no carrier"
		}
		if i.Flags&net.FlagRunning != 0 {
			state = "up"
		}
		fmt.Fprintf(&b, "%-16s%-16s%-18s mtu %d\n", i.Name, state, i.HardwareAddr, i.MTU)
		addrs, err := i.Addrs()
		if err != nil {
			return "", fmt.Errorf("interfaces: %s: list addresses: %w", i.Name, err)
		}
		for _, a := range addrs {
			fmt.Fprintf(&b, "%-16s%s\n", "", a)
		}
	}
	return b.String(), nil
}

// Log implements Box.
func (l Live) Log(lines int) (string, error) { return Log(l.LogPath, lines) }

// FollowLog implements Box.
func (l Live) FollowLog(ctx context.Context, w io.Writer) error { return FollowLog(ctx, l.LogPath, w) }

// Ping implements Box with the ping program of the image.
func (l Live) Ping(ctx context.Context, host string, w io.Writer) error {
	argv := []string{"ping", host}
	if ip := net.ParseIP(strings.SplitN(host, "%", 2)[0]); ip != nil && ip.To4() == nil {
		argv = []string{"ping", "-6", host}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = w, w
	cmd.WaitDelay = time.Second
	return described("ping", cmd.Run(), ctx)
}

// Shell implements Box. The shell is in the menu's process group: ctrl-C at
// its prompt reaches both, and the menu takes no notice.
func (l Live) Shell(ctx context.Context) error {
	if l.TTY == nil {
		return errors.New("shell: there is no terminal")
	}
	restore, err := keepMode(l.TTY)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "gosh")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = l.TTY, l.TTY, l.TTY
	err = cmd.Run()
	if rerr := restore(); err == nil && rerr != nil {
		return rerr
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return nil // the status of the last command is nothing to report
	}
	return described("shell", err, ctx)
}

// described names what is missing when a program is not in the image.
func described(what string, err error, ctx context.Context) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s: %w\nhint: this image was built without it", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Reboot implements Box.
func (l Live) Reboot() error { return Reboot() }

// PowerOff implements Box.
func (l Live) PowerOff() error { return PowerOff() }

// Reboot tells PID 1 to reboot the box in order.
func Reboot() error { return tellInit("reboot", syscall.SIGTERM) }

// PowerOff tells PID 1 to power the box off in order.
func PowerOff() error { return tellInit("power off", syscall.SIGUSR2) }

// InitComm is the name that tenchd gives itself as PID 1.
const InitComm = "tenchd"

// tellInit signals PID 1 if that is tenchd: to any other one the signal would
// mean something else.
func tellInit(what string, sig syscall.Signal) error {
	comm, err := os.ReadFile("/proc/1/comm")
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if name := strings.TrimSpace(string(comm)); name != InitComm {
		return fmt.Errorf("%s: PID 1 is %s and not tenchd\nhint: this works on a tench box only", what, name)
	}
	if err := syscall.Kill(1, sig); err != nil {
		return fmt.Errorf("%s: signal PID 1: %w", what, err)
	}
	return nil
}
