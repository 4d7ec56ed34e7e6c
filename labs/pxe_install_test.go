package labs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bareBox is a wire with a server that may install gw0 on an empty disk.
func bareBox(t testing.TB) (c *cable, disk string) {
	t.Helper()
	c = newCable(t, false)
	text := "hostname = \"gw0-of-the-lab\"\n\n[interface.wan]\ndevice = \"port:WAN\"\ndhcp4 = true\n"
	if err := os.WriteFile(filepath.Join(c.dir, "gw0.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	disk = filepath.Join(c.dir, "disk.img")
	if err := errors.Join(os.WriteFile(disk, nil, 0o644), os.Truncate(disk, 1<<30)); err != nil {
		t.Fatal(err)
	}
	c.serve("config = \"gw0.toml\"\ndisk = \"LAB-DISK-1\"\n")
	return c, disk
}

// TestPXEInstall installs a bare machine once: it writes its empty disk, starts
// from it, and when it starts again it is not installed again. Armed once more, it
// keeps its data and tries the other slot.
func TestPXEInstall(t *testing.T) {
	if !onCable(t) {
		return
	}
	c, disk := bareBox(t)
	c.order("install", "gw0")
	m := c.machine("bios", disk)
	m.Expect(t, `is written and read back; rebooting from it`, bootTimeout)
	c.says(`"kind":"written"`, menuTimeout)
	m.Expect(t, readyLine, bootTimeout)
	c.says(`"kind":"ready"`, menuTimeout)
	m.Send(t, "\n1\n")
	m.Expect(t, `gw0-of-the-lab`, menuTimeout)
	m.Kill()

	m = c.machine("bios", disk)
	m.Expect(t, readyLine, bootTimeout)
	m.Kill()
	if n := strings.Count(c.server.Output(), `"kind":"written"`); n != 1 {
		t.Errorf("it was installed %d times", n)
	}
	c.says(`"kind":"disk"`, menuTimeout)

	c.order("install", "gw0")
	m = c.machine("bios", disk)
	if got := m.Expect(t, readyLine, bootTimeout); got[3] != "b" {
		t.Errorf("the second install starts slot %s", got[3])
	}
	m.Send(t, "\n1\n")
	m.Expect(t, `gw0-of-the-lab`, menuTimeout)
}

// TestPXEInstallThatIsCut switches the machine off while it writes: it installs
// from the start when it is switched on again, and nothing half boots in between.
func TestPXEInstallThatIsCut(t *testing.T) {
	if !onCable(t) {
		return
	}
	c, disk := bareBox(t)
	c.order("install", "gw0")
	m := c.machine("bios", disk)
	c.says(`"stage":"write"`, bootTimeout)
	m.Kill()
	m = c.machine("bios", disk)
	m.Expect(t, `is written and read back; rebooting from it`, bootTimeout)
	m.Expect(t, readyLine, bootTimeout)
}
