package flash

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"tench/build/disk"
	"tench/internal/volume"
)

// The MBR: sector 0.
const (
	sector        = 512
	tableAt       = 446
	entrySize     = 16
	bootSignature = 0xAA55 // in the last two bytes
)

// Which partition is what; see build/disk.
const (
	slotPart = 1
	dataPart = 3
)

// Label is what a tench stick or image says of itself in its slot A.
type Label struct {
	Board   string `json:"board"`   // e.g. "apu2"
	Release string `json:"release"` // e.g. "2026.11"
}

// readTable reads the four primaries of a tench disk with size bytes: the first
// at 1 MiB, all in the order of their places and none over another.
func readTable(r io.ReaderAt, size int64) (parts [4]span, err error) {
	mbr := make([]byte, sector)
	if _, err := r.ReadAt(mbr, 0); err != nil {
		return parts, errors.New("has no partition table")
	}
	if binary.LittleEndian.Uint16(mbr[sector-2:]) != bootSignature {
		return parts, errors.New("has no partition table")
	}
	end := int64(headSize)
	for i := range parts {
		e := mbr[tableAt+i*entrySize:]
		p := span{int64(binary.LittleEndian.Uint32(e[8:])) * sector, int64(binary.LittleEndian.Uint32(e[12:])) * sector}
		if p.size == 0 || p.at < end || p.end() > size || i == 0 && p.at != headSize {
			return parts, fmt.Errorf("partition %d is not where tench has it", i+1)
		}
		parts[i], end = p, p.end()
	}
	return parts, nil
}

// labelRE is what board and release may be called; they are shown to people.
var labelRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$`)

// readLabel reads what a tench disk says of itself.
func readLabel(r io.ReaderAt, parts [4]span) (Label, error) {
	f, err := openFAT(io.NewSectionReader(r, parts[slotPart].at, parts[slotPart].size))
	if err != nil {
		return Label{}, fmt.Errorf("slot A %w", err)
	}
	env, err := f.slotEnv()
	if err != nil {
		return Label{}, fmt.Errorf("slot A %w", err)
	}
	var l Label
	for line := range bytes.Lines(env) {
		name, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "=")
		switch name {
		case "board":
			l.Board = value
		case "release":
			l.Release = value
		}
	}
	if !labelRE.MatchString(l.Board) || !labelRE.MatchString(l.Release) {
		return Label{}, errors.New("slot A names no board and release")
	}
	return l, nil
}

// labelOf reads what the disk r says of itself; false where it is none of ours.
func labelOf(r io.ReaderAt, size int64) ([4]span, Label, bool) {
	parts, err := readTable(r, size)
	if err != nil {
		return parts, Label{}, false
	}
	l, err := readLabel(r, parts)
	if err != nil { // slot A, while an update writes it
		other := parts
		other[slotPart] = parts[slotPart+1]
		l, err = readLabel(r, other)
	}
	return parts, l, err == nil
}

// leftover is the data partition of a stick of ours whose last Write did not end:
// its table is gone, and its file system is where the image has its own. Empty
// where there is none.
func leftover(img *Image, t Target) span {
	p := img.parts[dataPart]
	if kind, label := volume.At(t, p.at); kind == "ext" && label == disk.DataLabel {
		return p
	}
	return span{}
}

// Contents is what is on a device before it is written.
type Contents struct {
	Tench *Label   `json:"tench,omitempty"` // what a stick of ours says of itself
	Found []Volume `json:"found"`
	data  span     // the data partition of a stick of ours
}

// Volume is a partition, or a whole disk with a file system and no partitions.
type Volume struct {
	Name  string `json:"name"`            // the kernel's, e.g. "sdb1"
	Size  int64  `json:"size"`            // bytes
	Kind  string `json:"kind,omitempty"`  // e.g. "FAT32"; "" where it is unknown
	Label string `json:"label,omitempty"` // e.g. "PHOTOS"
}

// Look reads what is on the device d, which is open as r.
func Look(r io.ReaderAt, d Device) Contents {
	var c Contents
	if parts, l, ok := labelOf(r, d.Size); ok {
		c.Tench, c.data = &l, parts[dataPart]
	}
	for _, p := range d.Partitions {
		kind, label := volume.At(r, p.Start)
		c.Found = append(c.Found, Volume{p.Name, p.Size, kind, label})
	}
	if kind, label := volume.At(r, 0); len(c.Found) == 0 && kind != "" {
		c.Found = append(c.Found, Volume{d.Name, d.Size, kind, label})
	}
	return c
}

// printable keeps what a stick or a disk calls itself from moving the cursor of
// the terminal that it is shown on.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, text)
}
