package door

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"tench/internal/lab"
)

// openSSH is Debian's ssh with files of its own, for one door.
type openSSH struct {
	d       *testDoor
	options []string
}

func newOpenSSH(t *testing.T, d *testDoor) openSSH {
	t.Helper()
	lab.Require(t, "ssh", "sftp", "ssh-keygen")
	lab.Keygen(t, d.path("id"), "-t", "ed25519", "-N", "")
	public, err := os.ReadFile(d.path("id.pub"))
	must(t, err)
	d.allow(t, strings.TrimSpace(string(public)))
	_, port, err := net.SplitHostPort(d.address)
	must(t, err)
	known := fmt.Sprintf("[127.0.0.1]:%s %s", port, ssh.MarshalAuthorizedKey(d.host.signer.PublicKey()))
	must(t, os.WriteFile(d.path("known_hosts"), []byte(known), 0o600))
	return openSSH{d, []string{"-F", "none", "-o", "Port=" + port, "-o", "UserKnownHostsFile=" + d.path("known_hosts"),
		"-o", "IdentityFile=" + d.path("id"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"}}
}

// run runs ssh, and returns what it wrote and its exit status.
func (o openSSH) run(t *testing.T, stdin string, args ...string) (out, errs string, status int) {
	t.Helper()
	cmd := exec.Command("ssh", append(o.options, args...)...)
	var bo, be bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &bo, &be
	_ = cmd.Run() // the status tells
	return bo.String(), be.String(), cmd.ProcessState.ExitCode()
}

func TestOpenSSH(t *testing.T) {
	d := startDoor(t)
	o := newOpenSSH(t, d)
	for name, tc := range map[string]struct {
		stdin  string
		args   []string
		out    string
		errs   string
		status int
	}{
		"a command":           {"", []string{"root@127.0.0.1", "status"}, "up\n", "careful\n", 0},
		"a status":            {"", []string{"root@127.0.0.1", "check"}, "", "", 3},
		"standard input":      {"hello\n", []string{"root@127.0.0.1", "apply", "-"}, "hello\n", "", 0},
		"words":               {"", []string{"root@127.0.0.1", "why", "'dhcp wan'"}, "<dhcp wan>\n", "", 0},
		"a terminal":          {"x\n", []string{"-tt", "root@127.0.0.1"}, "said x", "", 0},
		"a shell":             {"exit 9\n", []string{"root@127.0.0.1", "shell"}, "", "", 9},
		"no such command":     {"", []string{"root@127.0.0.1", "reboot;"}, "", "means something to a shell only", 2},
		"the wrong user":      {"", []string{"admin@127.0.0.1", "status"}, "", "Permission denied (publickey).", 255},
		"passwords":           {"", []string{"-o", "PubkeyAuthentication=no", "-o", "BatchMode=no", "root@127.0.0.1", "status"}, "", "Permission denied (publickey).", 255},
		"a port":              {"", []string{"-o", "ExitOnForwardFailure=yes", "-R", "2222:127.0.0.1:22", "root@127.0.0.1", "status"}, "", "remote port forwarding failed", 255},
		"another way to it":   {"", []string{"-W", "127.0.0.1:22", "root@127.0.0.1"}, "", "this box forwards nothing", 255},
		"a CBC cipher":        {"", []string{"-c", "aes128-cbc", "root@127.0.0.1"}, "", "no matching cipher found. Their offer: chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com", 255},
		"an old exchange":     {"", []string{"-o", "KexAlgorithms=diffie-hellman-group14-sha1", "root@127.0.0.1"}, "", "no matching key exchange method found. Their offer: mlkem768x25519-sha256,curve25519-sha256,curve25519-sha256@libssh.org,kex-strict-s-v00@openssh.com", 255},
		"an RSA host key":     {"", []string{"-o", "HostKeyAlgorithms=ssh-rsa,rsa-sha2-256", "root@127.0.0.1"}, "", "no matching host key type found. Their offer: ssh-ed25519", 255},
		"AES, for a fast CPU": {"", []string{"-c", "aes256-gcm@openssh.com", "root@127.0.0.1", "status"}, "up\n", "careful\n", 0},
	} {
		out, errs, status := o.run(t, tc.stdin, tc.args...)
		if !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.errs) || status != tc.status {
			t.Errorf("%s: status %d, out %q, errors %q", name, status, out, errs)
		}
	}
	// All that is agreed on, in OpenSSH's words.
	_, errs, _ := o.run(t, "", "-vv", "root@127.0.0.1", "status")
	for _, want := range []string{"kex: algorithm: curve25519-sha256", "kex: host key algorithm: ssh-ed25519", "cipher: chacha20-poly1305@openssh.com",
		"Authentications that can continue: publickey\n", "server-sig-algs=<ssh-ed25519,"} {
		if !strings.Contains(strings.ReplaceAll(errs, "\r", ""), want) {
			t.Errorf("ssh -vv lacks %q:\n%s", want, errs)
		}
	}
}

func TestOpenSSHStranger(t *testing.T) {
	d := startDoor(t)
	o := newOpenSSH(t, d)
	d.allow(t, "")
	if _, errs, status := o.run(t, "", "root@127.0.0.1", "status"); status != 255 || !strings.Contains(errs, "Permission denied (publickey)") {
		t.Errorf("a stranger: status %d, %s", status, errs)
	}
}

func TestTwentyAtATime(t *testing.T) {
	d := startDoor(t)
	o := newOpenSSH(t, d)
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			name := fmt.Sprintf("n%d", n)
			if out, errs, status := o.run(t, "", "root@127.0.0.1", "why", name); out != "<"+name+">\n" || status != 0 {
				t.Errorf("%s: status %d, %q, %q", name, status, out, errs)
			}
		})
	}
	all.Wait()
}

// The key that the box makes is one that ssh-keygen reads, and the fingerprint
// that status shows is the one that ssh asks about.
func TestFingerprint(t *testing.T) {
	d := startDoor(t)
	newOpenSSH(t, d)
	out, err := exec.Command("ssh-keygen", "-lf", d.path("data/identity/ssh_host_ed25519_key")).CombinedOutput()
	must(t, err)
	if !strings.Contains(string(out), d.note.state.Fingerprint) {
		t.Errorf("ssh-keygen says %s, the state %s", out, d.note.state.Fingerprint)
	}
	text, err := os.ReadFile(d.path("data/identity/ssh_host_ed25519_key"))
	must(t, err)
	if block, _ := pem.Decode(text); block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		t.Error("it is not in OpenSSH's format")
	}
}

func TestOpenSSHSFTP(t *testing.T) {
	d := startDoor(t)
	o := newOpenSSH(t, d)
	must(t, os.MkdirAll(d.path("data/config/7"), 0o700))
	must(t, os.WriteFile(d.path("data/config/7/router.toml"), []byte("hostname = \"gw0\"\n"), 0o600))
	must(t, os.WriteFile(d.path("data/config/current"), []byte("7\n"), 0o600))
	must(t, os.WriteFile(d.path("run/log"), []byte("[ 1.0] init: up\n"), 0o600))
	must(t, os.Symlink("/etc/passwd", d.path("data/config/7/evil")))
	must(t, os.WriteFile(d.path("slot"), bytes.Repeat([]byte("tench"), 300_000), 0o600))
	sftp := func(commands ...string) string {
		t.Helper()
		cmd := exec.Command("sftp", append(append([]string{"-b", "-"}, o.options...), "root@127.0.0.1")...)
		for i := range commands {
			commands[i] = "-" + commands[i] // go on after errors
		}
		cmd.Stdin, cmd.Dir = strings.NewReader(strings.Join(commands, "\n")+"\n"), d.dir
		out, err := cmd.CombinedOutput()
		must(t, err)
		return string(out)
	}
	got := sftp("ls -1 /", "ls -1 config", "ls -1 config/7", "get config/7/router.toml got.toml", "get log got.log", "get report.txt got.report",
		"put slot incoming/slot.new", "rename incoming/slot.new incoming/slot", "ls -1 incoming", "get incoming/slot got.slot")
	for _, want := range []string{"config\n", "incoming\n", "log\n", "report.txt\n", "config/7\n", "config/7/router.toml\n", "incoming/slot\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("sftp lacks %q:\n%s", want, got)
		}
	}
	for _, never := range []string{"evil", "current", "control"} {
		if strings.Contains(got, never) {
			t.Errorf("sftp shows %s:\n%s", never, got)
		}
	}
	for name, want := range map[string]string{"got.toml": "hostname = \"gw0\"\n", "got.log": "[ 1.0] init: up\n", "got.report": "a report\n",
		"got.slot": strings.Repeat("tench", 300_000)} {
		if text, err := os.ReadFile(d.path(name)); err != nil || string(text) != want {
			t.Errorf("%s has %d bytes (%v), want %d", name, len(text), err, len(want))
		}
	}
	must(t, os.Truncate(d.path("slot"), maxIncoming+1))
	for command, want := range map[string]string{
		"get config/7/evil":             "not found",
		"get ../../etc/passwd":          "not found",
		"get config/../run/control":     "not found",
		"put id log":                    "ermission denied",
		"put id config/7/router.toml":   "ermission denied",
		"put id incoming/.ssh":          "ermission denied",
		"mkdir incoming/x":              "ermission denied",
		"rename incoming/slot log":      "ermission denied",
		"rm config/7/router.toml":       "ermission denied",
		"ln -s /etc/passwd incoming/pw": "",
		"put slot incoming/big":         "Failure",
	} {
		if out := sftp(command, "rm incoming/big"); !strings.Contains(out, want) {
			t.Errorf("%s: %s", command, out)
		}
	}
	for _, never := range []string{"passwd", "evil", "control"} {
		if _, err := os.Stat(d.path(never)); err == nil {
			t.Errorf("sftp fetched %s", never)
		}
	}
	if left, err := os.ReadDir(d.path("incoming")); err != nil || len(left) != 1 {
		t.Errorf("/incoming has %v, %v", left, err)
	}
}
