package disk

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"

	"tench/boards"
)

// Slot writes the file system of a slot to out: the kernel, the initramfs, and
// slot.env, a GRUB environment block with the board, the release and its epoch,
// the kernel's command line and where in the slot kernel and initramfs lie, and
// slot.sum, by which GRUB checks those two during a trial. grub.cfg starts
// only a slot of its own board. A slot is written whole: a file that somebody
// puts into it later is not where slot.env says.
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
	about := []string{"board=" + b.Name, "release=" + id.Release, fmt.Sprint("epoch=", id.Epoch.Unix()), "sums=" + sumsName, "args=" + strings.Join(KernelArgs(b), " ")}
	env, err := environment(about...)
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
		files: []fatFile{{"slot.env", env}, {sumsName, nil}, {"vmlinuz", kernel}, {"initrd", ramfs}}}
	v.files[1].data = sums(v.files[2:])
	if err := v.write(f.File); err != nil {
		return err
	}
	if err := locate(v, f.File, about); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// sumsName is the file with the hashes of kernel and initramfs.
const sumsName = "slot.sum"

// sums are lines as sha256sum(1) writes them, which GRUB's hashsum reads.
func sums(files []fatFile) []byte {
	var text []byte
	for _, f := range files {
		text = fmt.Appendf(text, "%x  %s\n", sha256.Sum256(f.data), f.path)
	}
	return text
}

// locate writes slot.env again, now with the places of the other files. An
// environment block always has the same size, so that nothing moves.
func locate(v volume, f *os.File, about []string) error {
	at, err := v.extents(f)
	if err != nil {
		return err
	}
	env, err := environment(append(about, fmt.Sprint("kernel=", at[2]), fmt.Sprint("ramfs=", at[3]))...)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(env, at[0].first*sector)
	return err
}
