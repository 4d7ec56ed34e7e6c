package labs

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tench/boards"
	"tench/internal/lab"
)

// patientHealth is for a machine that takes minutes to start.
const patientHealth = "[health]\nfor = \"5s\"\nwithin = \"30m\"\n"

// boardTimeout is how long a machine that is emulated wholly may take from its
// power to its ready line: 20 s of CPU go into U-Boot and GRUB alone.
const boardTimeout = 3 * bootTimeout

// TestBoardSlots tries the slots of those boards of TENCH_BOARDS that U-Boot
// starts, in the machines that stand in for them: GRUB's tries go through U-Boot's
// EFI to the card, and the box finds there what GRUB wrote. The orangepi-pc of
// QEMU 7.2 has no watchdog, by which alone an H3 resets: where the board would
// start again, the lab cuts its power.
func TestBoardSlots(t *testing.T) {
	lab.Require(t)
	list := slices.DeleteFunc(boardsNamed(t, "TENCH_BOARDS"), func(b boards.Board) bool {
		return b.QEMU.System == "" || !slices.Contains(b.Firmware, "u-boot")
	})
	if len(list) == 0 {
		t.Skip("U-Boot starts none of the boards that are to be booted")
	}
	for _, b := range list {
		tench(t, lab.Root(t), nil, "image", b.Name)
		t.Run(b.Name+" becomes good", func(t *testing.T) { boardBecomesGood(t, b) })
		t.Run(b.Name+" falls back", func(t *testing.T) { boardFallsBack(t, b) })
	}
}

// powerCut cuts a board's power and starts it again.
func powerCut(t *testing.T, c *lab.Console, b boards.Board, image string) *lab.Console {
	t.Helper()
	c.Kill()
	return lab.Start(t, filepath.Join(lab.Root(t), "bin", "tench"), "run", b.Name, "--image", image)
}

func boardBecomesGood(t *testing.T, b boards.Board) {
	image := alteredImageOf(t, b.Name, func(image []byte) {
		setHealth(t, image, patientHealth)
		onTrial(t, image, 3, "")
	})
	c := boot(t, b.Name, "--image", image)
	c.Expect(t, `tench: slot b is on trial, 2 tries left`, boardTimeout)
	if m := c.Expect(t, readyLine, boardTimeout); m[3] != "b" {
		t.Errorf("the ready line is %q, want slot b", m[0])
	}
	shell(t, c)
	c.Send(t, untilGood+"tenchd slots; tenchd reboot\n")
	c.Expect(t, `slot b +running +good`, boardTimeout)
	c.Expect(t, `reboot: Restarting system`, boardTimeout)
	c = powerCut(t, c, b, image)
	if m := c.Expect(t, readyLine, boardTimeout); m[3] != "b" || strings.Contains(c.Transcript(), "on trial") {
		t.Errorf("the ready line is %q after the trial, want slot b, on trial no more:\n%s", m[0], c.Transcript())
	}
}

func boardFallsBack(t *testing.T, b boards.Board) {
	image := alteredImageOf(t, b.Name, func(image []byte) { onTrial(t, image, 1, "panic=1 rdinit=/bin/false") })
	c := boot(t, b.Name, "--image", image)
	c.Crashes = true
	c.Expect(t, `tench: slot b is on trial, 0 tries left(?s:.*)Attempted to kill init!`, boardTimeout)
	c = powerCut(t, c, b, image)
	c.Expect(t, outOfTries, boardTimeout)
	if m := c.Expect(t, readyLine, boardTimeout); m[3] != "a" {
		t.Errorf("the ready line is %q, want slot a", m[0])
	}
	shell(t, c)
	c.Send(t, "tenchd slots -json; tenchd slots\n")
	c.Expect(t, `"last-trial": "slot b[^\r\n]* was given up: it never came up`, bootTimeout)
	c.Expect(t, `slot a +running +good`, bootTimeout)
}
