package labs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
)

// farConfig is the router.toml of a box that nobody wants to drive to.
const farConfig = `hostname = "gw0"
[interface.wan]
device = "port:WAN"
dhcp4 = true
[interface.lan]
device = "port:LAN"
address = ["192.168.1.1/24"]
[ssh]
interface = ["lan"]
[health]
for = "10s"
`

// farBox is a running box that was flashed with an identity, and the desk of its
// operator.
type farBox struct {
	dir, port string
	hostKey   string // in the form of known_hosts
	console   *lab.Console
}

// startFarBox makes keys and an identity, flashes an image, boots it, and takes
// the host key over as an operator does who has made it himself.
func startFarBox(t testing.TB) farBox {
	t.Helper()
	lab.Require(t, "ssh", "ssh-keygen")
	f := farBox{dir: t.TempDir(), port: freePort(t)}
	lab.Keygen(t, f.path("id"), "-t", "ed25519", "-N", "", "-C", "anna@desk")
	if err := os.WriteFile(f.path("gw0.toml"), []byte(farConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	f.must(t, "key", "new", f.path("dev"), "--no-passphrase")
	f.must(t, "identity", "new", f.path("gw0"), "--ssh-key", f.path("id.pub"), "--key", f.path("dev.pub"))
	f.must(t, "flash", "qemu-amd64", f.path("gw0.img"), "--identity", f.path("gw0"), "--config", f.path("gw0.toml"))
	f.console = boot(t, "--image", f.path("gw0.img"),
		"--lan", "user,net=192.168.1.0/24,host=192.168.1.2,restrict=on,hostfwd=tcp:127.0.0.1:"+f.port+"-192.168.1.1:22")
	public, err := exec.Command("ssh-keygen", "-y", "-f", f.path("gw0/ssh_host_ed25519_key")).Output()
	if err != nil {
		t.Fatal(err)
	}
	f.hostKey = string(public)
	if err := os.MkdirAll(f.path(".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.knownAt(t, f.port)
	f.opened(t, f.console)
	return f
}

// knownAt has the desk expect the box's host key at a port.
func (f farBox) knownAt(t testing.TB, port string) {
	t.Helper()
	for _, name := range []string{".ssh/known_hosts", "known_hosts"} {
		if err := os.WriteFile(f.path(name), []byte("[127.0.0.1]:"+port+" "+f.hostKey), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// opened waits until the box lets its operator in: the door comes up after the
// menu.
func (f farBox) opened(t testing.TB, c *lab.Console) {
	t.Helper()
	c.Expect(t, readyLine, bootTimeout)
	lab.Eventually(t, menuTimeout, "ssh gets in", func() bool {
		_, err := sshInto(f.dir, f.port, "", "status")
		return err == nil
	})
}

func (f farBox) path(name string) string { return filepath.Join(f.dir, name) }

// tench runs the host tool as the operator.
func (f farBox) tench(t testing.TB, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(filepath.Join(lab.Root(t), "bin", "tench"), args...)
	cmd.Dir, cmd.Env = lab.Root(t), append(os.Environ(), "HOME="+f.dir, "SSH_AUTH_SOCK=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (f farBox) must(t testing.TB, args ...string) string {
	t.Helper()
	out, err := f.tench(t, args...)
	if err != nil {
		t.Fatalf("tench %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// ssh runs a command on the box through OpenSSH.
func (f farBox) ssh(t testing.TB, command string) string {
	t.Helper()
	out, err := sshInto(f.dir, f.port, "", command)
	if err != nil {
		t.Fatalf("ssh %s: %v\n%s", command, err, out)
	}
	return out
}

// An operator changes a box over the network only: a configuration that cuts him
// off comes back by itself, one that does not stays; an update is tried and kept;
// a backup makes the box again.
func TestFarBox(t *testing.T) {
	f := startFarBox(t)
	host := "127.0.0.1:" + f.port
	write := func(name, from, to string) string {
		t.Helper()
		if err := os.WriteFile(f.path(name), []byte(strings.Replace(farConfig, from, to, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		return f.path(name)
	}

	cut := write("cut.toml", "192.168.1.1/24", "192.168.7.1/24")
	out, err := f.tench(t, "apply", "--identity", f.path("id"), host, cut, "--confirm", "30s")
	if err == nil || !strings.Contains(out, "it is as it was before: generation 2 was taken back") || !strings.Contains(out, "interface lan: address 192.168.1.1/24 goes") {
		t.Errorf("tench apply of what cuts the line: %v\n%s", err, out)
	}
	fine := write("fine.toml", `"10s"`, `"11s"`)
	f.must(t, "apply", "--identity", f.path("id"), host, fine)
	if list := f.ssh(t, "generations"); !strings.Contains(list, "2       taken back") || !strings.Contains(list, "3       current") {
		t.Errorf("ssh gw0 generations:\n%s", list)
	}

	f.must(t, "update", "--identity", f.path("id"), "--key", f.path("dev.sec"), host, "out/qemu-amd64")
	if slots := f.ssh(t, "slots"); !strings.Contains(slots, "passed its trial") || !strings.Contains(slots, "slot b               running    good") {
		t.Errorf("ssh gw0 slots:\n%s", slots)
	}

	f.must(t, "backup", "--identity", f.path("id"), host, f.path("gw0.age"), "--recipient", strings.TrimSpace(readText(t, f.path("id.pub"))))
	f.must(t, "flash", "qemu-amd64", f.path("again.img"), "--restore", f.path("gw0.age"), "--identity-file", f.path("id"))
	f.console.Kill()
	again := boot(t, "--image", f.path("again.img"),
		"--lan", "user,net=192.168.1.0/24,host=192.168.1.2,restrict=on,hostfwd=tcp:127.0.0.1:"+f.port+"-192.168.1.1:22")
	f.opened(t, again)
	// The host key is the old one, or ssh would not go in.
	if list := f.ssh(t, "generations"); !strings.Contains(list, "3       current") {
		t.Errorf("ssh gw0 generations, of the box made again:\n%s", list)
	}
}

func readText(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
