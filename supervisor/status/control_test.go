package status

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeLoop answers from memory; Status waits for ctx when it hangs.
type fakeLoop struct {
	hangs   bool
	applied chan string
}

func (f *fakeLoop) Status(ctx context.Context) (Node, error) {
	if f.hangs {
		<-ctx.Done()
		return Node{}, ctx.Err()
	}
	return box(), nil
}

func (f *fakeLoop) Config(context.Context) (Config, error) {
	return Config{Generation: 3, Text: "hostname = \"gw0\"\n"}, nil
}

func (f *fakeLoop) Check(_ context.Context, text string) error {
	if strings.Contains(text, "bad") {
		return errors.New("router.toml:1: unknown key \"bad\"\n  hint: x")
	}
	return nil
}

func (f *fakeLoop) Apply(ctx context.Context, text string) (int, error) {
	if err := f.Check(ctx, text); err != nil {
		return 0, err
	}
	f.applied <- text
	return 4, nil
}

// serve runs a server and returns its socket's path.
func serve(t *testing.T, h Handler) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", SocketName)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, h) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Serve did not end with its context")
		}
	})
	return path
}

func TestClientAndServer(t *testing.T) {
	loop := &fakeLoop{applied: make(chan string, 1)}
	path := serve(t, loop)
	c, ctx := Client{Path: path}, t.Context()

	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode of the socket is %o; want 600", mode)
	}
	root, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(box(), root); diff != "" {
		t.Errorf("Status (-want +got):\n%s", diff)
	}
	lines, err := c.Why(ctx, "lan")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"lan down: no carrier on eth1"}, lines); diff != "" {
		t.Errorf("Why (-want +got):\n%s", diff)
	}
	cfg, err := c.Config(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Config{Generation: 3, Text: "hostname = \"gw0\"\n"}, cfg); diff != "" {
		t.Errorf("Config (-want +got):\n%s", diff)
	}
	if err := c.Check(ctx, "bad"); err == nil || !strings.Contains(err.Error(), "router.toml:1:") {
		t.Errorf("Check of a bad file = %v; want the line", err)
	}
	text := "# " + strings.Repeat("\"<\x00\u2028", 20000) + "\n"
	if n, err := c.Apply(ctx, text); n != 4 || err != nil {
		t.Errorf("Apply = %d, %v; want 4, nil", n, err)
	} else if got := <-loop.applied; got != text {
		t.Errorf("Apply changed the text on its way")
	}
	if err := c.Check(ctx, strings.Repeat("x", MaxRequest)); !errors.Is(err, errTooLong) {
		t.Errorf("Check of a huge text = %v; want %v", err, errTooLong)
	}
}

func TestNoLoop(t *testing.T) {
	_, err := Client{Path: filepath.Join(t.TempDir(), "nothing")}.Status(t.Context())
	if !errors.Is(err, ErrNoLoop) || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("Status without a server = %v; want ErrNoLoop and a hint", err)
	}
}

func TestHangingLoopIsGivenUp(t *testing.T) {
	path := serve(t, &fakeLoop{hangs: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := (Client{Path: path}).Status(ctx); !errors.Is(err, ErrNoLoop) {
		t.Errorf("Status of a hanging loop = %v; want ErrNoLoop", err)
	}
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), SocketName)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	l, err = Listen(path)
	if err != nil {
		t.Fatalf("Listen over a stale socket: %v", err)
	}
	l.Close()
}

func TestGarbageIsRefused(t *testing.T) {
	path := serve(t, &fakeLoop{})
	for _, tc := range []struct{ name, send, want string }{
		{"not JSON", "GET / HTTP/1.1\n", "read request"},
		{"unknown verb", `{"do":"format"}` + "\n", "is not one of status, why"},
		{"unknown field", `{"do":"status","as":"root"}` + "\n", "unknown field"},
		{"two values", `{"do":"status"} {"do":"status"}` + "\n", "more than one value"},
		{"too long", strings.Repeat("x", MaxRequest+1) + "\n", "longer than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go conn.Write([]byte(tc.send))
			answer, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(answer, `"error"`) || !strings.Contains(answer, tc.want) {
				t.Errorf("answer to %.40q is %q; want an error with %q", tc.send, answer, tc.want)
			}
		})
	}
}

func TestSeveralRequestsAtOnce(t *testing.T) {
	conn, err := net.Dial("unix", serve(t, &fakeLoop{}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("{\"do\":\"config\"}\n{\"do\":\"why\",\"name\":\"lan\"}\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(conn)
	for _, want := range []string{`"config"`, `no carrier on eth1`} {
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Errorf("answer %q (%v); want %s in it", lines.Text(), lines.Err(), want)
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"do":"status"}`))
	f.Add([]byte(`{"do":"why","name":"lan"}`))
	f.Add([]byte(`{"do":"apply","text":"hostname = \"x\""}`))
	f.Add([]byte("\x00[[[{"))
	f.Fuzz(func(t *testing.T, line []byte) {
		req, err := decodeRequest(line)
		if err != nil {
			if req != (Request{}) {
				t.Errorf("decodeRequest(%q) = %v with error %v", line, req, err)
			}
			return
		}
		switch req.Do {
		case DoStatus, DoWhy, DoConfig, DoCheck, DoApply:
		default:
			t.Errorf("decodeRequest(%q) let %q through", line, req.Do)
		}
	})
}
