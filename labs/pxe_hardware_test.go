package labs

import (
	"testing"

	"tench/internal/lab"
)

// TestPXEOtherBoard boots a machine whose firmware says that it is an apu2, and
// that is listed as another board: iPXE tells the desk so before it loads a kernel.
func TestPXEOtherBoard(t *testing.T) {
	if !onCable(t) {
		return
	}
	c := newCable(t, false)
	c.serve("")
	c.order("install", "gw0")
	c.apu2()
	c.says(`"kind":"refused"`, bootTimeout)
	c.says(`gw0 is listed as qemu-amd64, and its firmware says that it is apu2 (\"apu2\")`, menuTimeout)
}

// apu2 starts a QEMU that says that it is one.
func (c *cable) apu2() *lab.Console {
	c.t.Helper()
	fw := firmwares["bios"]
	lab.Require(c.t, fw.machine[0])
	return lab.Start(c.t, fw.machine[0], append(fw.machine[1:len(fw.machine):len(fw.machine)], "-accel", "tcg", "-m", "256", "-display", "none", "-serial", "mon:stdio",
		"-smbios", "type=1,manufacturer=PC Engines,product=apu2", "-smbios", "type=2,manufacturer=PC Engines,product=apu2",
		"-netdev", "tap,id=wan,ifname=tap0,script=no,downscript=no", "-device", "virtio-net-pci,netdev=wan,addr=0x10,bootindex=0,mac="+pxeBox)...)
}
