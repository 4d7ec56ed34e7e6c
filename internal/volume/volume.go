// Package volume tells what begins at a place of a disk: a file system, or what
// disks are put together with. It reads a few bytes of it and believes them.
package volume

import (
	"io"
	"strings"
)

// magic tells what begins at a place by bytes at an offset from it.
type magic struct {
	kind    string
	at      int64
	bytes   string
	labelAt int64 // 0 where there is none that we read
	labelN  int
}

// magics are what people have on their disks and sticks. Those whose bytes are
// rarely there by chance come first.
var magics = []magic{
	{"LUKS", 0, "LUKS\xba\xbe", 0, 0},
	{"LVM", 512, "LABELONE", 0, 0},
	{"RAID", 4096, "\xfc\x4e\x2b\xa9", 4096 + 32, 32},
	{"swap", 4086, "SWAPSPACE2", 1052, 16},
	{"btrfs", 64<<10 + 64, "_BHRfS_M", 64<<10 + 0x12b, 64},
	{"xfs", 0, "XFSB", 108, 12},
	{"ISO 9660", 32<<10 + 1, "CD001", 32<<10 + 40, 32},
	{"UFS", 64<<10 + 1372, "\x19\x01\x54\x19", 0, 0},
	{"BSD label", 512, "\x57\x45\x56\x82", 0, 0},
	{"ext", 1080, "\x53\xef", 1144, 16},
	{"NTFS", 3, "NTFS    ", 0, 0},
	{"exFAT", 3, "EXFAT   ", 0, 0},
	{"FAT32", 82, "FAT32   ", 71, 11},
	{"FAT16", 54, "FAT16   ", 43, 11},
	{"FAT12", 54, "FAT12   ", 43, 11},
}

// At names what begins at an offset of r, e.g. "FAT32", and the label that it has,
// in printable ASCII, e.g. "PHOTOS". Both are "" where it is unknown.
func At(r io.ReaderAt, at int64) (kind, label string) {
	for _, m := range magics {
		if read(r, at+m.at, len(m.bytes)) != m.bytes {
			continue
		}
		if m.labelAt > 0 {
			label, _, _ = strings.Cut(read(r, at+m.labelAt, m.labelN), "\x00")
		}
		return m.kind, strings.TrimSpace(printable(label))
	}
	return "", ""
}

// read reads n bytes, or "" where there are none.
func read(r io.ReaderAt, at int64, n int) string {
	b := make([]byte, n)
	if _, err := r.ReadAt(b, at); err != nil {
		return ""
	}
	return string(b)
}

// printable keeps a label from moving the cursor of the terminal that it is shown
// on.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, text)
}
