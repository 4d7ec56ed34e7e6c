package labs

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tench/boards"
	"tench/internal/lab"
	"tench/release"
)

// cutStory is something that a box does while its power fails.
type cutStory struct {
	name string
	// act types what starts it, and returns once the box has answered.
	act func(t testing.TB, c *lab.Console)
	// makes is the new state, of the old one. From the answer on, it alone may be
	// seen. nil: the box promises nothing, and whatever it has written by the
	// time of its answer counts as the new state.
	makes func(diskState) diskState
}

// cutStories run one after another on one box; each finds what the ones before
// it left. A row for a new story needs nothing else, as long as all it changes
// is in diskState.
var cutStories = []cutStory{
	{"first boot", func(t testing.TB, c *lab.Console) { c.Expect(t, readyLine, bootTimeout) }, nil},
	applyStory("apply", "# the first change"),
	applyStory("apply once more", "# the second change"),
	{"reboot", func(t testing.TB, c *lab.Console) { menuReboot(t, c) }, unchanged},
	applyStory("apply after the reboot", "# the third change"),
	secretStory("set a secret", "the first secret"),
	secretStory("set it in its place", "the second secret"),
	{"try a generation", func(t testing.TB, c *lab.Console) {
		typed(t, c, `(echo "`+triedLine+`"; cat /data/config/$(cat /data/config/current)/router.toml) | tenchd apply - -confirm 1h`, `generation \d+ is on trial`)
	}, unchanged},
	{"confirm the generation", func(t testing.TB, c *lab.Console) {
		typed(t, c, "tenchd confirm", `generation \d+ is in force`)
	}, func(s diskState) diskState { return s.applied(triedLine) }},
	{"update", func(t testing.TB, c *lab.Console) {
		typed(t, c, "tenchd update --no-reboot /dev/vdb", `is in the other slot; the next boot tries it`)
	}, func(s diskState) diskState {
		s.grubenv, s.starts = "slot=b\ngood=a\npending=1\ntries=3\n", "b: the update's, then a: the image's"
		return s
	}},
	// GRUB takes the try, through a firmware that flushes nothing.
	{"reboot into the update", func(t testing.TB, c *lab.Console) { menuReboot(t, c) }, nil},
	{"confirm the slot", func(t testing.TB, c *lab.Console) {
		typed(t, c, untilGood+"tenchd slots", `slot b +running +good`)
	}, func(s diskState) diskState {
		s.grubenv, s.starts = "slot=b\ngood=b\npending=0\ntries=0\n", "b: the update's"
		return s
	}},
}

// triedLine begins the generation that is on trial.
const triedLine = "# a change on trial"

func unchanged(s diskState) diskState { return s }

// applied is the state with a line more at the top of router.toml.
func (s diskState) applied(line string) diskState {
	s.generation, s.router = s.generation+1, line+"\n"+s.router
	return s
}

// applyStory puts a line at the top of router.toml.
func applyStory(name, line string) cutStory {
	return cutStory{name, func(t testing.TB, c *lab.Console) { menuApply(t, c, line) },
		func(s diskState) diskState { return s.applied(line) }}
}

// menuApply puts a line at the top of router.toml with the menu's editor, and
// waits until that is in force.
func menuApply(t testing.TB, c *lab.Console, line string) {
	t.Helper()
	c.Send(t, "\n5\n")
	c.Expect(t, `edit> `, menuTimeout)
	c.Send(t, "i 0\n"+line+"\n.\n")
	c.Expect(t, `edit> `, menuTimeout)
	c.Send(t, "apply\n")
	c.Expect(t, `generation \d+ is in force`, menuTimeout)
	c.Send(t, "q\n")
	c.Expect(t, `> `, menuTimeout)
}

func menuReboot(t testing.TB, c *lab.Console) {
	t.Helper()
	c.Send(t, "8\n")
	c.Expect(t, `yes`, menuTimeout)
	c.Send(t, "yes\n")
	c.Expect(t, readyLine, bootTimeout)
}

// typed types a command in the shell of the menu, waits for what it answers, and
// goes back to the menu.
func typed(t testing.TB, c *lab.Console, command, answer string) {
	t.Helper()
	shell(t, c)
	c.Send(t, command+"\n")
	c.Expect(t, answer, bootTimeout)
	c.Send(t, "exit\n")
	c.Expect(t, `> `, menuTimeout)
}

// secretStory stores a secret.
func secretStory(name, value string) cutStory {
	return cutStory{name, func(t testing.TB, c *lab.Console) {
		typed(t, c, `echo "`+value+`" | tenchd secret set isp && echo stored-$((1+1))`, `stored-2`)
	}, func(s diskState) diskState {
		const file = "/secrets/isp "
		lines := slices.DeleteFunc(strings.SplitAfter(s.identity, "\n"), func(line string) bool { return line == "" || strings.HasPrefix(line, file) })
		lines = append(lines, file+hash([]byte(value))+"\n")
		slices.Sort(lines)
		s.identity = strings.Join(lines, "")
		return s
	}}
}

// newerSlot is a slot image that boots and of which only the kernel is what the
// built one has at its place: the initramfs has a block of zeros in front, which
// Linux skips.
func newerSlot(t testing.TB) []byte {
	t.Helper()
	board, err := boards.Load(filepath.Join(lab.Root(t), "boards"), "qemu-amd64")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(lab.Root(t), "out", board.Name)
	initrd := append(make([]byte, 4<<10), readProduct(t, out, release.InitrdName(board.Name))...)
	return slotOf(t, board, readProduct(t, out, release.KernelName(board.Name)), initrd)
}

// readSlot names what GRUB loads from a slot; "nothing" where it finds no
// slot.env. What is neither the image's nor the update's is an error, whether
// GRUB would start it now or not: somebody may choose it in its menu.
func (m *cutMatrix) readSlot(t testing.TB, slot []byte) (string, error) {
	t.Helper()
	sum := m.hashSlot(t, slot)
	if name := m.known[sum]; name != "" {
		return name, nil
	}
	if sum == "" {
		return "nothing", nil
	}
	return "", errors.New("GRUB loads from it what is neither the image's nor the update's")
}

// hashSlot hashes what GRUB loads from a slot: slot.env, and the sectors that it
// gives for kernel and initramfs. It is "" where GRUB finds no slot.env.
func (m *cutMatrix) hashSlot(t testing.TB, slot []byte) string {
	t.Helper()
	file := filepath.Join(m.dir, "slot")
	writeSparse(t, file, slot)
	env, err := exec.Command("grub-fstest", file, "cat", "(loop0)/slot.env").Output()
	if err != nil || !bytes.HasPrefix(env, []byte("# GRUB Environment Block\n")) {
		return ""
	}
	loaded := bytes.Clone(env)
	for line := range strings.Lines(string(env)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name != "kernel" && name != "ramfs" {
			continue
		}
		first, count, _ := strings.Cut(value, "+")
		at, err1 := strconv.Atoi(first)
		n, err2 := strconv.Atoi(count)
		if err1 != nil || err2 != nil || (at+n)*512 > len(slot) {
			return "" // GRUB reads nothing there
		}
		loaded = append(loaded, slot[at*512:(at+n)*512]...)
	}
	return hash(loaded)
}

// starts tells which slots GRUB would start, in which order, and what it finds
// there: what build/disk/grub.cfg does with these variables. The good one must be
// there, and so must the one on trial, which is armed last.
func starts(grubenv string, slots map[string]string) (string, error) {
	values := map[string]string{}
	for line := range strings.Lines(grubenv) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	good := "a"
	if values["good"] == "b" {
		good = "b"
	}
	order := []string{good}
	if slot := values["slot"]; values["pending"] == "1" && slot != good && slots[slot] != "" && values["tries"] > "0" {
		order = []string{slot, good}
	}
	var list []string
	for _, slot := range order {
		if slots[slot] == "nothing" {
			return "", fmt.Errorf("grubenv has GRUB start slot %s, from which nothing can be loaded: %q", slot, grubenv)
		}
		list = append(list, slot+": "+slots[slot])
	}
	return strings.Join(list, ", then "), nil
}
