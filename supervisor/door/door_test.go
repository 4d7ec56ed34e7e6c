package door

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"tench/identity"
	"tench/supervisor/status"
)

// testDoor is a door on the loopback, with a shell script in the place of tenchd.
type testDoor struct {
	*Door
	dir     string
	address string // host:port
	key     ssh.Signer
	news    chan string // what the loop is told: "began ID" or "lost ID"

	mu  sync.Mutex
	log []string
}

// script answers like tenchd might.
const script = `#!/bin/sh
case $1 in
status) echo up; echo careful >&2 ;;
why) shift; for a; do echo "<$a>"; done ;;
check) exit 3 ;;
apply) cat; echo "$TENCH_SESSION" | sed 's,/.*,,' ;;
config) env | sort | cut -d= -f1 | tr '\n' ' ' ;;
slots) kill -KILL $$ ;;
log) trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 1000 >/dev/null 2>&1 & wait; done ;;
menu) if [ -t 0 ]; then stty size; while read x; do echo "said $x"; stty size; done; else echo no terminal; fi ;;
--run) echo "a report" > "$2/report.txt" ;;
esac
`

func startDoor(t *testing.T) *testDoor {
	t.Helper()
	short, err := os.MkdirTemp("", "door") // the path of a socket is short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(short) })
	d := &testDoor{dir: short, news: make(chan string, 1000)}
	program := d.path("tenchd")
	must(t, os.WriteFile(program, []byte(script), 0o755))
	must(t, os.MkdirAll(d.path("data/identity"), 0o700))
	must(t, os.MkdirAll(d.path("run"), 0o755))
	var line string
	d.key, line = newKey(t)
	d.allow(t, line+" anna@desk")
	socket, err := status.Listen(d.path("run/control"))
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = status.Serve(ctx, socket, hearing{news: d.news}) })
	o := Options{DataDir: d.path("data"), RunDir: d.path("run"), Incoming: d.path("incoming"), Program: program, Shell: "/bin/sh", Log: d.hear}
	host, err := loadHostKey(o.DataDir, o.RunDir)
	must(t, err)
	d.Door = newDoor(o, host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	d.address = l.Addr().String()
	all.Go(func() { d.accept(ctx, l) })
	all.Go(func() { d.note.keep(ctx, o.RunDir, o.Log) })
	t.Cleanup(func() {
		stop()
		l.Close()
		d.visits.Wait()
		all.Wait()
	})
	return d
}

// hearing is a loop that hears of sessions only.
type hearing struct {
	status.Handler
	news chan string
}

func (h hearing) SessionNews(_ context.Context, session string, alive bool) error {
	word := "lost"
	if alive {
		word = "began"
	}
	h.news <- word + " " + session
	return nil
}

func (d *testDoor) path(name string) string { return filepath.Join(d.dir, name) }

func (d *testDoor) hear(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, fmt.Sprintf(format, args...))
}

func (d *testDoor) lines() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.log...)
}

func (d *testDoor) allow(t *testing.T, lines ...string) {
	t.Helper()
	text := strings.Join(lines, "\n") + "\n"
	must(t, os.WriteFile(d.path("data/identity/"+identity.AuthorizedKeysFile), []byte(text), 0o600))
}

// login connects from the given address of the loopback.
func (d *testDoor) login(from, user string, keys ...ssh.Signer) (*ssh.Client, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("tcp", d.address)
	if err != nil {
		return nil, err
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, d.address, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(keys...)}, HostKeyCallback: ssh.FixedHostKey(d.host.signer.PublicKey()),
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, chans, reqs), nil
}

func (d *testDoor) open(t *testing.T) *ssh.Client {
	t.Helper()
	c, err := d.login("127.0.0.1", "root", d.key)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// run runs a command and returns what it wrote, both streams apart, and how it
// ended.
func run(t *testing.T, c *ssh.Client, command, stdin string) (out, errs string, err error) {
	t.Helper()
	s, err := c.NewSession()
	must(t, err)
	defer s.Close()
	var o, e bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader(stdin), &o, &e
	err = s.Run(command)
	return o.String(), e.String(), err
}

func TestCommands(t *testing.T) {
	d := startDoor(t)
	c := d.open(t)
	for name, tc := range map[string]struct {
		command, stdin string
		out, errs      string
		err            string
	}{
		"both streams":       {"status", "", "up\n", "careful\n", "<nil>"},
		"arguments":          {`why "dhcp wan" '$HOME' a\ b`, "", "<dhcp wan>\n<$HOME>\n<a b>\n", "", "<nil>"},
		"a status":           {"check", "", "", "", "Process exited with status 3"},
		"standard input":     {"apply -", "hostname\n", "hostname\nanna@desk\n", "", "<nil>"},
		"a signal":           {"slots", "", "", "", "Process exited with status 137 from signal KILL"},
		"its environment":    {"config", "", "HOME PATH PWD TENCH_SESSION TERM ", "", "<nil>"},
		"the menu":           {"", "", "no terminal\n", "", "<nil>"},
		"a shell":            {"shell", "echo $((6 * 7)); exit 5", "42\n", "", "Process exited with status 5"},
		"a shell with words": {"shell -c reboot", "", "", "tench: shell: it takes no arguments\nhint: ssh HOST shell < FILE runs the commands of a file\n", "Process exited with status 1"},
		"an unknown word":    {"stat", "", "", "tench: command: \"stat\" is not a command of this box\nhint: did you mean \"status\"?", "Process exited with status 2"},
		"a shell's pipe":     {"status | cat", "", "", "tench: command: \"|\" means something to a shell only", "Process exited with status 2"},
	} {
		out, errs, err := run(t, c, tc.command, tc.stdin)
		out = strings.ReplaceAll(out, "_ ", "") // dash's environment has $_ at times
		if out != tc.out || !strings.HasPrefix(errs, tc.errs) || tc.errs == "" && errs != "" || !strings.HasPrefix(fmt.Sprint(err), tc.err) {
			t.Errorf("%s: out %q, errors %q, %v", name, out, errs, err)
		}
	}
}

func TestEnvironmentAndForwardingAreRefused(t *testing.T) {
	d := startDoor(t)
	c := d.open(t)
	s, err := c.NewSession()
	must(t, err)
	if err := s.Setenv("LD_PRELOAD", "x"); err == nil {
		t.Error("it takes an environment")
	}
	for _, request := range []string{"auth-agent-req@openssh.com", "x11-req", "break"} {
		if ok, err := s.SendRequest(request, true, nil); ok || err != nil {
			t.Errorf("%s: %v, %v", request, ok, err)
		}
	}
	if err := s.RequestSubsystem("netconf"); err == nil {
		t.Error("it has a subsystem netconf")
	}
	if _, err := c.Dial("tcp", d.address); err == nil || !strings.Contains(err.Error(), "this box forwards nothing") {
		t.Errorf("a forwarded connection: %v", err)
	}
	if l, err := c.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
		t.Error("it listens for its client")
	}
}

// pty is a session with a terminal.
type pty struct {
	*ssh.Session
	in  io.Writer
	out io.Reader
}

func openTerminal(t *testing.T, c *ssh.Client) pty {
	t.Helper()
	s, err := c.NewSession()
	must(t, err)
	p := pty{Session: s}
	must(t, s.RequestPty("xterm", 24, 80, nil))
	p.in, err = s.StdinPipe()
	must(t, err)
	p.out, err = s.StdoutPipe()
	must(t, err)
	return p
}

// expect reads until want came; the test's own time-out is the limit.
func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	var got []byte
	one := make([]byte, 1)
	for !strings.Contains(string(got), want) {
		if _, err := io.ReadFull(r, one); err != nil {
			t.Fatalf("%v; want %q in %q", err, want, got)
		}
		got = append(got, one[0])
	}
}

func TestTerminal(t *testing.T) {
	d := startDoor(t)
	p := openTerminal(t, d.open(t))
	must(t, p.Shell()) // the menu
	expect(t, p.out, "24 80\r\n")
	// With an answer: what is typed may overtake a request that nobody waits for.
	if ok, err := p.SendRequest("window-change", true, ssh.Marshal(winSize{Columns: 132, Rows: 50})); !ok || err != nil {
		t.Errorf("window-change: %v, %v", ok, err)
	}
	_, err := io.WriteString(p.in, "hello\n")
	must(t, err)
	expect(t, p.out, "said hello\r\n50 132\r\n")
	_, err = io.WriteString(p.in, "\x04")
	must(t, err)
	if err := p.Wait(); err != nil {
		t.Errorf("after ctrl-D: %v", err)
	}

	p = openTerminal(t, d.open(t))
	must(t, p.Start("log"))
	expect(t, p.out, "ready")
	_, err = io.WriteString(p.in, "\x03")
	must(t, err)
	expect(t, p.out, "interrupted")
	var exit *ssh.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 4 {
		t.Errorf("after ctrl-C: %v", err)
	}
}

func TestSignal(t *testing.T) {
	d := startDoor(t)
	s, err := d.open(t).NewSession()
	must(t, err)
	out, err := s.StdoutPipe()
	must(t, err)
	must(t, s.Start("log"))
	expect(t, out, "ready")
	must(t, s.Signal(ssh.SIGINT))
	expect(t, out, "interrupted")
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 4 {
		t.Errorf("after a signal: %v", err)
	}
}

func TestForcedCommand(t *testing.T) {
	d := startDoor(t)
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(d.key.PublicKey())))
	d.allow(t, `command="why \"dhcp wan\"",no-pty `+line)
	c := d.open(t)
	for _, command := range []string{"", "shell", "status; reboot"} {
		out, errs, err := run(t, c, command, "")
		if out != "<dhcp wan>\n" || errs != "" || err != nil {
			t.Errorf("asked for %q: out %q, errors %q, %v", command, out, errs, err)
		}
	}
	s, err := c.NewSession()
	must(t, err)
	if err := s.RequestPty("xterm", 24, 80, nil); err == nil {
		t.Error("it gives a terminal in spite of no-pty")
	}
	out, err := s.StdoutPipe()
	must(t, err)
	must(t, s.RequestSubsystem("sftp"))
	expect(t, out, "<dhcp wan>\n")
}

func TestLogins(t *testing.T) {
	d := startDoor(t)
	stranger, _ := newKey(t)
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(d.key.PublicKey())))
	for name, tc := range map[string]struct {
		allow, from, user string
		key               ssh.Signer
		why               string // what the box says of it; "" if it gets in
	}{
		"the key":                  {line, "127.0.0.1", "root", d.key, ""},
		"a stranger's key":         {line, "127.0.0.1", "root", stranger, "this key may not log in"},
		"another user":             {line, "127.0.0.1", "admin", d.key, "there is no user \"admin\" here, only root"},
		"no user that prints":      {line, "127.0.0.1", "a\x1b[2J", d.key, "there is no user"},
		"from where it may":        {`from="127.0.0.2" ` + line, "127.0.0.2", "root", d.key, ""},
		"from where it may not":    {`from="127.0.0.2" ` + line, "127.0.0.1", "root", d.key, "may not log in from here"},
		"with an option we lack":   {`tunnel="0" ` + line, "127.0.0.1", "root", d.key, "this key may not log in"},
		"among lines that are bad": {"x\n\n" + line, "127.0.0.1", "root", d.key, ""},
		"nobody may":               {"", "127.0.0.1", "root", d.key, "this key may not log in"},
	} {
		d.allow(t, tc.allow)
		c, err := d.login(tc.from, tc.user, tc.key)
		if err == nil {
			c.Close()
		}
		if (err == nil) != (tc.why == "") {
			t.Errorf("%s: %v", name, err)
		}
		if tc.why != "" && !strings.Contains(lastRefused(d), tc.why) {
			t.Errorf("%s: the box says %q, want …%s…", name, lastRefused(d), tc.why)
		}
	}
	if log := strings.Join(d.lines(), "\n"); !strings.Contains(log, "authorized_keys:1: option \"tunnel=\\\"0\\\"\" is not honoured") || strings.Contains(log, "\x1b") {
		t.Errorf("the log lacks why a key was refused, or has an escape sequence:\n%s", log)
	}
}

// lastRefused is why the last connection was refused. The client hears of it
// before the door has noted it, so it waits for that.
func lastRefused(d *testDoor) string {
	for {
		d.note.mu.Lock()
		r, sum, in := d.note.state.LastRefused, d.note.state.BadLogins+d.note.state.Logins, d.gate.entered
		d.note.mu.Unlock()
		if sum >= in && r != nil {
			return r.Why
		}
	}
}

func TestNoPasswords(t *testing.T) {
	d := startDoor(t)
	asked := false
	_, err := ssh.Dial("tcp", d.address, &ssh.ClientConfig{
		User: "root", HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		Auth: []ssh.AuthMethod{
			ssh.PasswordCallback(func() (string, error) { asked = true; return "", nil }),
			ssh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) { asked = true; return nil, nil }),
		},
	})
	if err == nil || asked {
		t.Errorf("it asks for a password: %v, %v", asked, err)
	}
}

// A connection that breaks ends what it ran, and the loop hears of it; one that
// its client closes ends the same, without a word to the loop.
func TestEndOfConnection(t *testing.T) {
	d := startDoor(t)
	for _, cut := range []bool{false, true} {
		conn, err := net.Dial("tcp", d.address)
		must(t, err)
		sc, chans, reqs, err := ssh.NewClientConn(conn, d.address, &ssh.ClientConfig{
			User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(d.key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
		must(t, err)
		c := ssh.NewClient(sc, chans, reqs)
		began := <-d.news
		id, ok := strings.CutPrefix(began, "began anna@desk/")
		if !ok {
			t.Fatalf("the loop was told %q", began)
		}
		s, err := c.NewSession()
		must(t, err)
		out, err := s.StdoutPipe()
		must(t, err)
		must(t, s.Start("log"))
		expect(t, out, "ready\n")
		if cut {
			must(t, conn.(*net.TCPConn).SetLinger(0)) // a reset instead of a good-bye
		}
		conn.Close()
		for len(sessions(d)) > 0 { // it waits for what it ran to end
		}
		if cut {
			if got := <-d.news; got != "lost anna@desk/"+id {
				t.Errorf("the loop was told %q", got)
			}
		}
	}
	if len(d.news) > 0 {
		t.Errorf("the loop was told %q besides", <-d.news)
	}
}

// A program that was left behind goes when its client does.
func TestNothingIsLeft(t *testing.T) {
	d := startDoor(t)
	c := d.open(t)
	s, err := c.NewSession()
	must(t, err)
	s.Stdin = strings.NewReader("sleep 1000 & echo $!\n")
	out, err := s.StdoutPipe()
	must(t, err)
	must(t, s.Start(shellWord))
	pid, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	c.Close()
	for len(sessions(d)) > 0 { // it waits for what it ran to end
	}
	// A zombie, which waits for a parent to look, has no command line.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/cmdline")
		if err != nil || len(text) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%q is left", text)
		}
	}
}

func sessions(d *testDoor) []Session {
	d.note.mu.Lock()
	defer d.note.mu.Unlock()
	return d.note.state.Sessions
}

// The state tells of the first key before anybody tries to log in.
func TestFirstKeyIsSeen(t *testing.T) {
	d := startDoor(t)
	_, line := newKey(t)
	d.allow(t, "")
	d.readKeys()
	d.allow(t, line)
	d.lookForKeys()
	d.note.mu.Lock()
	defer d.note.mu.Unlock()
	if got := d.note.state.Keys; got != 1 {
		t.Errorf("the state tells of %d keys, want 1", got)
	}
}

// A stick that drops off the bus leaves a file system on which no file can be
// opened. The box goes on routing, and its operator must get in.
func TestKeysOutliveTheDisk(t *testing.T) {
	d := startDoor(t)
	d.open(t).Close()
	path := d.path("data/identity/" + identity.AuthorizedKeysFile)
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700)) // for EIO: it can be read neither, not even by root
	d.open(t)
	must(t, os.Remove(path))
	if c, err := d.login("127.0.0.1", "root", d.key); err == nil {
		c.Close()
		t.Error("a key of a list that was removed may log in")
	}
	stranger, _ := newKey(t)
	must(t, os.Mkdir(path, 0o700))
	if c, err := d.login("127.0.0.1", "root", stranger); err == nil {
		c.Close()
		t.Error("a stranger gets in when the list cannot be read")
	}
}

// A secret that was typed where it has no place is not kept.
func TestSecretIsNotLogged(t *testing.T) {
	d := startDoor(t)
	c := d.open(t)
	for _, command := range []string{"secret set isp hunter2", "secret hunter2"} {
		_, _, _ = run(t, c, command, "")
	}
	if log := strings.Join(d.lines(), "\n"); strings.Contains(log, "hunter2") || !strings.Contains(log, `["secret"]`) {
		t.Errorf("the log is\n%s", log)
	}
}
