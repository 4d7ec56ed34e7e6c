package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tench/identity"
)

// noInput is a standard input on which nothing comes; ctrl-C is pressed when it is
// read.
type noInput struct {
	interrupt context.CancelFunc
	end       <-chan struct{} // of the test
}

func (s noInput) Read([]byte) (int, error) {
	s.interrupt()
	<-s.end
	return 0, io.EOF
}

func TestInterruptEndsTheWaitingForInput(t *testing.T) {
	dir := t.TempDir()
	if err := (identity.Identity{Name: "gw0"}).Create(filepath.Join(dir, "gw0")); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"configuration to check": {"check", "-"},
		"configuration to apply": {"apply", "gw0", "-"},
		"secret":                 {"identity", "secret", filepath.Join(dir, "gw0"), "isp"},
		"passphrase":             {"key", "new", filepath.Join(dir, "release")},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var out bytes.Buffer
			c := rootCommand(noInput{cancel, t.Context().Done()}, &out, &out)
			c.SetArgs(args)
			err := c.ExecuteContext(ctx)
			if ctx.Err() == nil {
				t.Errorf("%v ended with %v before it read anything:\n%s", args, err, out.String())
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v = %v, want context.Canceled", args, err)
			}
		})
	}
}

func TestInterruptEndsTheWaitingForAFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0) // returns when it is open for reading, too
		if err == nil {
			defer f.Close()
		}
		cancel()
		<-t.Context().Done()
	}()
	if data, err := readFile(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("readFile = %q, %v, want context.Canceled", data, err)
	}
}

// Two keys of a backup may each have a passphrase.
func TestReadLineLeavesTheNext(t *testing.T) {
	in := strings.NewReader("carp\n\ntench")
	for _, want := range []string{"carp", "", "tench", ""} {
		if got, err := readLine(t.Context(), in); err != nil || string(got) != want {
			t.Errorf("readLine = %q, %v, want %q", got, err, want)
		}
	}
}
