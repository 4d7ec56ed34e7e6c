package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tench/supervisor/status"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tenchd": func() {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}})
}

// fakeLoop is the box behind the socket.
type fakeLoop struct{ problem string }

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

func (f fakeLoop) Apply(ctx context.Context, text string) (int, error) {
	return 3, f.Check(ctx, text)
}

// TestScripts runs testdata/*.txtar. A loop answers in run, one with a broken
// newest generation in broken; nobody does in nobody.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			for dir, h := range map[string]fakeLoop{"run": {}, "broken": {problem: "config/3/router.toml:1: hostnme: unknown key"}} {
				// The path of a socket is short, the one of WORK is not always.
				short, err := os.MkdirTemp("", "tenchd")
				if err != nil {
					return err
				}
				l, err := status.Listen(filepath.Join(short, status.SocketName))
				if err != nil {
					return err
				}
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan error, 1)
				go func() { done <- status.Serve(ctx, l, h) }()
				env.Defer(func() {
					cancel()
					if err := <-done; err != nil {
						t.Error(err)
					}
					os.RemoveAll(short)
				})
				if err := os.Symlink(short, filepath.Join(env.WorkDir, dir)); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
