package flash

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// fat is the geometry of a FAT16 or FAT32 (Microsoft FAT specification, section
// 3). What it is read from may be any stick, so nothing in it is believed.
type fat struct {
	r       *io.SectionReader
	wide    bool  // FAT32
	table   int64 // offset of the first FAT
	entries int64 // of the FAT, the two reserved ones included
	root    int64 // FAT16: offset of the root folder
	rootLen int64 // FAT16: bytes of the root folder
	data    int64 // offset of cluster 2
	cluster int64 // bytes per cluster
}

var errNoFAT = errors.New("is no FAT16 and no FAT32")

func openFAT(r *io.SectionReader) (fat, error) {
	b := make([]byte, sector)
	if _, err := r.ReadAt(b, 0); err != nil {
		return fat{}, errNoFAT
	}
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(b[at:])) }
	perCluster, reserved, fats, fatSectors, total := int64(b[13]), u16(14), int64(b[16]), u16(22), u16(19)
	f := fat{r: r, table: reserved * sector, rootLen: u16(17) * dirEntry, cluster: perCluster * sector}
	if fatSectors == 0 {
		f.wide, fatSectors = true, u32(36)
	}
	if total == 0 {
		total = u32(32)
	}
	f.root = f.table + fats*fatSectors*sector
	f.data = f.root + (f.rootLen+sector-1)/sector*sector
	sane := u16(510) == bootSignature && u16(11) == sector && perCluster > 0 && reserved > 0 && fats > 0 &&
		total*sector <= r.Size() && f.data < total*sector
	if !sane {
		return fat{}, errNoFAT
	}
	width := int64(2)
	if f.wide {
		width = 4
	}
	clusters := (total*sector - f.data) / f.cluster
	f.entries = min(clusters+2, fatSectors*sector/width)
	return f, nil
}

// usedEnd is where the last cluster ends that belongs to a file: what lies
// behind it is free.
func (f fat) usedEnd() (int64, error) {
	width := int64(2)
	if f.wide {
		width = 4
	}
	table := make([]byte, f.entries*width)
	if _, err := f.r.ReadAt(table, f.table); err != nil {
		return 0, err
	}
	for n := f.entries - 1; n >= 2; n-- {
		if !zero(table[n*width : (n+1)*width]) {
			return f.data + (n-1)*f.cluster, nil
		}
	}
	return f.data, nil
}

// Folder entries (section 6).
const (
	dirEntry     = 32
	dirDeleted   = 0xe5
	attrLabel    = 0x08 // also set in the parts of a long name
	attrFolder   = 0x10
	attrLongName = 0x0f
)

// environmentMagic begins a GRUB environment block, which always has 1024 bytes
// (GRUB manual, "The GRUB environment block").
const (
	environmentMagic = "# GRUB Environment Block\n"
	environmentSize  = 1024
)

// slotEnv is the content of a slot's slot.env: the file of a FAT16's root
// folder that is an environment block.
func (f fat) slotEnv() ([]byte, error) {
	if f.wide {
		return nil, errNoFAT
	}
	root := make([]byte, f.rootLen)
	if _, err := f.r.ReadAt(root, f.root); err != nil {
		return nil, err
	}
	for e := root; len(e) >= dirEntry && e[0] != 0; e = e[dirEntry:] {
		first, size := int64(binary.LittleEndian.Uint16(e[26:])), binary.LittleEndian.Uint32(e[28:])
		if e[0] == dirDeleted || e[11]&(attrLabel|attrFolder) != 0 || size != environmentSize || first < 2 {
			continue
		}
		env := make([]byte, environmentSize)
		if _, err := f.r.ReadAt(env, f.data+(first-2)*f.cluster); err != nil {
			continue
		}
		if bytes.HasPrefix(env, []byte(environmentMagic)) {
			return env, nil
		}
	}
	return nil, errors.New("has no slot.env")
}

// zero reports whether b holds only zeros.
func zero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeros))
		if !bytes.Equal(b[:n], zeros[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

var zeros [64 << 10]byte
