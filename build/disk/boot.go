package disk

import (
	"fmt"
	"os"
	"strings"

	"tench/boards"
)

const readme = `This is the start partition of a tench router, board %s, release %s.

It belongs into the router, not into a PC: there is nothing to install from it,
and a PC can only look at this first, small part of it. To see the router, put
the stick back and connect a serial cable: %d bit/s, 8N1, no flow control.

  EFI/BOOT     what UEFI firmware starts (BIOSes start what lies before p1)
  boot/grub    what it then does
  grubenv      which slot is started; GRUB writes it, never change its length

The other partitions: 2 and 3 hold a kernel and a root file system each, of
which one runs and the other waits for the next update; 4 holds the router's
configuration.
`

// writeBoot makes p1 in the file path.
func writeBoot(b boards.Board, g GRUB, id Identity, path string) error {
	files, err := bootFiles(b, g, id)
	if err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	f, err := newFile(path, int64(b.Layout.BootMiB)*mib)
	if err != nil {
		return err
	}
	defer f.Cleanup()
	v := volume{fat: 32, sizeMiB: b.Layout.BootMiB, key: "layout.boot-mib", label: "TENCH_BOOT",
		serial: id.number("p1"), epoch: id.Epoch, files: files}
	if err := v.write(f.File); err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	return f.CloseAtomicallyReplace()
}

// bootFiles lists p1. grubenv comes first: GRUB rewrites its sectors through a
// list of them, so they have to lie in one run.
func bootFiles(b boards.Board, g GRUB, id Identity) ([]fatFile, error) {
	env, err := environment("slot=a", "good=a", "pending=0", "tries=0")
	if err != nil {
		return nil, err
	}
	cfg, err := makeGRUBCfg(b, id)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(readme, b.Name, id.Release, b.Console.Speed)
	files := []fatFile{
		{"grubenv", env},
		{"boot/grub/grub.cfg", cfg},
		{"README.TXT", []byte(strings.ReplaceAll(text, "\n", "\r\n"))},
	}
	if g.EFI == "" {
		return files, nil
	}
	efi, err := os.ReadFile(g.EFI)
	return append(files, fatFile{"EFI/BOOT/" + b.Arch.EFIBoot, efi}), err
}
