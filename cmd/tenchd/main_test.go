package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tench/supervisor/status"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tenchd": func() {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}})
}

// fakeLoop is the box behind the socket.
type fakeLoop struct {
	problem string

	status.Handler // what no script asks for
}

func (fakeLoop) Status(context.Context) (status.Node, error) {
	return status.Node{Name: "gw0", State: "degraded", Cause: "lan is down", Children: []status.Node{
		{Name: "dhcp wan", State: "bound", OK: true},
		{Name: "lan", State: "down", Cause: "no carrier on eth1"}}}, nil
}

func (f fakeLoop) Config(context.Context) (status.Config, error) {
	return status.Config{Generation: 2, Text: "hostname = \"gw0\"\n", Problem: f.problem}, nil
}

func (fakeLoop) Check(_ context.Context, text string) error {
	if strings.Contains(text, "hostnme") {
		return errors.New("router.toml:1: hostnme: unknown key\n  hint: did you mean \"hostname\"?")
	}
	return nil
}

func (f fakeLoop) Compare(ctx context.Context, from, to int, text string) (status.Difference, error) {
	return status.Difference{Text: fmt.Sprintf("--- %d\n+++ %d\n", from, to), Words: []string{"hostname gw0 -> gw1"}}, f.Check(ctx, text)
}

func (f fakeLoop) Apply(_ context.Context, c status.Change) (status.Outcome, error) {
	return status.Outcome{Generation: 3, Trial: trialFor(c)}, nil
}

func trialFor(c status.Change) *status.Trial {
	if c.Trial == 0 {
		return nil
	}
	return &status.Trial{Generation: 3, Back: 2, Left: int(c.Trial.Seconds()), Session: c.Session}
}

func (f fakeLoop) Confirm(_ context.Context, n int) (status.Outcome, error) {
	if n == 2 {
		return status.Outcome{}, errors.New("confirm: generation 3 is on trial, not 2\nhint: `tenchd generations` lists them")
	}
	return status.Outcome{Generation: 3}, nil
}

func (f fakeLoop) Rollback(_ context.Context, n int, c status.Change) (status.Outcome, error) {
	return status.Outcome{Generation: 4, Trial: trialFor(c)}, nil
}

func (f fakeLoop) Generations(context.Context) ([]status.Generation, error) {
	return []status.Generation{
		{Number: 2, State: "current"},
		{Number: 3, State: "taken back", Added: time.Date(2026, 11, 25, 14, 2, 0, 0, time.UTC), By: "anna/1",
			Note: "it was not confirmed in time", Changed: 2, First: 5},
	}, nil
}

func (f fakeLoop) Generation(_ context.Context, n int) (status.Config, error) {
	return status.Config{Generation: n, Text: fmt.Sprintf("# generation %d\n", n)}, nil
}

func (f fakeLoop) SessionNews(context.Context, string, bool) error { return nil }

// TestScripts runs testdata/*.txtar. A loop answers in run, one with a broken
// newest generation in broken; nobody does in nobody.
func TestScripts(t *testing.T) {
	// Before the scripts, which run at once: Listen changes the umask for a
	// moment, and their programs would inherit that.
	loops := map[string]string{
		"run":    serve(t, fakeLoop{}),
		"broken": serve(t, fakeLoop{problem: "config/3/router.toml:1: hostnme: unknown key"}),
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			for name, dir := range loops {
				if err := os.Symlink(dir, filepath.Join(env.WorkDir, name)); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// serve answers for a loop until the test ends, and returns the run directory.
func serve(t *testing.T, h status.Handler) string {
	t.Helper()
	// The path of a socket is short, the one of t.TempDir is not always.
	dir, err := os.MkdirTemp("", "tenchd")
	if err != nil {
		t.Fatal(err)
	}
	l, err := status.Listen(filepath.Join(dir, status.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- status.Serve(ctx, l, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return dir
}
