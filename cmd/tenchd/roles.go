package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tench/supervisor"
	"tench/supervisor/console"
	"tench/supervisor/door"
	"tench/supervisor/status"
)

// reportFD is where PID 1 leaves the pipe that the loop reports on.
const reportFD = 3

// parseRole reads the flags of a role.
func parseRole(f *flag.FlagSet, args []string) error {
	f.SetOutput(io.Discard)
	if err := f.Parse(args); err != nil {
		return usageError{fmt.Errorf("%s: %w", f.Name(), err)}
	}
	if f.NArg() > 0 {
		return usageError{fmt.Errorf("%s: %q is not expected", f.Name(), f.Arg(0))}
	}
	return nil
}

// loop is the role of the network loop. It works on the network namespace that
// it is started in, so that a lab can run it without a box around it.
func loop(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("loop", flag.ContinueOnError)
	o := supervisor.LoopOptions{Log: log.New(os.Stderr, "", 0).Printf}
	f.StringVar(&o.DataDir, "data", supervisor.DataDir, "directory of generations and leases")
	f.StringVar(&o.RunDir, "run", supervisor.RunDir, "directory of the control socket")
	f.StringVar(&o.BoardFile, "board", "", "board.toml")
	report := f.Bool("report", false, "report to PID 1 on file descriptor 3")
	if err := parseRole(f, args); err != nil {
		return err
	}
	if *report {
		o.Report = os.NewFile(reportFD, "report")
	}
	return supervisor.RunLoop(ctx, o)
}

// consolePort is the role of the menu on a serial port.
func consolePort(ctx context.Context, args []string) error {
	var p console.Port
	runDir, err := portFlags(&p, "console", args)
	if err != nil {
		return err
	}
	p.Box.Client = status.Client{Path: filepath.Join(runDir, status.SocketName)}
	p.Box.RunDir = runDir
	p.Box.LogPath = filepath.Join(runDir, supervisor.LogName)
	logf := log.New(os.Stderr, "", 0).Printf
	if !p.Locked {
		p.Box.Plugged = supervisor.WatchSticks(ctx, runDir, logf)
	}
	return p.Run(ctx, logf)
}

// portFlags reads the flags of a role on a serial port.
func portFlags(p *console.Port, role string, args []string) (runDir string, err error) {
	f := flag.NewFlagSet(role, flag.ContinueOnError)
	f.StringVar(&p.Name, "port", "ttyS0", "serial port below /dev")
	f.IntVar(&p.Speed, "speed", 115200, "bit/s")
	f.BoolVar(&p.Locked, "locked", false, "show no menu")
	f.StringVar(&p.Box.Board, "board", "", "name of the board")
	f.StringVar(&p.Box.Slot, "slot", "", "slot that was booted")
	f.StringVar(&runDir, "run", supervisor.RunDir, "directory of control socket and log")
	return runDir, parseRole(f, args)
}

// installBox is the role of the installer on a serial port. Where it fails, the
// process becomes the menu of that port.
func installBox(ctx context.Context, args []string) error {
	var p console.Port
	if _, err := portFlags(&p, "install", args); err != nil {
		return err
	}
	logf := log.New(os.Stderr, "", 0).Printf
	err := supervisor.RunInstall(ctx, supervisor.InstallOptions{Port: p.Name, Speed: p.Speed, Locked: p.Locked, Log: logf})
	if err == nil {
		<-ctx.Done() // PID 1 takes the box down
		return nil
	}
	if ctx.Err() != nil {
		return nil
	}
	logf("%v", err)
	return unix.Exec("/proc/self/exe", append([]string{"tenchd", "console"}, args...), os.Environ())
}

// arrive is the role that tells a server on the desk, once, how the box came up.
func arrive(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("arrive", flag.ContinueOnError)
	o := supervisor.ArriveOptions{Log: log.New(os.Stderr, "", 0).Printf}
	f.StringVar(&o.File, "file", "", "netboot.json")
	f.BoolVar(&o.Keep, "keep", false, "leave it")
	f.StringVar(&o.RunDir, "run", supervisor.RunDir, "directory with PID 1's word on the box's health")
	f.StringVar(&o.Slot, "slot", "", "slot that was booted")
	if err := parseRole(f, args); err != nil {
		return err
	}
	return supervisor.RunArrive(ctx, o)
}

// sshDoor is the role of the SSH door. Where it listens comes on standard input.
func sshDoor(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("door", flag.ContinueOnError)
	o := door.Options{Wishes: os.Stdin, Program: "/proc/self/exe", Shell: "gosh", Log: log.New(os.Stderr, "", 0).Printf}
	f.StringVar(&o.DataDir, "data", supervisor.DataDir, "directory with the identity")
	f.StringVar(&o.RunDir, "run", supervisor.RunDir, "directory of control socket and log")
	f.StringVar(&o.Incoming, "incoming", "/tmp/incoming", "directory that sftp writes to")
	if err := parseRole(f, args); err != nil {
		return err
	}
	if err := door.DropPrivileges(); err != nil {
		return err
	}
	return door.Run(ctx, o)
}
