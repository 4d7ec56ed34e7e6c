package labs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tench/internal/lab"
	"tench/pxe/event"
	"tench/pxe/track"
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

// TestPXEInstallThatIsCut switches the machine off while it writes. What is on the
// disk then boots by no firmware, and when the machine is switched on again it
// installs from the start.
func TestPXEInstallThatIsCut(t *testing.T) {
	if !onCable(t) {
		return
	}
	c, disk := bareBox(t)
	c.order("install", "gw0")
	m := c.machine("bios", disk)
	m.Expect(t, `disk vda: [2-9][0-9] % written`, bootTimeout)
	m.Kill()
	if len(c.events(event.Written)) > 0 {
		t.Fatal("it was not cut: all of the disk is written")
	}
	c.bootsNothing("bios", disk, `No bootable device`)
	c.bootsNothing("uefi", disk, `BdsDxe: No bootable option|UEFI Interactive Shell`)

	m = c.machine("bios", disk)
	m.Expect(t, `is written and read back; rebooting from it`, bootTimeout)
	m.Expect(t, readyLine, bootTimeout)
}

// bootsNothing starts a machine from a disk alone, which stays as it is. The firmware
// must say what it says where there is nothing to boot.
func (c *cable) bootsNothing(firmware, disk, says string) {
	c.t.Helper()
	fw := firmwares[firmware]
	// Without graphics SeaBIOS speaks on the serial port.
	args := append(slices.Clone(fw.machine[1:]), "-machine", "graphics=off", "-accel", "tcg", "-m", "256", "-display", "none", "-serial", "mon:stdio",
		"-device", "i6300esb", "-nic", "none", "-snapshot", "-drive", "if=none,id=disk,format=raw,file="+disk, "-device", "virtio-blk-pci,drive=disk")
	args = append(args, c.flash(fw.code, fw.vars, "alone")...)
	m := lab.Start(c.t, fw.machine[0], args...)
	m.Expect(c.t, says, bootTimeout)
	if said := m.Transcript(); strings.Contains(said, "GRUB") || strings.Contains(said, "Linux version") {
		c.t.Errorf("by %s it boots what was cut:\n%s", firmware, said)
	}
	m.Kill()
}

// TestPXEInstallIsGivenUp switches the machine off each time that it has kernel and
// initramfs. After the first such boot three more come no further; at the next one
// it is sent to its disk, which nobody has written to.
func TestPXEInstallIsGivenUp(t *testing.T) {
	if !onCable(t) {
		return
	}
	c, disk := bareBox(t)
	c.order("install", "gw0")
	const boots = 1 + track.DefaultBoots
	for n := 1; n <= boots; n++ {
		m := c.machine("bios", disk)
		lab.Eventually(t, bootTimeout, fmt.Sprintf("the initramfs was sent %d times", n), func() bool { return c.initramfs() == n })
		m.Kill()
		if len(c.events(event.Failed)) > 0 {
			t.Fatalf("it is given up after %d boots, want %d", n, boots)
		}
	}
	c.machine("bios", disk)
	c.says(`"kind":"failed"`, bootTimeout)
	c.says(`"kind":"disk"`, menuTimeout)
	const why = `3 boots in a row came no further than "starting"`
	if got := c.events(event.Failed)[0].Text; got != why {
		t.Errorf("it is given up with %q, want %q", got, why)
	}
	want := "the install is given up: " + why + "; it boots its disk until it is armed again"
	if got := c.status(); !strings.Contains(got, want) {
		t.Errorf("tench pxe status does not say %q:\n%s", want, got)
	}
	if n := c.initramfs(); n != boots {
		t.Errorf("the initramfs was sent %d times, want %d", n, boots)
	}
	if written := lab.Run(t, "", "du", "--block-size=1", disk); !strings.HasPrefix(written, "0\t") {
		t.Errorf("the disk was written to: %s", written)
	}
	c.order("install", "gw0")
	if got := c.status(); !strings.Contains(got, "install: armed") {
		t.Errorf("armed again it is not armed:\n%s", got)
	}
}

// status is what tench pxe status shows.
func (c *cable) status() string {
	c.t.Helper()
	return lab.Run(c.t, "", filepath.Join(lab.Root(c.t), "bin", "tench"), "pxe", "status", "--state", filepath.Join(c.dir, "state"))
}

// initramfs is how often all of an initramfs was sent.
func (c *cable) initramfs() (n int) {
	for _, e := range c.events(event.Transfer) {
		if strings.HasSuffix(e.File, "initrd") && e.Done == e.Total {
			n++
		}
	}
	return n
}

// somebodys gives the box of bareBox a disk with a file system of somebody.
func somebodys(t *testing.T) (c *cable, disk string) {
	t.Helper()
	lab.Require(t, "mke2fs", "sha256sum")
	c, disk = bareBox(t)
	lab.Run(t, "", "mke2fs", "-q", "-t", "ext4", "-L", "holidays", disk)
	return c, disk
}

// TestPXEInstallOnANamedDisk wipes a disk with somebody's data, once its own serial
// number is named and not that of another.
func TestPXEInstallOnANamedDisk(t *testing.T) {
	if !onCable(t) {
		return
	}
	c, disk := somebodys(t)
	before := lab.Run(t, "", "sha256sum", disk)
	c.order("install", "gw0", "--disk", "LAB-DISK-2")
	m := c.machine("bios", disk)
	m.Expect(t, `tench: disk vda .* LAB-DISK-1: ext "holidays"`, bootTimeout)
	m.Expect(t, `no disk has the serial number LAB-DISK-2: there is vda with the serial number LAB-DISK-1`, bootTimeout)
	c.says(`"stage":"failed"`, menuTimeout)
	m.Kill()
	if after := lab.Run(t, "", "sha256sum", disk); after != before {
		t.Error("the disk was written to, though another is named")
	}

	c.order("disarm", "gw0")
	c.order("install", "gw0") // boxes.toml has the number
	m = c.machine("bios", disk)
	m.Expect(t, `is written and read back; rebooting from it`, bootTimeout)
	c.says(`"kind":"written"`, menuTimeout)
	if strings.Contains(m.Transcript(), "which disk shall be written?") {
		t.Error("it asked which disk to write, though its serial number is in boxes.toml")
	}
	m.Expect(t, readyLine, bootTimeout)
}

// TestPXEInstallAsksOnTheConsole leaves a disk with somebody's data alone, which
// nobody has named, until a person names it on the console.
func TestPXEInstallAsksOnTheConsole(t *testing.T) {
	if !onCable(t) {
		return
	}
	c, disk := somebodys(t)
	c.listOne("") // without a serial number
	before := lab.Run(t, "", "sha256sum", disk)
	c.order("install", "gw0")
	m := c.machine("bios", disk)
	m.Expect(t, `which disk shall be written\? All that is on it is lost\.(?s:.*)looks again: `, bootTimeout)
	c.says(`"stage":"confirm"`, menuTimeout)
	if got := c.status(); !strings.Contains(got, "waits for an answer on its console: which disk shall be written?") {
		t.Errorf("tench pxe status does not say what the box waits for:\n%s", got)
	}
	m.Send(t, "SK-2\n")
	m.Expect(t, `no disk that may be written answers to "SK-2"(?s:.*)looks again: `, menuTimeout)
	if after := lab.Run(t, "", "sha256sum", disk); after != before {
		t.Error("the disk was written to before anybody named it")
	}
	m.Send(t, "SK-1\n")
	c.says(`"stage":"write"`, bootTimeout)
	m.Expect(t, `disk vda: [2-9][0-9] % written`, bootTimeout)
}
