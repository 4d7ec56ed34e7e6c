package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tench/boards"
	"tench/release/netboot"
	"tench/supervisor/console"
	"tench/supervisor/health"
	"tench/supervisor/install"
	"tench/supervisor/slots"
	"tench/supervisor/system"
	"tench/supervisor/update"
)

// WordName is a file below data:/state that an installer leaves on the disk that
// it wrote: the netboot.json that it came with. The first boot from that disk tells
// the server of itself, and removes it.
const WordName = "netboot.json"

// ErrNoInstall is the error of an installer on a box that is none.
var ErrNoInstall = errors.New("install: this box was not booted to be installed\nhint: tench pxe install, on the desk, arms an install over the network")

// InstallOptions say where the installer's console is.
type InstallOptions struct {
	Port   string // below /dev, e.g. "ttyS0"
	Speed  int    // bit/s
	Locked bool   // nobody may answer there
	Log    func(format string, args ...any)
}

// RunInstall installs this box as netboot.json says, and reboots it. An error was
// shown on the console, which is free for a menu then.
func RunInstall(ctx context.Context, o InstallOptions) error {
	f, err := readNetboot("/")
	if err != nil {
		return err
	}
	if f.Mode != netboot.Install {
		return ErrNoInstall
	}
	text, err := os.ReadFile(buildFile)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	build, err := parseBuildInfo(text)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	board, err := os.ReadFile(BoardFile)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	b, err := boards.Parse(BoardFile, build.Board, board)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	c, end := o.console()
	defer end()
	i := install.Installer{
		Root: "/", Board: b.Name, Known: b.Hardware, Server: install.Client{File: f, Dial: (&net.Dialer{}).DialContext}, Console: c,
		Open:   openMedium,
		Slots:  func(disk, running string) install.Slots { return slots.OpenDisk(disk, running) },
		Reread: reread, KeepWord: keepWord,
		Wait: wait, Now: time.Now, Log: o.Log,
	}
	if err := i.Run(ctx); err != nil {
		return err
	}
	return console.Reboot()
}

// console is where the installer shows what it does. Without a port, e.g. a USB
// adapter that is not plugged in, nobody sees it, and it installs all the same.
func (o InstallOptions) console() (c install.Console, end func()) {
	tty, err := console.OpenPort(o.Port, o.Speed)
	if err != nil {
		o.Log("%v", err)
		nobody := func(context.Context) (string, error) { return "", err }
		return install.Console{Out: io.Discard, Ask: nobody}, func() {}
	}
	interrupts, stop := console.Interrupts()
	in := console.NewInput(tty, interrupts)
	c = install.Console{Out: tty}
	if !o.Locked {
		c.Ask = func(ctx context.Context) (string, error) {
			in.Forget()
			return in.Line(ctx)
		}
	}
	return c, func() {
		stop()
		in.Close()
		tty.Close()
	}
}

func wait(ctx context.Context, d time.Duration) error {
	sleep(ctx, d)
	return ctx.Err()
}

func openMedium(path string, write bool) (install.Medium, error) {
	d, err := update.OpenDevice(path, write)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// reread has the kernel look at the partition table of a disk that was written.
func reread(disk string) error {
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0); err != nil {
		return fmt.Errorf("%s: read the partition table: %w", disk, err)
	}
	return nil
}

// keepWord leaves word on the data partition of a disk that the box does not run
// from.
func keepWord(partition string, word []byte) error {
	dir := filepath.Join(RunDir, "installed")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := mountExt4(partition, dir); err != nil {
		return err
	}
	state := filepath.Join(dir, "state")
	err := os.MkdirAll(state, 0o700)
	if err == nil {
		err = system.WriteSynced(filepath.Join(state, WordName), word, 0o600)
	}
	if uerr := unix.Unmount(dir, 0); uerr != nil {
		err = errors.Join(err, fmt.Errorf("unmount %s: %w", partition, uerr))
	}
	return err
}

// ArriveOptions say what is told of.
type ArriveOptions struct {
	File   string // netboot.json
	Keep   bool   // it stays
	RunDir string
	Slot   string
	Log    func(format string, args ...any)
}

// RunArrive tells the server of netboot.json that this box is up and healthy, or
// why it is not. Whether the server has heard it or not, the file goes then: a box
// that nobody listens to asks for no more than a quarter of an hour of one boot.
func RunArrive(ctx context.Context, o ArriveOptions) error {
	err := o.run(ctx)
	if ctx.Err() != nil || o.Keep {
		return err // a box that goes down tells at the next boot
	}
	return errors.Join(err, os.Remove(o.File), system.SyncDir(filepath.Dir(o.File)))
}

func (o ArriveOptions) run(ctx context.Context) error {
	data, err := os.ReadFile(o.File)
	if err != nil {
		return err
	}
	f, err := netboot.Parse(data)
	if err != nil {
		return err
	}
	about := "release " + builtImage().Release
	if o.Slot != "" {
		about += ", slot " + o.Slot
	}
	return install.Arrival{
		Server: install.Client{File: f, Dial: (&net.Dialer{}).DialContext}, About: about,
		Health: func() (netboot.Progress, bool) { return o.health(stateDir()) },
		Wait:   wait, Now: time.Now, Log: o.Log,
	}.Run(ctx)
}

// health is how the box does, as PID 1 says; false while it does not know. A box
// that came back to its old slot is well, but that is not what was installed.
func (o ArriveOptions) health(state string) (netboot.Progress, bool) {
	note, err := health.ReadNote(o.RunDir)
	if err != nil {
		o.Log("%v", err)
		return netboot.Progress{}, false
	}
	h, err := slots.ReadHistory(state)
	if err != nil {
		o.Log("%v", err)
	}
	if t := h.Trial; !note.Trial && t != nil && (t.Outcome == slots.GivenUp || t.Outcome == slots.TakenBack) {
		return netboot.Progress{Stage: netboot.Failed, Text: t.String()}, true
	}
	switch note.Outcome {
	case health.Good:
		return netboot.Progress{Stage: netboot.Healthy}, true
	case health.Failed:
		return netboot.Progress{Stage: netboot.Failed, Text: "not healthy: " + strings.Join(note.Reasons, "; ")}, true
	}
	return netboot.Progress{}, false
}
