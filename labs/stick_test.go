package labs

import (
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
	"tench/internal/slottest"
)

// Sticks are plugged into a box that runs. One without an update is passed over
// in silence, one that a stranger signed is refused in words, and one for this
// box is asked about on the console: no leaves it, yes takes it.
func TestStickPluggedIn(t *testing.T) {
	lab.Require(t, "debugfs", "mformat", "mcopy")
	public, secret := slottest.Key(t, 1)
	_, stranger := slottest.Key(t, 2)
	newer, empty := newerSlot(t), filepath.Join(t.TempDir(), "empty")
	lab.Run(t, "", "mformat", "-C", "-F", "-i", empty, "-T", "131072", "::")
	image := alteredImage(t, func(image []byte) {
		setHealth(t, image, quickHealth)
		knows(t, image, public.Marshal())
	})
	socket := filepath.Join(t.TempDir(), "qmp")
	args := []string{"--image", image, "--qemu", "-qmp", "--qemu", "unix:" + socket + ",server=on,wait=off", "--qemu", "-device", "--qemu", "qemu-xhci,id=ports"}
	for name, file := range map[string]string{"empty": empty, "stranger": updateStick(t, newer, stranger.SignInside), "ours": updateStick(t, newer, secret.SignInside)} {
		// A -drive would go with the device that is pulled.
		args = append(args, "--qemu", "-blockdev", "--qemu", "driver=raw,node-name="+name+",file.driver=file,file.filename="+file)
	}
	c := boot(t, args...)
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "\n")
	c.Expect(t, `> `, menuTimeout)
	plug := func(name string) {
		t.Helper()
		lab.Monitor(t, socket, "device_add", map[string]any{"driver": "usb-storage", "id": "stick", "drive": name, "bus": "ports.0"})
	}
	pull := func() {
		t.Helper()
		lab.Monitor(t, socket, "device_del", map[string]any{"id": "stick"})
		typed(t, c, "while grep -q sd /proc/partitions; do sleep 1; done; echo gone-$((1+1))", `gone-2`)
	}

	plug("empty")
	typed(t, c, "until grep -q sd /proc/partitions; do sleep 1; done; echo there-$((1+1))", `there-2`)
	pull()
	plug("stranger")
	c.Expect(t, `! /dev/sd[a-z]1 has an update that this box does not take:\s+! ticket: signed by key [0-9a-f]{16}, which this box does not know`, menuTimeout)
	pull()
	plug("ours")
	c.Expect(t, `! /dev/sd[a-z]1 has release 2026\.12 \(2026-12-01\) for board qemu-amd64\.\s+! Write it into the other slot, and reboot into that\? Type yes: `, menuTimeout)
	c.Send(t, "no\n")
	c.Expect(t, `> `, menuTimeout)
	pull()
	plug("ours")
	c.Expect(t, `Type yes: `, menuTimeout)
	c.Send(t, "yes\n")
	c.Expect(t, `write slot b(?s:.*)read slot b back(?s:.*)arm slot b`, bootTimeout)
	if m := c.Expect(t, readyLine, bootTimeout); m[3] != "b" {
		t.Errorf("the ready line is %q, want slot b", m[0])
	}
	if shown := c.Transcript(); strings.Count(shown, "has an update that") != 1 || strings.Count(shown, "Write it into the other slot") != 2 {
		t.Errorf("the sticks were told of in another way than once refused and twice asked for:\n%s", shown)
	}
	powerOff(t, c)
}
