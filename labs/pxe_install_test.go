package labs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
)

// TestPXEInstall installs a bare machine once: it writes its empty disk, starts
// from it, and when it starts again it is not installed again.
func TestPXEInstall(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	c := newCable(t, false)
	router := filepath.Join(c.dir, "gw0.toml")
	text := "hostname = \"gw0-of-the-lab\"\n\n[interface.wan]\ndevice = \"port:WAN\"\ndhcp4 = true\n"
	if err := os.WriteFile(router, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(c.dir, "disk.img")
	if err := os.WriteFile(disk, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 1<<30); err != nil {
		t.Fatal(err)
	}
	c.serve("config = \"gw0.toml\"\ndisk = \"LAB-DISK-1\"\n")
	c.order("install", "gw0")
	m := c.machine("bios", disk)
	m.Expect(t, `is written and read back; rebooting from it`, bootTimeout)
	c.says(`"kind":"written"`, menuTimeout)
	m.Expect(t, readyLine, bootTimeout)
	c.says(`"kind":"ready"`, menuTimeout)
	m.Send(t, "\n1\n")
	m.Expect(t, `gw0-of-the-lab`, menuTimeout)
	m.Kill()
	written := strings.Count(c.server.Output(), `"kind":"written"`)
	m = c.machine("bios", disk)
	m.Expect(t, readyLine, bootTimeout)
	if n := strings.Count(c.server.Output(), `"kind":"written"`); n != 1 || written != 1 {
		t.Errorf("it was installed %d times", n)
	}
	c.says(`"kind":"disk"`, menuTimeout)
}
