package labs

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
)

// sshInto runs Debian's ssh against the forwarded port of a machine.
func sshInto(dir, port, stdin string, args ...string) (string, error) {
	cmd := sshCommand(dir, port, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func sshCommand(dir, port string, args ...string) *exec.Cmd {
	return exec.Command("ssh", append([]string{"-F", "none", "-p", port, "-i", filepath.Join(dir, "id"), "-o", "IdentitiesOnly=yes",
		"-o", "BatchMode=yes", "-o", "UserKnownHostsFile=" + filepath.Join(dir, "known_hosts"), "root@127.0.0.1"}, args...)...)
}

// An operator turns SSH on at the serial console, compares the fingerprint, and
// comes in; the door is there again when it was killed, and gone when [ssh] is.
func TestDoor(t *testing.T) {
	lab.Require(t, "ssh", "ssh-keygen", "ssh-keyscan")
	dir := t.TempDir()
	lab.Keygen(t, filepath.Join(dir, "id"), "-t", "ed25519", "-N", "", "-C", "anna@desk")
	public, err := os.ReadFile(filepath.Join(dir, "id.pub"))
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	c := boot(t, "--lan", "user,net=192.168.1.0/24,host=192.168.1.2,restrict=on,hostfwd=tcp:127.0.0.1:"+port+"-192.168.1.1:22")
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "7\n")
	c.Send(t, "mkdir -p /data/identity; chmod 700 /data/identity\n")
	c.Send(t, fmt.Sprintf("echo '%s' > /data/identity/authorized_keys\n", bytes.TrimSpace(public)))
	c.Send(t, "tenchd config > /tmp/old.toml; cp /tmp/old.toml /tmp/new.toml; echo '[ssh]' >> /tmp/new.toml; echo 'interface = [\"lan\"]' >> /tmp/new.toml\n")
	c.Send(t, "tenchd apply /tmp/new.toml && echo applied-$((1+1))\n")
	c.Expect(t, `applied-2`, menuTimeout)
	// The console shows what a person compares.
	c.Send(t, "sleep 3; tenchd status; echo shown-$((1+1))\n")
	shown := c.Expect(t, `(?s)(\n. +ssh +[^\n]*.*)shown-2`, menuTimeout)[1]
	scan, err := exec.Command("ssh-keyscan", "-p", port, "-t", "ed25519", "127.0.0.1").Output()
	if err != nil || len(scan) == 0 {
		t.Fatalf("ssh-keyscan: %v\n%s", err, shown)
	}
	known := filepath.Join(dir, "known_hosts")
	if err := os.WriteFile(known, scan, 0o600); err != nil {
		t.Fatal(err)
	}
	print, err := exec.Command("ssh-keygen", "-lf", known).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Fields(string(print))[1]; !strings.Contains(strings.Join(strings.Fields(shown), ""), want) {
		t.Errorf("ssh-keygen says the fingerprint is %s, the box\n%s", want, shown)
	}

	into := func(want, stdin string, args ...string) {
		t.Helper()
		if out, err := sshInto(dir, port, stdin, args...); err != nil || !strings.Contains(out, want) {
			t.Errorf("ssh %q: %v\n%s", args, err, out)
		}
	}
	into("lan  ", "", "status")
	into("anna@desk/", "sleep 2; tenchd status\n", "shell") // the door notes who is there once a second
	into("lan up", "", "why", "lan")
	into("42", "echo $((6*7))\n", "shell")
	into("status", "", "-tt", "menu") // its input ends at once
	c.Send(t, "cd /proc; for p in [0-9]*; do if grep -q 'tenchd door' $p/comm; then grep CapEff $p/status; kill -9 $p; echo killed-$((1+1)); fi; done\n")
	caps := c.Expect(t, `CapEff:\s*([0-9a-f]+)(?s:.*)killed-2`, menuTimeout)[1]
	if caps != "0000000000002400" {
		t.Errorf("the door has the capabilities %s, want CAP_NET_BIND_SERVICE and CAP_NET_RAW alone", caps)
	}
	c.Send(t, "sleep 3; echo later-$((1+1))\n")
	c.Expect(t, `later-2`, menuTimeout)
	into("ssh", "", "status")

	// [ssh] goes, and the door with it.
	c.Send(t, "tenchd apply /tmp/old.toml && sleep 2; echo gone-$((1+1))\n")
	c.Expect(t, `gone-2`, menuTimeout)
	if out, err := sshInto(dir, port, "", "status"); err == nil {
		t.Errorf("without [ssh] it still lets in:\n%s", out)
	}
	c.Send(t, "exit\n")
	powerOff(t, c)
}

// freePort is a TCP port of the loopback that is free now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
