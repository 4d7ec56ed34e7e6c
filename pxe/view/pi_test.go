package view

import (
	"errors"
	"io/fs"
	"testing"

	"tench/pxe/boxes"
)

// The requests of a Raspberry Pi's ROMs, with a folder for the serial number, for
// the MAC, and without.
func TestRaspberryPi(t *testing.T) {
	b := bsdBox(t, boxes.RaspberryPi, "bootcode.bin", "start4.elf", "config.txt", "cmdline.txt", "kernel8.img", "overlays/x.dtbo", "deadbeef/config.txt")
	if got := b.FirstFile(); got != "bootcode.bin" {
		t.Errorf("FirstFile = %q", got)
	}
	for name, want := range map[string]string{
		"bootcode.bin": "bootcode.bin", "10203040/start4.elf": "start4.elf", "start4.elf": "start4.elf",
		"10203040/config.txt": "config.txt", "10203040/cmdline.txt": "cmdline.txt", "1020304F/kernel8.img": "kernel8.img",
		"10203040/overlays/x.dtbo": "overlays/x.dtbo", "52-54-00-00-00-01/start4.elf": "start4.elf",
		"deadbeef/config.txt": "deadbeef/config.txt", "deadbeef/start4.elf": "start4.elf",
	} {
		if got := content(t, testView, b, name); got != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"bootsig.bin", "10203040/recovery.elf", "10203040/10203040/start4.elf", "52-54-00-00-00-02/start4.elf", "1020304/start4.elf", "10203040", "vmlinuz", "undionly.kpxe"} {
		if _, err := testView.Open(b, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%s) = %v, want that it is not there", name, err)
		}
	}
	b.Job, b.Installed = Install, "http://192.0.2.1:80/b/x/installed"
	for _, name := range []string{"cmdline.txt", "10203040/cmdline.txt"} {
		if got, want := content(t, testView, b, name), "cmdline.txt tench_installed=http://192.0.2.1:80/b/x/installed\n"; got != want {
			t.Errorf("%s of an install has %q, want %q", name, got, want)
		}
	}
	b.Job = Disk
	for _, name := range []string{"bootcode.bin", "10203040/start4.elf", "start4.elf"} {
		if _, err := testView.Open(b, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what boots its disk finds %s, %v", name, err)
		}
	}
}
