// Command tenchd is the box. As PID 1 it brings the box up and keeps it up; in
// the roles loop, console, door, install and arrive it is a child of PID 1;
// otherwise it is the client that asks the running box. By the name of a u-root
// command it becomes that one, see supervisor/packed.
//
//	main.go      run: PID 1, roles, clients, and how errors are shown
//	roles.go     tenchd loop, console, door, install, arrive
//	commands.go  what an operator types: status, why, log …
//	generations.go  check, apply, confirm, rollback, generations
//	secret.go    tenchd secret
//	update.go    tenchd update
//	report.go    tenchd report
//	backup.go    tenchd backup
//	sbom.go      tenchd sbom
//	slots.go     tenchd slots
//
// Exit codes: 0 done; 1 it could not be done, or the box refused it; 2 the
// command line was wrong; 3 an update is older than what was confirmed here.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"tench/supervisor"
	"tench/supervisor/console"
	"tench/supervisor/packed"
	"tench/supervisor/update"
)

func main() {
	// First of all, for an operator who boots with rdinit=/bin/sh.
	if packed.Wanted(packed.Bin, os.Args[0]) {
		fmt.Fprintln(os.Stderr, packed.Exec(packed.Bin, os.Args))
		os.Exit(126) // as a shell says that it cannot run a program
	}
	if os.Getpid() == 1 {
		supervisor.Init()
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
	exitOlder = console.ExitOlder // an update that asks for --allow-downgrade
)

// roles are how PID 1 starts this program. They do without the command tree of
// the clients, which costs a slow box milliseconds to build.
var roles = map[string]func(ctx context.Context, args []string) error{
	"loop":    loop,
	"console": consolePort,
	"door":    sshDoor,
	"install": installBox,
	"arrive":  arrive,
}

// run is the whole command, but for PID 1.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var err error
	if role, ok := roles[first(args)]; ok {
		// PID 1 starts it as /proc/self/exe; ps should not call it "exe".
		_ = os.WriteFile("/proc/self/comm", []byte("tenchd "+args[0]), 0)
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err = role(ctx, args[1:])
	} else {
		err = execute(args, stdin, stdout, stderr)
	}
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "tenchd: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "tenchd: %s\n", strings.TrimSpace(err.Error()))
	if errors.Is(err, update.ErrOlder) {
		return exitOlder
	}
	return exitError
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// usageError is a mistake on the command line, not in the work.
type usageError struct{ error }
