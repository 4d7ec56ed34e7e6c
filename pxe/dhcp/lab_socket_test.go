package dhcp

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"tench/internal/lab"
	"tench/pxe/event"
)

// TestInterfaceGoneLab pulls the adapter out of the machine.
func TestInterfaceGoneLab(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	s, err := Listen(t.Context(), options(t, Full))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context()) }()
	lab.Run(t, "", "ip", "link", "del", "eth0")
	if err := <-done; err == nil || err.Error() != "dhcp: eth0: serve: the interface is gone" {
		t.Errorf("Serve = %v", err)
	}
}

// TestInterfaceDownLab starts on an interface that is down.
func TestInterfaceDownLab(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	lab.Run(t, "", "ip", "link", "set", "eth0", "down")
	_, err := Listen(t.Context(), options(t, Full))
	const want = "dhcp: eth0: probe: send DISCOVER: network is down\nhint: sudo ip link set eth0 up"
	if err == nil || err.Error() != want {
		t.Errorf("Listen = %v, want %s", err, want)
	}
}

// TestOneInterfaceLab checks that nobody is answered on another interface, though
// the machine has an address there.
func TestOneInterfaceLab(t *testing.T) {
	lab.RequireRoot(t, "udhcpc")
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	lab.NewPeer(t, "office")
	lab.Cable(t, "eth9", "office", "desk0")
	office := event.MAC{0x52, 0x54, 0, 0, 0, 0xd0}
	lab.Run(t, "office", "ip", "link", "set", "desk0", "address", office.String())
	lab.Run(t, "", "ip", "link", "set", "eth9", "up")
	lab.Run(t, "", "ip", "addr", "add", "198.51.100.1/24", "dev", "eth9")
	s := serve(t, options(t, Full))
	out, err := exec.Command("ip", "netns", "exec", "office", "udhcpc", "-i", "desk0", "-n", "-q", "-f", "-t", "2", "-T", "1", "-s", "/bin/true").CombinedOutput()
	if err == nil {
		t.Errorf("a lease in the office:\n%s", out)
	}
	lab.Run(t, "box", "udhcpc", "-i", "box0", "-n", "-q", "-f", "-s", "/bin/true")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Box == office {
			t.Errorf("the office was heard: %+v", e)
		}
	}
}

// asNobody tells the test binary to be TestCapabilitiesLab's unprivileged server.
const asNobody = "TENCH_DHCP_NOBODY"

// TestCapabilitiesLab opens a server as nobody: with the two capabilities it works,
// without it says what is missing.
func TestCapabilitiesLab(t *testing.T) {
	if os.Getenv(asNobody) != "" {
		s, err := Listen(t.Context(), options(t, Full))
		if err == nil && s.advert == nil {
			err = errors.New("no router advertisement")
		}
		t.Logf("Listen = %v.", err)
		return
	}
	lab.RequireRoot(t)
	if !lab.Isolate(t) {
		return
	}
	plugTogether(t)
	binary := "/run/dhcp.test"
	copyFile(t, "/proc/self/exe", binary)
	const bind, raw = 10, 13 // CAP_NET_BIND_SERVICE, CAP_NET_RAW
	for _, tc := range []struct {
		name string
		caps []uintptr
		want string
	}{
		{"none", nil, "Listen = dhcp: eth0: open UDP port 67 on eth0: "},
		{"the port only", []uintptr{bind}, "Listen = dhcp: eth0: open packet socket: operation not permitted\n"},
		{"both", []uintptr{bind, raw}, "Listen = <nil>."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cmd := exec.Command(binary, "-test.run=^TestCapabilitiesLab$", "-test.v")
			cmd.Env = append(os.Environ(), asNobody+"=yes")
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: tc.caps}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), tc.want) {
				t.Errorf("%v, want %q:\n%s", err, tc.want, out)
			}
			if tc.name != "both" && !strings.Contains(string(out), "hint: run it with sudo; or once after each build: sudo setcap cap_net_bind_service,cap_net_raw+ep "+binary) {
				t.Errorf("no hint:\n%s", out)
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
