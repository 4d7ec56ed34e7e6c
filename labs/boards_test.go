package labs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tench/boards"
	"tench/internal/lab"
	"tench/release"
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
			checkSizes(t, b)
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

// What the sizes of slots and programs are held to, in bytes: by CPU and by name.
var (
	slotGoals    = map[string]int64{"amd64": 16e6, "386": 14e6}
	programGoals = map[string]int64{"bird": 1.1e6, "charon": 1.8e6}
)

const daemonsGoal = 8e6 // all daemons together

var daemonLine = regexp.MustCompile(`(?m)^\./bin/(bird|birdcl|charon|openvpn) type=file mode=\d+ size=(\d+) `)

func checkSizes(t *testing.T, b boards.Board) {
	t.Helper()
	out := filepath.Join(lab.Root(t), "out", b.Name)
	slot, err := os.Stat(filepath.Join(out, release.SlotName(b.Name)))
	files, err2 := os.ReadFile(filepath.Join(out, release.FilesName(b.Name)))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if goal := slotGoals[b.Arch.Name]; goal > 0 && slot.Size() > goal {
		t.Errorf("the slot has %d bytes, the goal is %d", slot.Size(), goal)
	}
	var together int64
	for _, m := range daemonLine.FindAllStringSubmatch(string(files), -1) {
		size, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		together += size
		if goal := programGoals[m[1]]; goal > 0 && size > goal {
			t.Errorf("%s has %d bytes, the goal is %d", m[1], size, goal)
		}
	}
	if together == 0 && len(b.Daemons) > 0 || together > daemonsGoal {
		t.Errorf("the daemons have %d bytes together, the goal is %d", together, int64(daemonsGoal))
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
	for _, q := range b.Quirks {
		c.Expect(t, "(?m)^quirk "+q.Name+": in force", menuTimeout)
	}
	c.Expect(t, "== kernel log", menuTimeout)
	c.Expect(t, "== log", menuTimeout)
}

// charonPlugins are those that IKEv2 with certificates, EAP and RADIUS calls for
// (design/daemons.md).
const charonPlugins = "aes des sha2 sha1 md4 md5 mgf1 random nonce x509 revocation constraints pubkey pkcs1 pem pkcs8 gmp curve25519 cmac hmac kdf ctr gcm attr " +
	"kernel-netlink resolve socket-default vici updown eap-identity eap-mschapv2 eap-radius xauth-generic"

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
		{"for p in " + charonPlugins + "; do grep -q \"loaded plugins:.* $p( |$)\" /tmp/charon.log || echo $p; done > /tmp/lacking; echo lacking: $(cat /tmp/lacking).", `lacking: \.`},
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
