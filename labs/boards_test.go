package labs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tench/boards"
	"tench/internal/lab"
)

// boardsNamed are the boards that an environment variable names, separated by
// spaces; "all" stands for every one. Each costs a kernel where the cache has
// none.
func boardsNamed(t testing.TB, variable string) []boards.Board {
	t.Helper()
	all, err := boards.List(filepath.Join(lab.Root(t), "boards"))
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(os.Getenv(variable))
	if len(names) == 0 {
		t.Fatalf("%s names no board\nhint: make test and make test-boards set it", variable)
	}
	if slices.Equal(names, []string{"all"}) {
		return all
	}
	var list []boards.Board
	for _, name := range names {
		i := slices.IndexFunc(all, func(b boards.Board) bool { return b.Name == name })
		if i < 0 {
			t.Fatalf("%s: there is no board %q", variable, name)
		}
		list = append(list, all[i])
	}
	return list
}

// TestBoards builds boards and boots each in the machine that stands in for
// it, with every firmware it has.
func TestBoards(t *testing.T) {
	lab.Require(t)
	for _, b := range boardsNamed(t, "TENCH_BOARDS") {
		t.Run(b.Name, func(t *testing.T) {
			tench(t, lab.Root(t), nil, "image", b.Name)
			if b.QEMU.System == "" {
				t.Logf("%s: built, not booted: QEMU has no such machine", b.Name)
				return
			}
			for _, firmware := range b.Firmware {
				t.Run(firmware, func(t *testing.T) { bootBoard(t, b, firmware) })
			}
		})
	}
}

func bootBoard(t *testing.T, b boards.Board, firmware string) {
	c := boot(t, b.Name, "--firmware", firmware)
	m := c.Expect(t, readyLine, bootTimeout)
	// An emulated ARM on a busy host says it is ready before DHCP has answered.
	if m[3] != "a" || m[4] != "" && !strings.HasPrefix(m[4], "; missing: dhcp ") {
		t.Errorf("the ready line is %q, want slot a and nothing missing but a lease", m[0])
	}
	if !strings.HasPrefix(m[0], b.QEMU.Expected) {
		t.Errorf("the ready line is %q, board.toml expects %q", m[0], b.QEMU.Expected)
	}
	shell(t, c)
	// QEMU's user network gives its guest this address, to a slow one late.
	c.Send(t, "until ip addr | grep -q 10.0.2.15/24; do sleep 1; done; tenchd status\n")
	c.Expect(t, `bound +10\.0\.2\.15/24`, bootTimeout)
	for _, q := range b.Quirks {
		c.Expect(t, "quirk "+q.Name+" +in force", menuTimeout)
	}
	c.Send(t, "tenchd sbom\n")
	c.Expect(t, `(?m)^linux +6\.`, menuTimeout)
	readReport(t, c, b)
	runDaemons(t, c, b)
	c.Send(t, "exit\n")
	if firmware == "u-boot" {
		// QEMU's board has no chip that could switch it off.
		confirmPowerOff(t, c)
		c.Expect(t, "reboot: Power off not available: System halted instead", bootTimeout)
		return
	}
	powerOff(t, c)
}

// readReport finds every port of the board in the box's report on itself. The
// stand-in's cards are often others than the board's.
func readReport(t *testing.T, c *lab.Console, b boards.Board) {
	t.Helper()
	c.Send(t, "tenchd report -\n")
	c.Expect(t, "== tench report\\s+board "+b.Name, menuTimeout)
	c.Expect(t, "== ports of the board", menuTimeout)
	for _, p := range b.Ports {
		c.Expect(t, "(?m)^(ok|OTHER) +"+p.Label+" ", menuTimeout)
	}
	c.Expect(t, "== kernel log", menuTimeout)
	c.Expect(t, "== log", menuTimeout)
}

// sessions are, for each recipe, what a person types to see its program start,
// work and stop, and what he then sees.
var sessions = map[string][]struct{ send, expect string }{
	"bird": {
		{"bird --version", `BIRD version 2\.`},
		{"printf 'router id 192.0.2.1;\\nprotocol device {}\\n' > /tmp/bird.conf", ``},
		{"bird -c /tmp/bird.conf -s /tmp/bird.ctl -P /tmp/bird.pid", ``},
		{"birdcl -s /tmp/bird.ctl show status", `Daemon is up and running`},
		{"birdcl -s /tmp/bird.ctl down", `Shutdown`},
	},
	"strongswan": {
		{"charon --version", `strongSwan 5\.`},
		{"(charon > /tmp/charon.log 2>&1 &)", ``},
		{"until [ -e /run/tench/charon.vici ]; do sleep 1; done", ``},
		{"kill -15 $(cat /run/tench/charon.pid); while [ -e /run/tench/charon.pid ]; do sleep 1; done", ``},
		{"cat /tmp/charon.log", `loaded plugins: charon [^\r\n]*aes`},
	},
	"openvpn": {
		{"openvpn --version", `OpenVPN 2\.6`},
		{"openvpn --genkey secret /tmp/key", ``},
		{"openvpn --dev tun9 --ifconfig 10.8.0.1 10.8.0.2 --secret /tmp/key --cipher AES-256-CBC --writepid /tmp/openvpn.pid --daemon --log /tmp/openvpn.log", ``},
		{"until [ -e /sys/class/net/tun9 ]; do sleep 1; done; sleep 1; ip addr show tun9", `10\.8\.0\.1`},
		{"kill -15 $(cat /tmp/openvpn.pid); while [ -e /sys/class/net/tun9 ]; do sleep 1; done; echo tunnel-$((1+1))", `tunnel-2`},
	},
}

// runDaemons starts and stops each daemon of the board in the shell of its
// console.
func runDaemons(t *testing.T, c *lab.Console, b boards.Board) {
	t.Helper()
	for _, name := range b.Daemons {
		if sessions[name] == nil {
			t.Errorf("nobody tries the daemon %s", name)
		}
		for i, s := range sessions[name] {
			done := fmt.Sprintf("%s-%d-done", name, i)
			c.Send(t, s.send+"; echo "+name+"-"+fmt.Sprint(i)+"-'done'\n")
			if s.expect != "" {
				c.Expect(t, s.expect, menuTimeout)
			}
			c.Expect(t, done, menuTimeout)
		}
	}
}
