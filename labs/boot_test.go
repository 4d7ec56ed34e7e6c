package labs

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/release"
)

// Emulated machines on a busy host may take many times what they take alone.
const (
	bootTimeout = 5 * time.Minute
	menuTimeout = time.Minute
)

// readyLine is what a box prints once its configured network is applied, to the
// end of the line: half of it may come first.
const readyLine = `tench: ready in ([0-9.]+) s \(kernel ([0-9.]+) s\) slot=([ab])(; missing[^\r\n]*)?\r*\n`

// boot starts the built image the way a user does, with `tench run`.
func boot(t testing.TB, args ...string) *lab.Console {
	t.Helper()
	lab.Require(t)
	return lab.Start(t, filepath.Join(lab.Root(t), "bin", "tench"), append([]string{"run", "--fresh"}, args...)...)
}

// powerOff leaves through the menu, and QEMU must end by itself.
func powerOff(t testing.TB, c *lab.Console) {
	t.Helper()
	confirmPowerOff(t, c)
	if err := c.Ended(t, bootTimeout); err != nil {
		t.Errorf("power off from the menu: QEMU ended with %v", err)
	}
}

// confirmPowerOff asks the menu to power off, and answers what it asks.
func confirmPowerOff(t testing.TB, c *lab.Console) {
	t.Helper()
	c.Send(t, "9\n")
	c.Expect(t, `yes`, menuTimeout)
	c.Send(t, "yes\n")
}

func TestBoot(t *testing.T) {
	for name, args := range map[string][]string{
		"SeaBIOS":                    {"--firmware", "bios"},
		"OVMF":                       {"--firmware", "uefi"},
		"SeaBIOS from an USB stick":  {"--firmware", "bios", "--disk", "usb-storage"},
		"SeaBIOS with AHCI":          {"--firmware", "bios", "--disk", "ide-hd"},
		"SeaBIOS on a pc":            {"--firmware", "bios", "--qemu", "-machine", "--qemu", "pc"},
		"SeaBIOS on a pc with e1000": {"--firmware", "bios", "--nic", "e1000", "--qemu", "-machine", "--qemu", "pc"},
		"SeaBIOS on a pc with IDE":   {"--firmware", "bios", "--disk", "ide-hd", "--qemu", "-machine", "--qemu", "pc"},
	} {
		t.Run(name, func(t *testing.T) {
			c := boot(t, args...)
			m := c.Expect(t, readyLine, bootTimeout)
			if m[3] != "a" || m[4] != "" {
				t.Errorf("the ready line is %q, want slot a and nothing missing", m[0])
			}
			c.Send(t, "\n1\n")
			// QEMU's user network gives its guest this address.
			c.Expect(t, `10\.0\.2\.15/24`, menuTimeout)
			c.Send(t, "\n")
			powerOff(t, c)
		})
	}
}

func TestMenuAnswers(t *testing.T) {
	c := boot(t)
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "3\n")
	c.Send(t, "lan\n")
	c.Expect(t, `lan up`, menuTimeout)
	c.Send(t, "\n7\n")
	c.Send(t, "echo $((6*7)) from the shell\n")
	c.Expect(t, `42 from the shell`, menuTimeout)
	c.Send(t, "exit\n")
	powerOff(t, c)
}

// The network loop is killed without warning: PID 1 has it back within a
// second, and no address or route is lost meanwhile.
func TestLoopKilled(t *testing.T) {
	c := boot(t)
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "7\n")
	network := `ip -o addr show; ip route show`
	// The shell's ip has no monitor: what the kernel has is read before, while the
	// loop is gone and after. loop_test.go has the monitor.
	c.Send(t, network+"; echo before-$((1+1))\n")
	before := c.Expect(t, `(?s)(\d+: lo.*)before-2`, menuTimeout)[1]
	if !strings.Contains(addresses(before), "0.0.0.0/0 dev eth0") {
		t.Fatalf("there is no default route to lose:\n%s", before)
	}
	c.Send(t, "cd /proc; for p in [0-9]*; do if grep -q 'tenchd loop' $p/comm; then kill -9 $p; echo killed-$((1+1)); fi; done\n")
	c.Expect(t, `killed-2`, menuTimeout)
	c.Send(t, network+"; echo during-$((1+1))\n")
	during := c.Expect(t, `(?s)(\d+: lo.*)during-2`, menuTimeout)[1]
	c.Send(t, "sleep 1; tenchd status && echo back-$((1+1))\n")
	c.Expect(t, `back-2`, menuTimeout)
	c.Send(t, network+"; echo after-$((1+1))\n")
	after := c.Expect(t, `(?s)(\d+: lo.*)after-2`, menuTimeout)[1]
	if addresses(before) != addresses(during) || addresses(before) != addresses(after) {
		t.Errorf("addresses and routes changed when the loop was killed:\nbefore\n%s\nduring\n%s\nafter\n%s", before, during, after)
	}
	c.Send(t, "exit\n")
	powerOff(t, c)
}

// addresses keeps the lines of `ip` that name an address or a route, but for
// autoconfigured ones, which come and have lifetimes that count down.
func addresses(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if addressLine.MatchString(line) && !strings.Contains(line, "fec0:") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

var addressLine = regexp.MustCompile(`inet6? |^[0-9a-f.:]+/\d+ `)

// A router.toml that cannot be used must not lock anybody out.
func TestBrokenConfigReachesTheConsole(t *testing.T) {
	image := alteredImage(t, func(image []byte) {
		// The same length, so that the file system stays as it is.
		at := bytes.Index(image, []byte("\nforwarding = "))
		if at < 0 {
			t.Fatal("the image's router.toml has no line \"forwarding = \"")
		}
		copy(image[at:], "\nforwarbing = ")
	})
	c := boot(t, "--image", image)
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "\n")
	c.Expect(t, `router.toml needs to be mended(?s:.*)unknown key "forwarbing"`, menuTimeout)
	c.Send(t, "1\n")
	c.Expect(t, `unknown key "forwarbing"`, menuTimeout)
	c.Send(t, "\n")
	powerOff(t, c)
}

// TestCtrlAltDel sends PID 1 the signal that the kernel sends it for these
// keys. The box shuts down in order, and GRUB starts it again.
func TestCtrlAltDel(t *testing.T) {
	c := boot(t)
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "\n7\n")
	c.Send(t, "kill -2 1\n")
	c.Expect(t, `tench: writing data(?s:.*)tench: rebooting`, menuTimeout)
	c.Expect(t, readyLine, bootTimeout)
	powerOff(t, c)
}

// alteredImage is a copy of the built image with other bytes.
func alteredImage(t testing.TB, alter func(image []byte)) string {
	t.Helper()
	return alteredImageOf(t, "qemu-amd64", alter)
}

func alteredImageOf(t testing.TB, board string, alter func(image []byte)) string {
	t.Helper()
	lab.Require(t)
	image, err := os.ReadFile(filepath.Join(lab.Root(t), "out", board, release.ImageName(board)))
	if err != nil {
		t.Fatalf("%v\nhint: make image BOARD=%s", err, board)
	}
	alter(image)
	file := filepath.Join(t.TempDir(), "altered.img")
	if err := os.WriteFile(file, image, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestDamagedData boots from disks whose data partition is of no use: the box
// comes up, says what is wrong, and can be configured over the console.
func TestDamagedData(t *testing.T) {
	const entry = 446 + 3*16 // the MBR's fourth; its first sector is at offset 8
	for name, damage := range map[string]func(image []byte){
		"superblock overwritten": func(image []byte) {
			data := int(binary.LittleEndian.Uint32(image[entry+8:])) * 512
			clear(image[data : data+64<<10])
		},
		"partition gone": func(image []byte) { clear(image[entry : entry+16]) },
	} {
		t.Run(name, func(t *testing.T) {
			c := boot(t, "--image", alteredImage(t, damage))
			m := c.Expect(t, readyLine, bootTimeout)
			if m[4] == "" {
				t.Errorf("the ready line is %q, want it to tell what is missing", m[0])
			}
			c.Send(t, "\n1\n")
			c.Expect(t, `(?s)degraded.*data:`, menuTimeout)
			c.Send(t, "\n")
			powerOff(t, c)
		})
	}
}

// TestWatchdogBites keeps the network loop from its first cycle, as often as
// PID 1 starts it again: its control socket cannot be made where a folder lies.
// Nobody feeds the watchdog any more, and it resets the machine without a word
// from the box.
func TestWatchdogBites(t *testing.T) {
	c := boot(t)
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "\n7\n")
	c.Send(t, "rm /run/tench/control; mkdir -p /run/tench/control/taken; cd /proc; for p in [0-9]*; do if grep -q 'tenchd loop' $p/comm; then kill -9 $p; fi; done\n")
	last := c.Expect(t, `(?s)(.*)tench: slot a, release`, bootTimeout)[1]
	if strings.Contains(last, "tench: rebooting") || strings.Contains(last, "panic") {
		t.Errorf("the box restarted by itself, not by its watchdog:\n%s", last)
	}
	c.Expect(t, readyLine, bootTimeout)
	powerOff(t, c)
}
