package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/diskfs/go-diskfs/partition/mbr"
)

// Offsets in sector 0 and in GRUB's images (grub-core/boot/i386/pc/boot.S and
// diskboot.S of GRUB 2.06).
const (
	bootCodeSize   = 440   // code that the disk id and the partition table leave to us
	kernelSectorAt = 0x5c  // boot.img: u64, sector of core.img
	driveCheckAt   = 0x66  // boot.img: a jump that a hard disk's copy must not take
	blockListAt    = 0x1f4 // core.img: u64 start and u16 length of what follows its first sector
	diskIDAt       = 440
)

// writeMBR fills sector 0 and, on boards that start through a BIOS, the gap
// before p1 with GRUB's core.
func writeMBR(f *os.File, g GRUB, img Image) error {
	if g.BIOSBoot != "" {
		if err := writeBIOSLoader(f, g); err != nil {
			return err
		}
	}
	var id [4]byte
	binary.LittleEndian.PutUint32(id[:], img.DiskID)
	if _, err := f.WriteAt(id[:], diskIDAt); err != nil {
		return err
	}
	table := mbr.Table{}
	for _, p := range img.Partitions {
		table.Partitions = append(table.Partitions, &mbr.Partition{
			Index: p.Number, Bootable: p.Number == 1, Type: mbr.Type(p.Type),
			Start: uint32(p.Start / sector), Size: uint32(p.Size / sector),
			// 0xFEFFFF says "beyond CHS": a card reader and the box see
			// different geometries of one card, so no CHS is ever right.
			StartHead: 0xFE, StartSector: 0xFF, StartCylinder: 0xFF,
			EndHead: 0xFE, EndSector: 0xFF, EndCylinder: 0xFF,
		})
	}
	return table.Write(f, img.Size)
}

// writeBIOSLoader puts boot.img into sector 0 and core.img behind it, as
// grub-install does. grub-mkimage has already set both block lists for a core
// that begins at LBA 1; they are checked, because GRUB would hang without a word.
func writeBIOSLoader(f *os.File, g GRUB) error {
	boot, err := os.ReadFile(g.BIOSBoot)
	if err != nil {
		return err
	}
	core, err := os.ReadFile(g.BIOSCore)
	if err != nil {
		return err
	}
	if err := checkBIOSLoader(boot, core); err != nil {
		return fmt.Errorf("grub: %w", err)
	}
	// Two NOPs: the BIOS' drive number in DL is to be believed. The jump they
	// replace is for floppies, whose BIOSes pass nonsense.
	boot[driveCheckAt], boot[driveCheckAt+1] = 0x90, 0x90
	if _, err := f.WriteAt(boot[:bootCodeSize], 0); err != nil {
		return err
	}
	_, err = f.WriteAt(core, sector)
	return err
}

func checkBIOSLoader(boot, core []byte) error {
	if len(boot) != sector {
		return fmt.Errorf("boot.img has %d bytes instead of %d", len(boot), sector)
	}
	if s := binary.LittleEndian.Uint64(boot[kernelSectorAt:]); s != 1 {
		return fmt.Errorf("boot.img looks for its core at sector %d instead of 1", s)
	}
	if len(core) < 2*sector {
		return errors.New("core.img is cut short")
	}
	sectors := (len(core) + sector - 1) / sector
	if most := firstByte/sector - 1; sectors > most {
		return fmt.Errorf("core.img has %d sectors, but there is room for %d before the first partition", sectors, most)
	}
	start := binary.LittleEndian.Uint64(core[blockListAt:])
	length := int(binary.LittleEndian.Uint16(core[blockListAt+8:]))
	if start != 2 || length != sectors-1 {
		return fmt.Errorf("core.img expects %d sectors at sector %d instead of %d at 2", length, start, sectors-1)
	}
	return nil
}
