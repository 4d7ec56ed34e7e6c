package install

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"tench/release/slotimage"
)

// Empty is the content of a disk on which there is nothing at all.
const Empty = "empty"

// magic tells what begins at a place by bytes at an offset from it.
type magic struct {
	kind    string
	at      int64
	bytes   string
	labelAt int64 // 0 where there is none that we read
	labelN  int
}

// magics are what people have on their disks. Those whose bytes are rarely there
// by chance come first.
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

// contentOf names what begins at an offset of r, e.g. `NTFS` or `ext "home"`; ""
// where it is unknown.
func contentOf(r io.ReaderAt, at int64) string {
	for _, m := range magics {
		if readString(r, at+m.at, len(m.bytes)) != m.bytes {
			continue
		}
		label := ""
		if m.labelAt > 0 {
			label, _, _ = strings.Cut(readString(r, at+m.labelAt, m.labelN), "\x00")
		}
		if label = plain(label); label != "" {
			return fmt.Sprintf("%s %q", m.kind, label)
		}
		return m.kind
	}
	return ""
}

// peek says in words what is on the disk, and finds out whether it is one of
// ours.
func (i *Installer) peek(r io.ReaderAt, d *disk) {
	if i.peekOurs(r, d) {
		return
	}
	var found []string
	if what := contentOf(r, 0); what != "" && len(d.parts) == 0 {
		found = append(found, what)
	}
	for _, p := range d.parts {
		what := contentOf(r, p.at)
		if what == "" {
			what = "something unknown"
		}
		found = append(found, fmt.Sprintf("%s %s %s", p.name, size(p.size), what))
	}
	switch {
	case len(found) > 0:
		d.Content = strings.Join(found, ", ")
	case blankAt(r, 0, d.Size) && blankAt(r, d.Size-edge, d.Size):
		d.Content = Empty
	case readString(r, sector, 8) == "EFI PART":
		d.Content = "a GPT without partitions"
	default:
		d.Content = "something unknown, without partitions"
	}
}

// edge is how much of both ends of a disk is looked at, in bytes.
const edge = 1 << 20

// blankAt reports whether the stretch of an edge at an offset holds only zeros.
func blankAt(r io.ReaderAt, at, end int64) bool {
	at = max(0, at)
	b := make([]byte, min(edge, end-at))
	if _, err := r.ReadAt(b, at); err != nil {
		return false
	}
	return len(bytes.TrimRight(b, "\x00")) == 0
}

// Where things are on a disk of ours (build/disk): four primaries, boot, slot a,
// slot b, data.
const (
	tableAt   = 446
	entrySize = 16
	slotA     = 1
	slotB     = 2
	dataPart  = 3
)

// peekOurs reports whether the disk is one of ours: a slot of it says so.
func (i *Installer) peekOurs(r io.ReaderAt, d *disk) bool {
	parts, ok := table(r, d.Size)
	if !ok {
		return false
	}
	heads := map[string]slotimage.Info{}
	var said []string
	for n, slot := range map[int]string{slotA: "a", slotB: "b"} {
		_, info, err := slotimage.ReadHead(io.NewSectionReader(r, parts[n].at, parts[n].size))
		if err != nil {
			continue
		}
		heads[slot] = info
		said = append(said, slot+" "+info.Release)
	}
	if len(said) == 0 {
		return false
	}
	slices.Sort(said)
	d.oldAt, d.old = parts[dataPart].at, parts[dataPart].size
	good, err := i.goodSlot(d.Name)
	info, whole := heads[good]
	if !whole { // of whatever slot there is
		info = cmp.Or(heads["a"], heads["b"])
	}
	d.Board, d.Release = info.Board, info.Release
	d.Content = fmt.Sprintf("tench for board %s: slots %s", d.Board, strings.Join(said, ", "))
	switch {
	case err != nil:
		d.Content += "; its boot partition is damaged"
	case !whole:
		d.Content += fmt.Sprintf("; slot %s, which is to be started, is damaged", good)
	default:
		d.Slot = otherSlot[good]
	}
	return true
}

var otherSlot = map[string]string{"a": "b", "b": "a"}

// goodSlot is the slot that a disk of ours starts when no trial is under way.
func (i *Installer) goodSlot(name string) (string, error) {
	// Only its state is asked for, whatever slot "runs".
	st, err := i.Slots(i.device(name), "a").State()
	return st.Good, err
}

// table reads the partition table of a disk of ours: all four, in the order of
// their places, none over another.
func table(r io.ReaderAt, size int64) (parts [4]part, ok bool) {
	mbr := []byte(readString(r, 0, sector))
	if len(mbr) < sector || mbr[510] != 0x55 || mbr[511] != 0xaa {
		return parts, false
	}
	end := int64(edge)
	for n := range parts {
		e := mbr[tableAt+n*entrySize:]
		p := part{at: int64(binary.LittleEndian.Uint32(e[8:])) * sector, size: int64(binary.LittleEndian.Uint32(e[12:])) * sector}
		if p.size == 0 || p.at < end || p.size > size-p.at {
			return parts, false
		}
		parts[n], end = p, p.at+p.size
	}
	return parts, true
}
