package labs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
)

// unlikeConfig is of an old box: port LAN is missing on the new one, and so is
// the card that office had.
const unlikeConfig = `hostname = "gw0"
forwarding = true

[interface.wan]
device = "port:WAN"
dhcp4 = true

[interface.lan]
device = "port:LAN"
address = ["192.168.77.1/24"]

[interface.office]
device = "52:54:00:99:99:99"

[interface.phones]
device = "eth5"

[interface.br0]
bridge = ["office", "phones"]
address = ["192.168.79.1/24"]

[[route]]
to = "10.99.0.0/16"
via = "192.168.77.9"
`

// TestUnlikeHardware starts the loop on a box that lacks some of the ports that
// its router.toml names, as a restored stick in other hardware does: the rest
// comes up, and what is missing is told with the port that could take its place.
func TestUnlikeHardware(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	lab.RequireRoot(t, "ip", "dnsmasq", "go")
	b := &loopBox{t: t, dir: t.TempDir()}
	b.program = filepath.Join(b.dir, "tenchd")
	lab.Run(t, "", "go", "build", "-C", lab.Root(t), "-o", b.program, "./cmd/tenchd")
	lab.NewPeer(t, "net")
	lab.Cable(t, "eth0", "net", "wan")
	lab.Cable(t, "eth5", "net", "phones")
	lab.Cable(t, "eth7", "net", "spare")
	lab.Run(t, "net", "ip", "addr", "add", "10.5.0.1/24", "dev", "wan")
	lab.Spawn(t, "net", "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--interface=wan", "--bind-interfaces",
		"--port=0", "--dhcp-range=10.5.0.50,10.5.0.60,2m", "--dhcp-leasefile="+filepath.Join(b.dir, "leases"), "--pid-file=")
	generation := filepath.Join(b.dir, "data", "config", "1")
	if err := os.MkdirAll(generation, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(generation, "router.toml"):           unlikeConfig,
		filepath.Join(filepath.Dir(generation), "current"): "1\n",
		filepath.Join(b.dir, "board.toml"):                 unlikeBoard(t),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.loop = lab.Spawn(t, "", b.program, "loop", "-data", filepath.Join(b.dir, "data"), "-run", filepath.Join(b.dir, "run"),
		"-board", filepath.Join(b.dir, "board.toml"))
	lab.Eventually(t, 30*time.Second, "what the box has comes up", func() bool {
		network := b.network()
		return strings.Contains(network, "10.5.0.") && strings.Contains(network, "192.168.79.1/24")
	})
	for _, line := range []string{
		"lan: missing: no device called eth1 (port LAN); unused: eth7",
		"office: missing: no device with MAC 52:54:00:99:99:99; unused: eth7",
	} {
		if n := strings.Count(b.loop.Output(), line+"\n"); n != 1 {
			t.Errorf("%d lines of the log are %q; want one", n, line)
		}
	}
	if why := b.tenchd("why", "route", "10.99.0.0/16"); !strings.Contains(why, "lan is missing") {
		t.Errorf("tenchd why route 10.99.0.0/16: %q", why)
	}
	if why := b.tenchd("why", "lan"); why != "lan missing: no device called eth1 (port LAN); unused: eth7\n" {
		t.Errorf("tenchd why lan: %q", why)
	}
	// Somebody plugs the port in after all, and gives the spare card the address.
	lab.Cable(t, "eth1", "net", "lan")
	lab.Run(t, "", "ip", "link", "set", "eth7", "address", "52:54:00:99:99:99")
	lab.Eventually(t, 10*time.Second, "all of it is up", func() bool {
		network := b.network()
		return strings.Contains(network, "192.168.77.1/24") && strings.Contains(network, "10.99.0.0/16") &&
			strings.Contains(lab.Run(t, "", "ip", "-br", "link", "show", "master", "br0"), "eth7")
	})
}

// unlikeBoard is the board file of qemu-amd64 with ports that are known by name,
// since a veth pair has no place on a bus.
func unlikeBoard(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), "boards", "qemu-amd64", "board.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(`path = "pci-0000:00:10.0"`, `name = "eth0"`, `path = "pci-0000:00:11.0"`, `name = "eth1"`).Replace(string(text))
}
