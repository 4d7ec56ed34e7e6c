package labs

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
)

// partitionOf cuts partition n, from 1, out of an image.
func partitionOf(image []byte, n int) []byte {
	entry := image[446+(n-1)*16:]
	start, size := binary.LittleEndian.Uint32(entry[8:]), binary.LittleEndian.Uint32(entry[12:])
	return image[start*512 : (start+size)*512]
}

// setEnvironment writes variables into the first GRUB environment block of a
// partition, with its size as it is.
func setEnvironment(t *testing.T, partition []byte, set map[string]string) {
	t.Helper()
	const size, signature = 1024, "# GRUB Environment Block\n"
	at := bytes.Index(partition, []byte(signature))
	if at < 0 {
		t.Fatal("the partition holds no environment block")
	}
	block := partition[at : at+size]
	text := signature
	for line := range strings.Lines(string(block[len(signature):])) {
		if name, _, found := strings.Cut(line, "="); found && !strings.HasPrefix(line, "#") {
			if value, ok := set[name]; ok {
				line = name + "=" + value + "\n"
			}
			text += line
		}
	}
	copy(block, text+strings.Repeat("#", size-len(text)))
}

// slotArgs is the kernel command line of the slot in a partition.
func slotArgs(t *testing.T, partition []byte) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^args=(.*)$`).FindSubmatch(partition)
	if m == nil {
		t.Fatal("the slot has no args")
	}
	return string(m[1])
}

// onTrial arms slot B of an image for a number of tries, with more words on its
// kernel's command line. Of equal words the kernel takes the last.
func onTrial(t *testing.T, image []byte, tries int, words string) {
	t.Helper()
	setEnvironment(t, partitionOf(image, 1), map[string]string{"slot": "b", "pending": "1", "tries": fmt.Sprint(tries)})
	b := partitionOf(image, 3)
	setEnvironment(t, b, map[string]string{"args": slotArgs(t, b) + " " + words})
}

// setHealth writes a [health] table over the comment at the end of the image's
// router.toml, whose length stays.
func setHealth(t testing.TB, image []byte, table string) {
	t.Helper()
	comment := regexp.MustCompile(`# The clock is set by (.*\n)(#.*\n)+`)
	at := comment.FindIndex(partitionOf(image, 4))
	if at == nil || at[1]-at[0] < len(table)+1 {
		t.Fatal("the image's router.toml has no comment to write over at its end")
	}
	place := partitionOf(image, 4)[at[0]:at[1]]
	copy(place, table+strings.Repeat("#", len(place)-len(table)-1)+"\n")
}

// untilGood waits in the shell for the end of a trial.
const untilGood = `until tenchd slots -json > /tmp/slots; grep -q '"pending": false' /tmp/slots; do sleep 1; done; `

const quickHealth = "[health]\nfor = \"5s\"\n"

// shell opens the shell of the menu.
func shell(t testing.TB, c *lab.Console) {
	t.Helper()
	c.Send(t, "\n7\n")
	c.Expect(t, `comes back to the menu`, bootTimeout)
}

// A slot that is picked in the menu is tried, becomes good by itself and stays,
// and the way back works alike.
func TestGoodSlotBecomesGood(t *testing.T) { goodSlot(t, "bios") }

func TestGoodSlotUnderUEFI(t *testing.T) {
	goodSlot(t, "uefi")
}

func goodSlot(t *testing.T, firmware string) {
	image := alteredImage(t, func(image []byte) { setHealth(t, image, quickHealth) })
	c := boot(t, "--image", image, "--firmware", firmware)
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "\ns\n")
	c.Expect(t, `slot a +running +good(?s:.*)enter goes back:`, menuTimeout)
	c.Send(t, "b\n")
	c.Expect(t, `Type yes:`, menuTimeout)
	c.Send(t, "yes\n")
	c.Expect(t, `slot b is tried at the next boot`, menuTimeout)
	c.Send(t, "8\nyes\n")
	c.Expect(t, `tench: slot b is on trial, 2 tries left(?s:.*)tench: slot b, release`, bootTimeout)
	if m := c.Expect(t, readyLine, bootTimeout); m[3] != "b" {
		t.Errorf("the ready line is %q, want slot b", m[0])
	}
	c.Expect(t, `! slot b is on trial: it reboots unless healthy [^\r\n]*\r\n! well so far`, menuTimeout)
	shell(t, c)
	c.Send(t, untilGood+"tenchd slots; tenchd log | grep healthy; tenchd slots use a && tenchd reboot\n")
	c.Expect(t, `slot b +running +good`, bootTimeout)
	c.Expect(t, `init: slot b is healthy: it is the good one from now on`, menuTimeout)
	c.Expect(t, `slot a is tried at the next boot; slot b comes back unless it is healthy`, menuTimeout)
	if m := c.Expect(t, readyLine, bootTimeout); m[3] != "a" {
		t.Errorf("the ready line is %q, want slot a", m[0])
	}
	shell(t, c)
	// The words come a moment after grubenv.
	c.Send(t, "until tenchd slots -json > /tmp/slots; grep -q 'passed its trial' /tmp/slots; do sleep 1; done; cat /tmp/slots\n")
	c.Expect(t, `"last-trial": "slot a \([0-9.]+\) passed its trial"`, bootTimeout)
	// From now on a release that is older than this one is a downgrade.
	c.Send(t, "cat /data/state/update-epoch\n")
	c.Expect(t, `\d{10}`, menuTimeout)
	c.Send(t, "exit\n")
	powerOff(t, c)
}

// fallback is a slot B that is no good, and what the box says of it.
type fallback struct {
	words  string                             // on slot B's command line
	tries  int                                // 0: one
	health string                             // of router.toml
	alter  func(t *testing.T, slot []byte)    // what else is wrong with slot B
	during func(t *testing.T, c *lab.Console) // what happens while slot B runs
	expect string                             // on the console before GRUB comes back
	grub   string                             // what GRUB says then
	why    string                             // what `tenchd slots` says in slot A
}

func (f fallback) run(t *testing.T, args ...string) {
	lab.Require(t)
	image := alteredImage(t, func(image []byte) {
		onTrial(t, image, max(f.tries, 1), f.words)
		if f.health != "" {
			setHealth(t, image, f.health)
		}
		if f.alter != nil {
			f.alter(t, partitionOf(image, 3))
		}
	})
	c := boot(t, append([]string{"--image", image}, args...)...)
	c.Crashes = true
	if f.during != nil {
		f.during(t, c)
	}
	c.Expect(t, f.expect, bootTimeout)
	c.Expect(t, f.grub, bootTimeout)
	if m := c.Expect(t, readyLine, bootTimeout); m[3] != "a" {
		t.Errorf("the ready line is %q, want slot a", m[0])
	}
	shell(t, c)
	c.Send(t, "tenchd log | grep 'slot b'; tenchd slots -json; tenchd slots\n")
	c.Expect(t, `init: slot b[^\r\n]* was given up: `+f.why, menuTimeout)
	c.Expect(t, `"last-trial": "slot b[^\r\n]* was given up: `+f.why, menuTimeout)
	c.Expect(t, `slot a +running +good`, menuTimeout)
	c.Send(t, "exit\n")
	powerOff(t, c)
}

const outOfTries = `tench: slot b was not confirmed, back to slot a`

// Slot B ends, each time in another way; the box comes back to slot A and says
// why.
func TestFallbackPanic(t *testing.T) {
	fallback{
		words:  "panic=1 rdinit=/none root=/dev/none",
		expect: `Kernel panic - not syncing: VFS: Unable to mount root fs`,
		grub:   outOfTries,
		why:    `Kernel panic - not syncing: VFS: Unable to mount root fs`,
	}.run(t)
}

func TestFallbackExit(t *testing.T) {
	fallback{
		words:  "panic=1 rdinit=/bin/false",
		expect: `Attempted to kill init!`,
		grub:   outOfTries,
		why:    `Kernel panic - not syncing: Attempted to kill init!`,
	}.run(t)
}

// A tenchd that comes up, on a network that is not what it was: PID 1 gives up.
func TestFallbackNotHealthy(t *testing.T) {
	fallback{
		health: "[health]\nfor = \"5s\"\nwithin = \"1m\"\nreach = [\"192.168.1.77\"]\n",
		expect: `tench: rebooting: slot b is on trial, and it was not healthy within 1m0s: [^\r\n]*reach 192\.168\.1\.77: `,
		grub:   outOfTries,
		why:    `it was not healthy within 1m0s: [^\r\n]*reach 192\.168\.1\.77: `,
	}.run(t)
}

// The same for a panic under UEFI, whose firmware may clear the memory.
func TestFallbackExitUnderUEFI(t *testing.T) {
	fallback{
		words:  "panic=1 rdinit=/bin/false",
		expect: `Attempted to kill init!`,
		grub:   outOfTries,
		why:    `(Kernel panic - not syncing: Attempted to kill init!|it never came up)`,
	}.run(t, "--firmware", "uefi")
}

func TestFallbackNotLoaded(t *testing.T) {
	fallback{
		tries: 3,
		alter: func(t *testing.T, slot []byte) {
			at := bytes.Index(slot, []byte("HdrS")) // Documentation/arch/x86/boot.rst
			copy(slot[at:], "none")
		},
		expect: `tench: slot b is on trial, 2 tries left(?s:.*)tench: slot b cannot be loaded`,
		grub:   `tench: slot b cannot be started, back to slot a`,
		why:    `the boot loader could not load its kernel`,
	}.run(t)
}

// The kernel of slot B is damaged behind its header, as by a worn stick. GRUB
// could load it, and its unpacker would halt the machine where no watchdog runs.
func TestFallbackDamaged(t *testing.T) {
	fallback{
		tries: 3,
		alter: func(t *testing.T, slot []byte) {
			m := regexp.MustCompile(`(?m)^kernel=(\d+)\+(\d+)$`).FindSubmatch(slot)
			if m == nil {
				t.Fatal("the slot does not say where its kernel is")
			}
			first, err := strconv.Atoi(string(m[1]))
			count, err2 := strconv.Atoi(string(m[2]))
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			middle := slot[(first+count/2)*512:]
			for i := range middle[:512] {
				middle[i] ^= 0xff
			}
		},
		expect: `tench: slot b is on trial, 2 tries left(?s:.*)vmlinuz: HASH MISMATCH(?s:.*)tench: slot b cannot be loaded`,
		grub:   `tench: slot b cannot be started, back to slot a`,
		why:    `the boot loader could not load its kernel or initramfs, or they are damaged`,
	}.run(t)
}

// The processor of slot B is left with its interrupts off: nothing runs any
// more, and nothing but the hardware watchdog is left.
func TestFallbackHang(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "gdb")
	fallback{
		during: func(t *testing.T, c *lab.Console) {
			if m := c.Expect(t, readyLine, bootTimeout); m[3] != "b" {
				t.Errorf("the ready line is %q, want slot b", m[0])
			}
			hang(t, socket)
		},
		expect: ``,
		grub:   outOfTries,
		why:    `(reset without a shutdown|it came up \(1 of its tries\) and stopped without a word)`,
	}.run(t, "--qemu", "-chardev", "--qemu", "socket,path="+socket+",server=on,wait=off,id=gdb", "--qemu", "-gdb", "--qemu", "chardev:gdb")
}

// hang stops the virtual processor through QEMU's debugger stub, and lets it go
// on with interrupts off in an endless loop.
func hang(t *testing.T, socket string) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(menuTimeout))
	packetForm := regexp.MustCompile(`\$([^#]*)#..`)
	buf, said := make([]byte, 4096), ""
	ask := func(packet string) string {
		sum := byte(0)
		for i := range len(packet) {
			sum += packet[i]
		}
		fmt.Fprintf(conn, "$%s#%02x", packet, sum)
		// Connecting stops the machine, of which the debugger may be told at any
		// time: a packet that begins with T is no answer.
		for {
			m := packetForm.FindStringSubmatch(said)
			if m == nil {
				n, err := conn.Read(buf)
				if err != nil {
					t.Fatalf("debugger: %s: %v after %q", packet, err, said)
				}
				said += string(buf[:n])
				continue
			}
			_, said, _ = strings.Cut(said, m[0])
			fmt.Fprint(conn, "+")
			if !strings.HasPrefix(m[1], "T") {
				return m[1]
			}
		}
	}
	// The registers are rax to r15, rip, eflags and others, little endian; bit 9
	// of eflags is IF.
	const rip, eflags = 16 * 16, 17 * 16 // hex digits
	registers := ask("g")
	if len(registers) < eflags+8 {
		t.Fatalf("debugger: registers %q", registers)
	}
	at, err := hexLittle(registers[rip : rip+16])
	if err != nil {
		t.Fatal(err)
	}
	for _, packet := range []string{"G" + registers[:eflags] + "02000000" + registers[eflags+8:], fmt.Sprintf("M%x,2:ebfe", at)} {
		if got := ask(packet); got != "OK" {
			t.Fatalf("debugger: %.20s: %q, want OK", packet, got)
		}
	}
	// QEMU answers "c" only when something stops the machine again; detaching
	// lets it go on as well.
	ask("D")
}

// hexLittle reads a register as the debugger protocol writes it.
func hexLittle(digits string) (uint64, error) {
	raw, err := hex.DecodeString(digits)
	if err == nil && len(raw) != 8 {
		err = errors.New("not 8 bytes")
	}
	if err != nil {
		return 0, fmt.Errorf("debugger: register %q: %w", digits, err)
	}
	return binary.LittleEndian.Uint64(raw), nil
}
