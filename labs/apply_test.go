package labs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
)

// A desk far away: tench runs in the namespace "net" and comes over the port lan
// to Debian's sshd, which hands every command to the box's tenchd.
const deskHost = "root@192.168.77.1:2222"

// sshBox is operatorBox with an SSH server; it returns the desk's home.
func sshBox(t *testing.T) (b *loopBox, home string) {
	t.Helper()
	b = operatorBox(t)
	lab.Require(t, "ssh-keygen", "sshd")
	home = filepath.Join(b.dir, "home")
	ssh := filepath.Join(home, ".ssh")
	if err := os.MkdirAll(ssh, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	lab.Keygen(t, filepath.Join(ssh, "id_ed25519"), "-t", "ed25519", "-N", "")
	lab.Keygen(t, filepath.Join(b.dir, "host_key"), "-t", "ed25519", "-N", "")
	key, err := os.ReadFile(filepath.Join(b.dir, "host_key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Join([]string{
		"ListenAddress 192.168.77.1:2222", "HostKey " + filepath.Join(b.dir, "host_key"), "PidFile none",
		"AuthorizedKeysFile " + filepath.Join(ssh, "id_ed25519.pub"), "StrictModes no", "UsePAM no",
		"PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"ForceCommand env TENCH_SESSION=anna/1 " + b.program + " --run " + filepath.Join(b.dir, "run") + " $SSH_ORIGINAL_COMMAND",
	}, "\n") + "\n"
	for path, text := range map[string]string{
		filepath.Join(ssh, "known_hosts"):   "[192.168.77.1]:2222 " + string(key),
		filepath.Join(b.dir, "sshd_config"): config,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sshd := lab.Spawn(t, "", "/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(b.dir, "sshd_config"))
	lab.Eventually(t, 10*time.Second, "sshd listens", func() bool { return strings.Contains(sshd.Output(), "listening on 192.168.77.1") })
	return b, home
}

// desk runs tench as the operator does, and returns what it printed.
func desk(t *testing.T, home string, args ...string) (string, error) {
	t.Helper()
	program := filepath.Join(lab.Root(t), "bin", "tench")
	args = append([]string{"netns", "exec", "net", "env", "HOME=" + home, "SSH_AUTH_SOCK=", program}, args...)
	out, err := exec.Command("ip", args...).CombinedOutput()
	return string(out), err
}

// What does not cut the line is confirmed over a second one; what does is taken
// back, and the desk says so.
func TestApplyFromTheDesk(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	b, home := sshBox(t)
	out, err := desk(t, home, "apply", deskHost, b.write(strings.Replace(loopConfig, "fd00:77::1", "fd00:78::1", 1)))
	for _, want := range []string{"interface lan: address fd00:78::1/64 comes", deskHost + ": generation 2 is in force\n"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("tench apply: %v, without %q:\n%s", err, want, out)
		}
	}
	b.wantGenerations("before", "current")

	out, err = desk(t, home, "apply", deskHost, b.write(cutOff), "--confirm", "20s")
	if err == nil || !strings.Contains(out, "generation 3 was taken back") {
		t.Errorf("tench apply of what cuts the line: %v\n%s", err, out)
	}
	b.wantReach(true)
	b.wantGenerations("before", "current", "taken back: it was not confirmed in time")

	// By hand: on trial, looked at, and confirmed or rolled back.
	file := b.write(loopConfig + "[ntp]\ninterval = \"1h\"\n")
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"apply", deskHost, file, "--no-confirm"}, "generation 4 is on trial until"},
		{[]string{"confirm", deskHost}, "generation 4 is in force"},
		{[]string{"rollback", deskHost, "1"}, "generation 5 is in force"},
		{[]string{"apply", deskHost, file, "--no-confirm"}, "generation 6 is on trial until"},
		{[]string{"rollback", deskHost}, "generation 5 is in force"},
	} {
		if out, err := desk(t, home, step.args...); err != nil || !strings.Contains(out, step.want) {
			t.Errorf("tench %v: %v\n%swant %q", step.args, err, out, step.want)
		}
	}
	b.wantGenerations("before", "before", "taken back: it was not confirmed in time", "before",
		"current: copy of generation 1", "taken back: it was rolled back by hand")
}
