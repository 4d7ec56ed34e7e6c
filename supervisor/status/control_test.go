package status

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeLoop answers from memory; Status waits for ctx when it hangs.
type fakeLoop struct {
	hangs   bool
	applied chan Change
	news    []string // of sessions

	Handler // what no test asks for
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

func (f *fakeLoop) Apply(ctx context.Context, c Change) (Outcome, error) {
	if err := f.Check(ctx, c.Text); err != nil {
		return Outcome{}, err
	}
	f.applied <- c
	return Outcome{Generation: 4, Trial: f.trial(c)}, nil
}

func (f *fakeLoop) trial(c Change) *Trial {
	if c.Trial == 0 {
		return nil
	}
	return &Trial{Generation: 4, Back: 3, Left: int(c.Trial.Seconds()), Session: c.Session}
}

func (f *fakeLoop) Confirm(_ context.Context, n int) (Outcome, error) {
	if n != 0 && n != 4 {
		return Outcome{}, errors.New("confirm: another one is on trial")
	}
	return Outcome{Generation: 4}, nil
}

func (f *fakeLoop) Rollback(_ context.Context, n int, c Change) (Outcome, error) {
	return Outcome{Generation: n + 100, Trial: f.trial(c)}, nil
}

func (f *fakeLoop) Generations(context.Context) ([]Generation, error) { return generationsForTest, nil }

func (f *fakeLoop) Generation(_ context.Context, n int) (Config, error) {
	return Config{Generation: n, Text: "# a comment\n"}, nil
}

func (f *fakeLoop) Compare(_ context.Context, from, to int, text string) (Difference, error) {
	return Difference{Text: fmt.Sprintf("%d %d %s\n", from, to, text), Words: []string{"interface lan goes"}}, nil
}

func (f *fakeLoop) SessionNews(_ context.Context, session string, alive bool) error {
	f.news = append(f.news, fmt.Sprint(session, " ", alive))
	return nil
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
	loop := &fakeLoop{applied: make(chan Change, 1)}
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
	if o, err := c.Apply(ctx, Change{Text: text}); o.Generation != 4 || err != nil {
		t.Errorf("Apply = %v, %v; want generation 4", o, err)
	} else if got := <-loop.applied; got != (Change{Text: text}) {
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

// scarce is a listener of a process that has no descriptors left for a while.
type scarce struct {
	clients chan net.Conn
	fails   int
}

func (s *scarce) Accept() (net.Conn, error) {
	if s.fails--; s.fails >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: syscall.EMFILE}
	}
	conn, open := <-s.clients
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (s *scarce) Close() error   { close(s.clients); return nil }
func (s *scarce) Addr() net.Addr { return &net.UnixAddr{} }

func TestServeOutlivesAShortage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := &scarce{clients: make(chan net.Conn, 1), fails: 3 * maxClients}
		served := make(chan error, 1)
		go func() { served <- Serve(ctx, l, &fakeLoop{}) }()
		ours, theirs := net.Pipe()
		l.clients <- theirs
		go func() { _, _ = ours.Write([]byte(`{"do":"status"}` + "\n")) }()
		line, err := newLineReader(ours).next()
		if err != nil || !strings.Contains(string(line), `"status"`) {
			t.Errorf("the answer is %q, %v; want a status", line, err)
		}
		ours.Close()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v after its context ended", err)
		}
	})
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
		{"session too long", `{"do":"status","session":"` + strings.Repeat("a", maxSession+1) + "\"}\n", "at most 512"},
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
	f.Add([]byte(`{"do":"apply","change":{"text":"hostname = \"x\"","trial":300000000000},"session":"anna/1"}`))
	f.Add([]byte(`{"do":"compare","number":3,"to":-1}`))
	f.Add([]byte(`{"do":"session-ended","session":"anna/1"}`))
	f.Add([]byte("\x00[[[{"))
	f.Fuzz(func(t *testing.T, line []byte) {
		req, err := decodeRequest(line)
		if err != nil {
			if req != (Request{}) {
				t.Errorf("decodeRequest(%q) = %v with error %v", line, req, err)
			}
			return
		}
		if !slices.Contains(verbs, req.Do) {
			t.Errorf("decodeRequest(%q) let %q through", line, req.Do)
		}
	})
}

var generationsForTest = []Generation{
	{Number: 7, State: "current"},
	{Number: 8, State: "on trial", Added: time.Date(2026, 11, 25, 14, 2, 0, 0, time.UTC), By: "anna/1", Note: "4m12s left\x1b[2J", Changed: 3, First: 12},
}

// TestGenerationsOverTheSocket asks for each of the requests about generations.
func TestGenerationsOverTheSocket(t *testing.T) {
	loop := &fakeLoop{applied: make(chan Change, 1)}
	path := serve(t, loop)
	anna, console, ctx := Client{Path: path, Session: "anna/1"}, Client{Path: path}, t.Context()

	on := &Trial{Generation: 4, Back: 3, Left: 300, Session: "anna/1"}
	got, err := anna.Apply(ctx, Change{Text: "x", Trial: anna.Window()})
	if diff := cmp.Diff(Outcome{Generation: 4, Trial: on}, got); diff != "" || err != nil {
		t.Errorf("Apply over SSH: %v (-want +got):\n%s", err, diff)
	}
	if c := <-loop.applied; c != (Change{Text: "x", Trial: DefaultTrial, Session: "anna/1"}) {
		t.Errorf("Apply told the loop %+v", c)
	}
	if console.Window() != 0 {
		t.Errorf("on the console a change is on trial for %v; want none", console.Window())
	}
	got, err = anna.Rollback(ctx, 2, Change{Trial: DefaultTrial})
	if diff := cmp.Diff(Outcome{Generation: 102, Trial: on}, got); diff != "" || err != nil {
		t.Errorf("Rollback: %v (-want +got):\n%s", err, diff)
	}
	for n, want := range map[int]string{0: "", 4: "", 5: "another one"} {
		if _, err := console.Confirm(ctx, n); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Confirm(%d) = %v; want %q", n, err, want)
		}
	}
	list, err := console.Generations(ctx)
	if diff := cmp.Diff(generationsForTest, list); diff != "" || err != nil {
		t.Errorf("Generations: %v (-want +got):\n%s", err, diff)
	}
	if c, err := console.Generation(ctx, 7); c.Generation != 7 || c.Text == "" || err != nil {
		t.Errorf("Generation(7) = %+v, %v", c, err)
	}
	d, err := console.Compare(ctx, 7, 8, "text")
	if diff := cmp.Diff(Difference{Text: "7 8 text\n", Words: []string{"interface lan goes"}}, d); diff != "" || err != nil {
		t.Errorf("Compare: %v (-want +got):\n%s", err, diff)
	}
	if _, err := console.Apply(ctx, Change{Trial: time.Second}); err == nil || !strings.Contains(err.Error(), "trial of 1s: want 5s to 24h") {
		t.Errorf("Apply with a trial of a second = %v", err)
	}
	if err := console.SessionNews(ctx, "anna/1", false); err != nil {
		t.Error(err)
	}
	if err := console.SessionNews(ctx, "anna/2", true); err != nil {
		t.Error(err)
	}
	// Each request of a session tells that it is there, and only those.
	if diff := cmp.Diff([]string{"anna/1 true", "anna/1 true", "anna/1 false", "anna/2 true"}, loop.news); diff != "" {
		t.Errorf("news of sessions (-want +got):\n%s", diff)
	}
}

func TestPrintGenerations(t *testing.T) {
	var b strings.Builder
	if err := PrintGenerations(&b, generationsForTest); err != nil {
		t.Fatal(err)
	}
	const want = "" +
		"NUMBER  STATE     ADDED             BY      CHANGED         NOTE\n" +
		"7       current   -                 -       -               -\n" +
		"8       on trial  2026-11-25 14:02  anna/1  3 from line 12  4m12s left?[2J\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("PrintGenerations (-want +got):\n%s", diff)
	}
}
