// Package disk makes the image of a stick: boot loader, two slots, data.
//
//	disk.go      Assemble: the parts and the partition table become one image
//	identity.go  Identity: every id in the image is derived from one seed
//	mbr.go       sector 0 and the gap behind it: GRUB for BIOS, partition table
//	uboot.go     U-Boot in the same gap, where a board's ROM looks for it
//	grub.go      BuildGRUB: boot.img, core.img and the UEFI loader
//	grubscan.go  has GRUB instructions that the board's CPU lacks
//	grubcfg.go   grub.cfg, the environment blocks, the kernel's command line
//	boot.go      p1, what is on the boot partition
//	slot.go      Slot: p2 and p3, kernel and initramfs
//	blocks.go    where GRUB finds them without reading the FAT
//	data.go      Data: p4, made with mke2fs and debugfs
//	restored.go  what is on it when a box is made again from its backup
//	fat.go       FAT16 and FAT32 volumes through go-diskfs
//	mend.go      what go-diskfs leaves wrong in them
//
// The layout is an MBR with four primaries, the first at LBA 2048:
//
//	p1  0xEF  FAT32, active  /grubenv, /boot/grub/grub.cfg, /EFI/BOOT/BOOTX64.EFI
//	p2  0x0E  FAT16          slot A: /slot.env, /slot.sum, /vmlinuz, /initrd
//	p3  0x0E  FAT16          slot B: the same, byte for byte, on a new stick
//	p4  0x83  ext4           /config, /state, /identity
//
// A slot does not know its letter, so an update writes the same bytes to either.
// Nothing here needs root or a loop device, and equal inputs give equal bytes.
package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"

	"tench/boards"
)

const (
	sector    = 512
	mib       = 1 << 20
	firstByte = 2048 * sector // start of p1: 1 MiB, which every flash chip's erase block divides
)

// Partition types. GRUB, Linux and UEFI firmware look at the content; the types
// tell people and partitioning tools what is there.
const (
	typeESP   = 0xEF // UEFI specification 2.10, section 5.2.2
	typeFAT16 = 0x0E // FAT16 addressed by LBA
	typeLinux = 0x83
)

// Parts are the products that Assemble joins.
type Parts struct {
	UBoot string // the file that board.toml's u-boot.file names; "" for none
	GRUB  GRUB
	Slot  string // file written by Slot; it goes into both slots
	Data  string // file written by Data
}

// Partition is one of the four primaries.
type Partition struct {
	Number int    // 1 to 4, Linux' and GRUB's number
	Name   string // "boot", "slot a", "slot b", "data"
	Type   byte   // MBR type
	Start  int64  // bytes from the start of the disk
	Size   int64  // bytes
}

// Image is a finished image.
type Image struct {
	Path       string
	Size       int64  // bytes
	DiskID     uint32 // MBR disk id, tench.disk= on the kernel's command line
	Partitions []Partition
}

// Partitions is the partition table of board b.
func Partitions(b boards.Board) []Partition {
	list := []Partition{
		{Name: "boot", Type: typeESP, Size: int64(b.Layout.BootMiB) * mib},
		{Name: "slot a", Type: typeFAT16, Size: int64(b.Layout.SlotMiB) * mib},
		{Name: "slot b", Type: typeFAT16, Size: int64(b.Layout.SlotMiB) * mib},
		{Name: "data", Type: typeLinux, Size: int64(b.Layout.DataMiB) * mib},
	}
	at := int64(firstByte)
	for i := range list {
		list[i].Number, list[i].Start = i+1, at
		at += list[i].Size
	}
	return list
}

// Assemble writes the image of board b to out, a sparse file that appears under
// its name only when it is whole.
func Assemble(b boards.Board, parts Parts, id Identity, out string) (Image, error) {
	img, err := assemble(b, parts, id, out)
	if err != nil {
		return Image{}, fmt.Errorf("disk: make image %s: %w", out, hinted(err))
	}
	return img, nil
}

func assemble(b boards.Board, parts Parts, id Identity, out string) (Image, error) {
	if err := id.check(); err != nil {
		return Image{}, err
	}
	img := Image{Path: out, DiskID: id.DiskID(), Partitions: Partitions(b)}
	last := img.Partitions[len(img.Partitions)-1]
	img.Size = last.Start + last.Size

	boot := filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".boot")
	defer os.Remove(boot)
	if err := writeBoot(b, parts.GRUB, id, boot); err != nil {
		return Image{}, err
	}
	f, err := newFile(out, img.Size)
	if err != nil {
		return Image{}, err
	}
	defer f.Cleanup()
	for i, path := range []string{boot, parts.Slot, parts.Slot, parts.Data} {
		if err := place(f.File, img.Partitions[i], path); err != nil {
			return Image{}, err
		}
	}
	if err := writeMBR(f.File, parts.GRUB, img); err != nil {
		return Image{}, err
	}
	if err := writeUBoot(f.File, b, parts.UBoot); err != nil {
		return Image{}, err
	}
	return img, f.CloseAtomicallyReplace()
}

// newFile opens a file of size bytes beside path that takes path's place when
// it is closed with CloseAtomicallyReplace, and vanishes on Cleanup.
func newFile(path string, size int64) (*renameio.PendingFile, error) {
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithPermissions(0o644))
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(err, f.Cleanup())
	}
	return f, nil
}

// place copies the file at path into its partition. Blocks of zeros are left
// out: the image is a new file, whose holes read as zeros.
func place(img *os.File, p Partition, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != p.Size {
		return fmt.Errorf("%s: it has %d bytes, but partition %d (%s) has %d",
			path, info.Size(), p.Number, p.Name, p.Size)
	}
	block, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); off < p.Size; off += int64(len(block)) {
		if _, err := io.ReadFull(f, block); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if bytes.Equal(block, zeros) {
			continue
		}
		if _, err := img.WriteAt(block, p.Start+off); err != nil {
			return err
		}
	}
	return nil
}

// hinted adds what to do to an error of a full disk. It looks at the text, since
// go-diskfs and the ext4 tools do not pass the error number on.
func hinted(err error) error {
	full := strings.Contains(strings.ToLower(err.Error()), syscall.ENOSPC.Error())
	if !full || strings.Contains(err.Error(), "\nhint:") {
		return err
	}
	return fmt.Errorf("%w\nhint: this machine's disk is full; make room and run it again", err)
}
