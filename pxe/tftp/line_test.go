package tftp

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/internal/lab/link"
)

// spawn starts a server in a network namespace and waits until it answers.
func spawn(t testing.TB, peer, addr, dir, device string) *lab.Program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := lab.Spawn(t, peer, "env", fmt.Sprintf("%s=%s:69 %s %s", serveEnv, addr, dir, device), exe)
	listens(t, peer, addr)
	return p
}

// listens waits until somebody listens on port 69 of addr.
func listens(t testing.TB, peer, addr string) {
	t.Helper()
	lab.Eventually(t, 20*time.Second, "a server on "+addr, func() bool {
		return lab.Run(t, peer, "ss", "-Hlnu", "src", addr, "sport", "=", "69") != ""
	})
}

// cabled lays a cable with the misfortunes of line between two namespaces, and
// gives each the addresses.
func cabled(t testing.TB, near, far string, line link.Line, nearAddr string, farAddrs ...string) {
	t.Helper()
	link.Cable(t, link.End{Peer: near, Device: "tftp0"}, link.End{Peer: far, Device: "tftp1"}, line, 1)
	lab.Run(t, near, "ip", "addr", "add", nearAddr+"/24", "dev", "tftp0")
	for _, a := range farAddrs {
		lab.Run(t, far, "ip", "addr", "add", a+"/24", "dev", "tftp1")
	}
}

func TestClientsOfOthersOverABadLine(t *testing.T) {
	line := link.Line{Delay: 500 * time.Microsecond, Loss: 0.05, Duplicate: 0.02, Reorder: 0.02, Late: time.Millisecond}
	clientsOver(t, line, content(200_000), programs)
}

// A port of 100 Mbit/s whose queue holds 17 packets, and clients that ask for 64
// at once.
func TestClientsOfOthersBehindAShortQueue(t *testing.T) {
	line := link.Line{Delay: 100 * time.Microsecond, Rate: 12 << 20, Queue: 2 * time.Millisecond}
	clientsOver(t, line, content(4_000_000), []program{
		{name: "u-root", fetch: pxeboot},
		{name: "atftp", fetch: run("atftp", "--option", "blksize 1428", "--option", "windowsize 64", "-g", "-r", "$NAME", "-l", "$TO", "$HOST", "$PORT")},
	})
}

// clientsOver has clients fetch a file over a line.
func clientsOver(t *testing.T, line link.Line, file []byte, programs []program) {
	t.Helper()
	if !lab.Isolate(t) {
		return
	}
	lab.Require(t, "tftp", "curl", "atftp", "busybox", "ss")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), file, 0o644); err != nil {
		t.Fatal(err)
	}
	lab.NewPeer(t, "far")
	cabled(t, "", "far", line, "192.0.2.2", "192.0.2.1")
	spawn(t, "far", "192.0.2.1", dir, "tftp1")
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) { p.check(t, netip.MustParseAddrPort("192.0.2.1:69"), "file", file) })
	}
}
