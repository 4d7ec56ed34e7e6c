package disk

import (
	"fmt"
	"os"
	"strings"

	"tench/boards"
)

// Slot writes the file system of a slot to out: the kernel, the initramfs, and
// slot.env, a GRUB environment block with the board, the release and the
// kernel's command line. grub.cfg starts only a slot of its own board.
func Slot(b boards.Board, vmlinuz, initrd string, id Identity, out string) error {
	if err := writeSlot(b, vmlinuz, initrd, id, out); err != nil {
		return fmt.Errorf("disk: make slot %s: %w", out, hinted(err))
	}
	return nil
}

func writeSlot(b boards.Board, vmlinuz, initrd string, id Identity, out string) error {
	if err := id.check(); err != nil {
		return err
	}
	env, err := environment("board="+b.Name, "release="+id.Release, "args="+strings.Join(KernelArgs(b), " "))
	if err != nil {
		return err
	}
	kernel, err := os.ReadFile(vmlinuz)
	if err != nil {
		return err
	}
	ramfs, err := os.ReadFile(initrd)
	if err != nil {
		return err
	}
	f, err := newFile(out, int64(b.Layout.SlotMiB)*mib)
	if err != nil {
		return err
	}
	defer f.Cleanup()
	v := volume{fat: 16, sizeMiB: b.Layout.SlotMiB, key: "layout.slot-mib", label: "TENCH_SLOT",
		serial: id.number("slot"), epoch: id.Epoch,
		files: []fatFile{{"slot.env", env}, {"vmlinuz", kernel}, {"initrd", ramfs}}}
	if err := v.write(f.File); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}
