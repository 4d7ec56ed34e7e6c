package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"tench/internal/echo"
	"tench/internal/remote"
	"tench/release/rollout"
)

// deadLine is how long a host may be silent.
const deadLine = time.Minute

// sshOptions is how this user gets into hosts, as root unless something names
// another: with the key in the file identity, or else with those that ssh would
// take. A new host is asked about where there is a terminal.
func sshOptions(ctx context.Context, identity string) remote.Options {
	o := remote.Options{Identity: identity, Agent: os.Getenv("SSH_AUTH_SOCK"), Patience: deadLine}
	if u, err := user.Current(); err == nil {
		o.Home, o.Local = u.HomeDir, u.Username
	}
	if home, err := os.UserHomeDir(); err == nil {
		o.Home = home
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err == nil {
		o.Passphrase = func(file string) ([]byte, error) {
			return echo.Ask(ctx, tty, tty, clearLine+"passphrase of "+file+": ")
		}
		o.AcceptNew = func(h remote.NewHost) (bool, error) { return askHost(ctx, tty, h) }
	}
	return o
}

// askHost asks whether a host that was never seen is the right one.
func askHost(ctx context.Context, tty *os.File, h remote.NewHost) (bool, error) {
	fmt.Fprintf(tty, clearLine+"host %s is unknown: its %s key has the fingerprint\n  %s\n"+
		"Compare that with what the host itself says: a tench box shows it in its menu, 1 status.\n"+
		"If it is the same, type yes: ", h.Name, h.Kind, h.Fingerprint)
	line, err := readAnswer(ctx, tty)
	return line == "yes\n", err
}

// dialer connects to boxes, as often as it is asked to; a passphrase and whether a
// host is the right one are asked for once.
func dialer(o remote.Options) func(ctx context.Context, host string) (rollout.Line, error) {
	if ask := o.Passphrase; ask != nil {
		known := map[string][]byte{}
		o.Passphrase = func(file string) ([]byte, error) {
			if known[file] != nil {
				return bytes.Clone(known[file]), nil
			}
			phrase, err := ask(file)
			if err == nil {
				known[file] = bytes.Clone(phrase)
			}
			return phrase, err
		}
	}
	if ask := o.AcceptNew; ask != nil {
		accepted := map[remote.NewHost]bool{} // a file of known hosts may keep nothing: /dev/null
		o.AcceptNew = func(h remote.NewHost) (bool, error) {
			if accepted[h] {
				return true, nil
			}
			yes, err := ask(h)
			accepted[h] = yes && err == nil
			return yes, err
		}
	}
	return func(ctx context.Context, host string) (rollout.Line, error) {
		c, err := remote.Dial(ctx, host, o)
		if err != nil {
			return nil, err
		}
		return sshLine{c}, nil
	}
}

// sshLine is a box over SSH.
type sshLine struct{ *remote.Client }

// Run implements rollout.Line.
func (l sshLine) Run(ctx context.Context, command string, stdin io.Reader, stdout io.Writer) error {
	err := l.Client.Run(ctx, command, stdin, remote.Output{Stdout: stdout})
	var exit *remote.ExitError
	if errors.As(err, &exit) {
		exit.Words = strings.TrimPrefix(exit.Words, "tenchd: ")
	}
	return err
}

// bounded keeps what a box writes, in memory and nowhere else, up to most bytes.
type bounded struct {
	bytes.Buffer
	most int
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, fmt.Errorf("the box sends more than %d bytes", b.most)
	}
	return b.Buffer.Write(p)
}
