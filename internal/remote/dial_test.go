package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/internal/lab"
)

func access(h lab.SSHHost) Options { return Options{Home: h.Home} }

func address(h lab.SSHHost) string { return "127.0.0.1:" + h.Port }

// reach connects, or fails the test.
func reach(t *testing.T, h lab.SSHHost) *Client {
	t.Helper()
	c, err := Dial(t.Context(), address(h), access(h))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// refused connects, and returns the error, which has to hold want.
func refused(t *testing.T, host string, o Options, want string) string {
	t.Helper()
	c, err := Dial(t.Context(), host, o)
	if err == nil {
		c.Close()
		t.Fatalf("Dial succeeds, want …%s…", want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Fatalf("Dial = %v\nwant …%s…", err, want)
	}
	return err.Error()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The hint of the error about an unknown host is what a person will type.
func TestUnknownHost(t *testing.T) {
	h := lab.StartSSH(t)
	known := filepath.Join(h.Home, ".ssh/known_hosts")
	must(t, os.Remove(known))
	text := refused(t, address(h), access(h), "host [127.0.0.1]:"+h.Port+" is unknown")
	out, err := exec.Command("ssh-keygen", "-lf", h.Path("host_key.pub")).Output()
	must(t, err)
	if print := strings.Fields(string(out))[1]; !strings.Contains(text, print) {
		t.Errorf("ssh-keygen says the fingerprint is %s, the error says\n%s", print, text)
	}
	lines := strings.Split(text, "\n")
	if out, err := exec.Command("sh", "-c", lines[len(lines)-1]).CombinedOutput(); err != nil {
		t.Fatalf("the hint does not work: %v\n%s", err, out)
	}
	reach(t, h)
}

func TestChangedHostKey(t *testing.T) {
	h := lab.StartSSH(t)
	must(t, os.Remove(h.Path("host_key")))
	lab.Keygen(t, h.Path("host_key"), "-t", "ed25519", "-N", "")
	text := refused(t, address(h), access(h), "HAS CHANGED")
	if !strings.Contains(text, "hint: nothing was sent") {
		t.Errorf("no hint in %s", text)
	}
}

// A host that is known by one of its keys may have others that the library
// would rather see.
func TestHostIsAskedForTheKeyItIsKnownBy(t *testing.T) {
	h := lab.StartSSH(t)
	lab.Keygen(t, h.Path("ecdsa"), "-t", "ecdsa", "-N", "")
	lab.Keygen(t, h.Path("rsa"), "-t", "rsa", "-N", "")
	h.Set(t, "HostKey "+h.Path("ecdsa")+"\nHostKey "+h.Path("rsa"))
	reach(t, h)
	data, err := os.ReadFile(h.Path("rsa.pub"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(h.Home, ".ssh/known_hosts"), append([]byte("[127.0.0.1]:"+h.Port+" "), data...), 0o600))
	reach(t, h)
}

func TestKeys(t *testing.T) {
	h := lab.StartSSH(t)
	own := filepath.Join(h.Home, ".ssh/id_ed25519")
	locked, rsa := h.Path("locked"), h.Path("locked_rsa")
	lab.Keygen(t, locked, "-t", "ed25519", "-N", "open sesame")
	lab.Keygen(t, rsa, "-t", "rsa", "-m", "PEM", "-N", "open sesame")
	stranger := h.Path("stranger")
	lab.Keygen(t, stranger, "-t", "ed25519", "-N", "")
	h.Allow(t, locked+".pub")
	h.Allow(t, rsa+".pub")
	must(t, os.Rename(own, own+".away"))

	d := address(h)
	with := func(change func(*Options)) Options {
		a := access(h)
		change(&a)
		return a
	}
	sesame := func(string) ([]byte, error) { return []byte("open sesame"), nil }
	wrong := func(string) ([]byte, error) { return []byte("open barley"), nil }
	never := func(file string) ([]byte, error) {
		t.Errorf("asked for the passphrase of %s, which the host would not take", file)
		return nil, errors.New("asked")
	}
	for _, key := range []string{locked, rsa} {
		c, err := Dial(t.Context(), d, with(func(a *Options) { a.Identity, a.Passphrase = key, sesame }))
		must(t, err)
		c.Close()
	}
	refused(t, d, with(func(a *Options) { a.Identity, a.Passphrase = locked, wrong }), "unlock key "+locked+": wrong passphrase")
	refused(t, d, with(func(a *Options) { a.Identity = locked }), "hint: ssh-add "+locked)
	refused(t, d, with(func(a *Options) { a.Identity = h.Path("none") }), "no such file")
	refused(t, d, with(func(a *Options) { a.Identity = stranger }), "takes none of our keys ("+stranger+")")
	refused(t, d, access(h), "there is no agent and no key in ~/.ssh")

	// An agent has the key that is under a passphrase: nobody is asked.
	socket := h.Path("agent")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	out, err := agent.StdoutPipe()
	must(t, err)
	must(t, agent.Start())
	t.Cleanup(func() { _ = agent.Process.Kill(); _ = agent.Wait() })
	_, err = out.Read(make([]byte, 1)) // it prints the socket's name when it listens
	must(t, err)
	add := exec.Command("ssh-add", own+".away")
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v\n%s", err, out)
	}
	c, err := Dial(t.Context(), d, with(func(a *Options) { a.Agent, a.Passphrase = socket, never }))
	must(t, err)
	c.Close()
}

func TestSSHConfig(t *testing.T) {
	h := lab.StartSSH(t)
	must(t, os.Rename(filepath.Join(h.Home, ".ssh/id_ed25519"), filepath.Join(h.Home, ".ssh/box key")))
	config := fmt.Sprintf("Host box\n  HostName 127.0.0.1\n  Port %s\n  User root\n  IdentityFile \"~/.ssh/box key\"\n"+
		"Host far\n  ProxyJump gate\n", h.Port)
	must(t, os.WriteFile(filepath.Join(h.Home, ".ssh/config"), []byte(config), 0o600))
	a := access(h)
	a.User = "nobody"
	c, err := Dial(t.Context(), "box", a)
	must(t, err)
	c.Close()
	refused(t, "far", a, "ProxyJump gate")
}

func TestAcceptNewHost(t *testing.T) {
	h := lab.StartSSH(t)
	known := filepath.Join(h.Home, ".ssh/known_hosts")
	must(t, os.WriteFile(known, []byte("# no newline at the end"), 0o600))
	out, err := exec.Command("ssh-keygen", "-lf", h.Path("host_key.pub")).Output()
	must(t, err)
	want := NewHost{Name: "[127.0.0.1]:" + h.Port, Kind: "ssh-ed25519", Fingerprint: strings.Fields(string(out))[1]}
	var asked NewHost
	o := access(h)
	o.AcceptNew = func(n NewHost) (bool, error) { asked = n; return false, nil }
	refused(t, address(h), o, "was not accepted")
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("it asked (-want +got)\n%s", diff)
	}
	o.AcceptNew = func(NewHost) (bool, error) { return true, nil }
	c, err := Dial(t.Context(), address(h), o)
	must(t, err)
	c.Close()
	reach(t, h) // without asking
	if out, err := exec.Command("ssh-keygen", "-F", "[127.0.0.1]:"+h.Port, "-f", known).Output(); err != nil {
		t.Errorf("ssh-keygen does not find the host: %v\n%s", err, out)
	}

	o = access(h)
	o.KnownHosts = h.Path("other")
	refused(t, address(h), o, "is unknown")
}

func TestRun(t *testing.T) {
	c := reach(t, lab.StartSSH(t))
	var out, errs bytes.Buffer
	must(t, c.Run(t.Context(), "cat; echo done >&2", strings.NewReader("hello\n"), Output{&out, &errs}))
	if got := out.String() + errs.String(); got != "hello\ndone\n" {
		t.Errorf("it wrote %q", got)
	}
	for name, tc := range map[string]struct {
		command string
		stdin   io.Reader
		out     Output
		want    string
	}{
		"a status":                     {"exit 3", nil, Output{Stderr: io.Discard}, "ended there with status 3"},
		"last words":                   {"echo no >&2; exit 3", nil, Output{}, "no"},
		"words that steer a terminal":  {`printf 'a\033[2Jb\n' >&2; exit 1`, nil, Output{}, "a\ufffd[2Jb"},
		"many of them":                 {"yes n | head -c 9000 >&2; exit 1", nil, Output{}, strings.TrimSpace(strings.Repeat("n\n", maxWords/2))},
		"a signal":                     {"kill -KILL $$", nil, Output{Stderr: io.Discard}, "ended there by signal KILL"},
		"one that does not read":       {"exit 4", endless{}, Output{Stderr: io.Discard}, "ended there with status 4"},
		"an input that cannot be read": {"cat", iotest.ErrReader(errors.New("bad sector")), Output{}, "read what to send: bad sector"},
	} {
		err := c.Run(t.Context(), tc.command, tc.stdin, tc.out)
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: Run = %v, want %s", name, err, tc.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	begun := onWrite{cancel}
	if err := c.Run(ctx, "echo; sleep 1000", nil, Output{Stdout: begun}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Run = %v", err)
	}
}

// endless is an input that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// onWrite does something when something is written.
type onWrite struct{ do func() }

func (w onWrite) Write(p []byte) (int, error) { w.do(); return len(p), nil }

func TestLineThatFailsWhileRunning(t *testing.T) {
	for name, tc := range map[string]struct {
		frozen bool
		want   string
	}{
		"breaks":       {false, "the connection was lost before the command ended"},
		"falls silent": {true, "ssh: run command: nothing came from the host for 1s: the line is dead"},
	} {
		h := lab.StartSSH(t)
		line := h.Through(t, 200_000, tc.frozen)
		o := access(line)
		o.Patience = time.Second
		c, err := Dial(t.Context(), address(line), o)
		must(t, err)
		defer c.Close()
		if err := c.Run(t.Context(), "cat", endless{}, Output{Stdout: io.Discard}); err == nil || err.Error() != tc.want {
			t.Errorf("on a line that %s: Run = %v, want %s", name, err, tc.want)
		}
	}
}

// Without a home folder the working directory, which may be anybody's, is not
// asked whom to trust.
func TestNoHome(t *testing.T) {
	t.Chdir(t.TempDir())
	must(t, os.Mkdir(".ssh", 0o755))
	must(t, os.WriteFile(".ssh/config", []byte("Host gw0\n HostName 127.0.0.1\n Port 9\n"), 0o644))
	refused(t, "gw0", Options{}, "ssh: there is no home folder for keys and known hosts\nhint: set HOME")
}

// Who flashes boxes all day wants none of their keys kept.
func TestNoFileOfKnownHosts(t *testing.T) {
	h := lab.StartSSH(t)
	t.Chdir(t.TempDir())
	for _, file := range []string{"/dev/null", "none"} {
		must(t, os.WriteFile(filepath.Join(h.Home, ".ssh/config"), []byte("Host *\n UserKnownHostsFile "+file+"\n"), 0o600))
		o := access(h)
		o.AcceptNew = func(NewHost) (bool, error) { return true, nil }
		c, err := Dial(t.Context(), address(h), o)
		must(t, err)
		c.Close()
	}
	if _, err := os.Stat("none"); err == nil {
		t.Error("a file called none was made")
	}
}

// What answers at the port need not be an SSH server.
func TestHostThatIsNone(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	free.Close()
	quick := Options{Home: t.TempDir(), ConnectTime: time.Second}
	refused(t, free.Addr().String(), quick, "connection refused\nhint: nothing listens on port")
	serve := func(f func(*net.TCPConn)) string { return "127.0.0.1:" + lab.Listen(t, f) }
	refused(t, serve(func(*net.TCPConn) {}), quick, "the host closed the connection")
	refused(t, serve(func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }), quick, "says nothing: is it an SSH server?")
	refused(t, serve(func(c *net.TCPConn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); _, _ = io.Copy(io.Discard, c) }), quick, "hint: try again")
	refused(t, serve(func(c *net.TCPConn) {
		_, _ = io.WriteString(c, strings.Repeat("x", 1000))
		_, _ = io.Copy(io.Discard, c)
	}), quick, "ssh: ")
	if err := unreachable(target{}, &net.DNSError{Err: "no such host", Name: "gw0"}); !strings.Contains(err.Error(), "hint: name its address") {
		t.Errorf("of a name that nobody knows: %v", err)
	}
}
