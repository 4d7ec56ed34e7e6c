package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"tench/internal/remote"
)

// deadLine is how long a host may be silent.
const deadLine = time.Minute

// sshOptions is how this user gets into hosts, as root unless something names
// another: with the key in the file identity, or else with those that ssh would
// take. A new host is asked about where there is a terminal.
func sshOptions(ctx context.Context, identity string) remote.Options {
	o := remote.Options{Identity: identity, Agent: os.Getenv("SSH_AUTH_SOCK"), Patience: deadLine}
	if home, err := os.UserHomeDir(); err == nil {
		o.Home = home
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err == nil {
		o.Passphrase = func(file string) ([]byte, error) { return askSecret(ctx, tty, "passphrase of "+file+": ") }
		o.AcceptNew = func(h remote.NewHost) (bool, error) { return askHost(ctx, tty, h) }
	}
	return o
}

// askHost asks whether a host that was never seen is the right one.
func askHost(ctx context.Context, tty *os.File, h remote.NewHost) (bool, error) {
	fmt.Fprintf(tty, "host %s is unknown: its %s key has the fingerprint\n  %s\n"+
		"Compare that with what the host itself says: a tench box shows it in its menu, 1 status.\n"+
		"If it is the same, type yes: ", h.Name, h.Kind, h.Fingerprint)
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(tty).ReadString('\n')
		answers <- answer{line, err}
	}()
	select {
	case a := <-answers:
		return a.line == "yes\n", a.err
	case <-ctx.Done():
		fmt.Fprintln(tty)
		return false, ctx.Err()
	}
}

// askSecret reads a line from the terminal without showing it. Whoever gives up
// (ctrl-C) finds the terminal as it was.
func askSecret(ctx context.Context, tty *os.File, prompt string) ([]byte, error) {
	fd := int(tty.Fd())
	old, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	fmt.Fprint(tty, prompt)
	go func() {
		line, err := term.ReadPassword(fd)
		answers <- answer{line, err}
	}()
	defer fmt.Fprintln(tty)
	select {
	case a := <-answers:
		return a.line, a.err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), term.Restore(fd, old))
	}
}
