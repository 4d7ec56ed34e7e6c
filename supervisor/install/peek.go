package install

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"tench/internal/volume"
	"tench/release/netboot"
	"tench/release/slotimage"
)

// contentOf names what begins at an offset of r, e.g. `NTFS` or `ext "home"`; ""
// where it is unknown.
func contentOf(r io.ReaderAt, at int64) string {
	kind, label := volume.At(r, at)
	if label != "" {
		return fmt.Sprintf("%s %q", kind, label)
	}
	return kind
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
	first := contentOf(r, edge) // where most partition tables have their first one
	switch {
	case len(found) > 0:
		d.Content = strings.Join(found, ", ")
	case blankAt(r, 0, edge) && first == unfinished:
		d.Content = netboot.Unfinished
	case first != "":
		d.Content = first + ", whose partition table is gone"
	case blank(r, d.Size):
		d.Content = netboot.Empty
	case readString(r, sector, 8) == "EFI PART":
		d.Content = "a GPT without partitions"
	default:
		d.Content = "something unknown, without partitions"
	}
}

// unfinished is what lies where our first partition begins, on a disk whose
// partition table was wiped and has not come again.
const unfinished = `FAT32 "TENCH_BOOT"`

const (
	// edge is how much of both ends of a disk is looked at, in bytes.
	edge = 1 << 20
	// probes is at how many places between them, and probeSize how many bytes: a
	// second on a disk that turns.
	probes    = 64
	probeSize = 4096
)

// blank reports whether a disk of size bytes has only zeros at both ends and
// wherever it is probed between: a table of partitions that was wiped leaves
// somebody's data.
func blank(r io.ReaderAt, size int64) bool {
	for n := range int64(probes) {
		if !blankAt(r, size/probes*n/sector*sector, min(size, probeSize)) {
			return false
		}
	}
	return blankAt(r, 0, min(size, edge)) && blankAt(r, max(0, size-edge), min(size, edge))
}

// blankAt reports whether n bytes at an offset are zeros.
func blankAt(r io.ReaderAt, at, n int64) bool {
	b := make([]byte, n)
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
