package labs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/supervisor/status"
)

// loopBox is a box whose network loop runs as the real program, without a PID 1.
type loopBox struct {
	t       *testing.T
	program string // tenchd
	dir     string
	loop    *lab.Program
}

const loopConfig = `hostname = "gw0"
forwarding = true

[interface.wan]
device = "eth0"
dhcp4 = true

[interface.lan]
device = "eth1"
address = ["192.168.77.1/24", "fd00:77::1/64"]

[[route]]
to = "10.99.0.0/16"
via = "192.168.77.9"
`

// newLoopBox plugs eth0 and eth1 in, starts a DHCP server behind eth0 and the
// loop, and waits until it is done.
func newLoopBox(t *testing.T) *loopBox {
	t.Helper()
	lab.RequireRoot(t, "ip", "dnsmasq", "go")
	b := &loopBox{t: t, dir: t.TempDir()}
	b.program = filepath.Join(b.dir, "tenchd")
	lab.Run(t, "", "go", "build", "-C", lab.Root(t), "-o", b.program, "./cmd/tenchd")
	lab.NewPeer(t, "net")
	lab.Cable(t, "eth0", "net", "wan")
	lab.Cable(t, "eth1", "net", "lan")
	lab.Run(t, "net", "ip", "addr", "add", "10.5.0.1/24", "dev", "wan")
	lab.Spawn(t, "net", "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--interface=wan", "--bind-interfaces",
		"--port=0", "--dhcp-range=10.5.0.50,10.5.0.60,2m", "--dhcp-leasefile="+filepath.Join(b.dir, "leases"), "--pid-file=")
	generation := filepath.Join(b.dir, "data", "config", "1")
	if err := os.MkdirAll(generation, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"1/router.toml": loopConfig, "current": "1\n"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(generation), name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	lab.Eventually(t, 30*time.Second, "the network is as router.toml wants it", func() bool {
		return strings.Contains(b.network(), "10.5.0.") && strings.Contains(b.network(), "10.99.0.0/16")
	})
	return b
}

func (b *loopBox) start() {
	b.t.Helper()
	b.loop = lab.Spawn(b.t, "", b.program, "loop", "-data", filepath.Join(b.dir, "data"), "-run", filepath.Join(b.dir, "run"))
}

// tenchd runs a client command against the loop.
func (b *loopBox) tenchd(args ...string) string {
	b.t.Helper()
	return lab.Run(b.t, "", append([]string{b.program, "--run", filepath.Join(b.dir, "run")}, args...)...)
}

// network is every address and route, as iproute2 prints them.
func (b *loopBox) network() string {
	b.t.Helper()
	return lab.Run(b.t, "", "ip", "-br", "addr", "show") + lab.Run(b.t, "", "ip", "route", "show") +
		lab.Run(b.t, "", "ip", "-6", "route", "show")
}

// write stores a router.toml for tenchd apply.
func (b *loopBox) write(text string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, "new.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func TestLoopRepairsDriftWithinASecond(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	b := newLoopBox(t)
	want := b.network()
	for name, damage := range map[string][]string{
		"an address is gone":  {"ip", "addr", "del", "192.168.77.1/24", "dev", "eth1"},
		"a leased one, too":   {"ip", "addr", "flush", "dev", "eth0", "scope", "global"},
		"a route is gone":     {"ip", "route", "del", "10.99.0.0/16"},
		"a port was set down": {"ip", "link", "set", "eth1", "down"},
		"one address more":    {"ip", "addr", "add", "192.168.99.1/24", "dev", "eth1"},
	} {
		lab.Run(t, "", damage...)
		took := lab.Eventually(t, time.Second, name+", and is mended", func() bool { return sameNetwork(b.network(), want) })
		t.Logf("%s: mended after %v", name, took)
	}
}

// sameNetwork compares two states of the network but for link-local addresses,
// which come back on their own after duplicate address detection.
func sameNetwork(a, b string) bool { return withoutLinkLocal(a) == withoutLinkLocal(b) }

func withoutLinkLocal(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		var words []string
		for word := range strings.FieldsSeq(line) {
			if !strings.HasPrefix(word, "fe80:") && word != "linkdown" && word != "dead" {
				words = append(words, word)
			}
		}
		if !strings.Contains(line, "fe80::/64") && !strings.Contains(line, "multicast") {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	return strings.Join(lines, "\n")
}

func TestLoopAppliesTheSmallestChange(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	b := newLoopBox(t)
	monitor := lab.Spawn(t, "", "ip", "monitor", "address", "route", "link")
	time.Sleep(500 * time.Millisecond) // ip prints nothing when it has begun to listen
	out := b.tenchd("apply", b.write(strings.Replace(loopConfig, `"fd00:77::1/64"`, `"fd00:78::1/64"`, 1)))
	if !strings.Contains(out, "generation 2") {
		t.Errorf("tenchd apply printed %q, want generation 2", out)
	}
	lab.Eventually(t, 10*time.Second, "the new address is there", func() bool {
		return strings.Contains(b.network(), "fd00:78::1/64") && !strings.Contains(b.network(), "fd00:77::1/64")
	})
	for _, unchanged := range []string{"192.168.77", "10.5.0.", "10.99.0.0", "DOWN"} {
		if strings.Contains(monitor.Output(), unchanged) {
			t.Errorf("ip monitor saw %s, which did not change:\n%s", unchanged, monitor.Output())
		}
	}
	if !strings.Contains(monitor.Output(), "fd00:78::1") {
		t.Errorf("ip monitor did not see the change itself:\n%s", monitor.Output())
	}

	// The same file once more changes nothing, and makes no generation.
	if again := b.tenchd("apply", filepath.Join(b.dir, "new.toml")); !strings.Contains(again, "generation 2") {
		t.Errorf("the same file again: %q, want generation 2", again)
	}

	// A file with a mistake is refused, and the last good one stays in force.
	before := b.network()
	bad := b.write(strings.Replace(loopConfig, "forwarding", "forwarbing", 1))
	cmd := b.program + " --run " + filepath.Join(b.dir, "run") + " apply " + bad + " 2>&1; test $? = 1"
	if out := lab.Run(t, "", "sh", "-c", cmd); !strings.Contains(out, `unknown key "forwarbing"`) {
		t.Errorf("apply of a bad file printed %q", out)
	}
	if b.network() != before || !strings.Contains(b.tenchd("config"), "fd00:78::1/64") {
		t.Error("a refused file changed something")
	}
}

func TestLoopKilledAndStartedAgain(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	b := newLoopBox(t)
	before := b.network()
	monitor := lab.Spawn(t, "", "ip", "monitor", "address", "route", "link")
	time.Sleep(500 * time.Millisecond) // see above
	b.loop.Kill()
	b.start()
	lab.Eventually(t, 30*time.Second, "the lease is taken up again", func() bool {
		return strings.Contains(b.loop.Output(), "dhcp wan: bound")
	})
	if after := b.network(); after != before {
		t.Errorf("the network changed:\nbefore\n%s\nafter\n%s", before, after)
	}
	if out := monitor.Output(); strings.Contains(out, "Deleted") {
		t.Errorf("ip monitor saw something go:\n%s", out)
	}
}

func TestLoopTellsWhy(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	b := newLoopBox(t)
	lab.Run(t, "net", "ip", "link", "set", "lan", "down")
	lab.Eventually(t, 5*time.Second, "lan is down for want of a carrier", func() bool {
		return strings.TrimSpace(b.tenchd("why", "lan")) == "lan down: no carrier on eth1"
	})
	var root status.Node
	if err := json.Unmarshal([]byte(b.tenchd("status", "-json")), &root); err != nil {
		t.Fatalf("tenchd status -json: %v", err)
	}
	lan, ok := root.Find("lan")
	if !ok || lan.OK || root.OK {
		t.Errorf("status: root %v, lan %v; want both not OK", root.OK, lan)
	}
}
