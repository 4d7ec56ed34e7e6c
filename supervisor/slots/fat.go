package slots

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// sector is the unit of the image and of GRUB, in bytes.
const sector = 512

// envName is how the root folder of a FAT spells "grubenv" (FAT specification
// 1.03, section 6.1).
const envName = "GRUBENV    "

// A directory entry and what of it is read here.
const (
	entrySize    = 32
	entryEnd     = 0x00 // first byte: no entry from here on
	entryFree    = 0xe5 // first byte: deleted
	attrAt       = 11
	attrNotAFile = 0x08 | 0x10 // volume label, long name, folder
	maxCluster   = 64 << 10    // bytes; what the specification knows at most
)

// fat is the geometry of a FAT32 (FAT specification 1.03, section 3.3).
type fat struct {
	cluster int64  // bytes
	table   int64  // byte of the first allocation table
	data    int64  // byte of cluster 2
	root    uint32 // first cluster of the root folder
	count   uint32 // clusters, the first being number 2
}

// locate returns the byte at which grubenv lies on the boot partition. The
// build writes the file first, in one run of sectors, and nothing ever moves
// it; its place is looked up all the same, because what is written there
// otherwise would be lost.
func locate(d io.ReaderAt) (int64, error) {
	f, err := readFAT(d)
	if err != nil {
		return 0, err
	}
	folder := make([]byte, f.cluster)
	if _, err := d.ReadAt(folder, f.at(f.root)); err != nil {
		return 0, fmt.Errorf("read root folder: %w", err)
	}
	for e := folder; len(e) >= entrySize && e[0] != entryEnd; e = e[entrySize:] {
		if e[0] == entryFree || e[attrAt]&attrNotAFile != 0 || string(e[:11]) != envName {
			continue
		}
		first := uint32(binary.LittleEndian.Uint16(e[20:]))<<16 | uint32(binary.LittleEndian.Uint16(e[26:]))
		size := binary.LittleEndian.Uint32(e[28:])
		if size != envSize {
			return 0, fmt.Errorf("grubenv has %d bytes, not %d", size, envSize)
		}
		return f.run(d, first)
	}
	return 0, errors.New("there is no grubenv")
}

func (f fat) at(cluster uint32) int64 { return f.data + int64(cluster-2)*f.cluster }

// run returns where the file of envSize bytes lies that begins in the given
// cluster: in one run, or it is refused.
func (f fat) run(d io.ReaderAt, first uint32) (int64, error) {
	c := first
	for left := int64(envSize); ; left -= f.cluster {
		if c < 2 || c-2 >= f.count {
			return 0, fmt.Errorf("grubenv has cluster %d, which there is not", c)
		}
		if left <= f.cluster {
			return f.at(first), nil
		}
		var entry [4]byte
		if _, err := d.ReadAt(entry[:], f.table+int64(c)*4); err != nil {
			return 0, fmt.Errorf("read allocation table: %w", err)
		}
		next := binary.LittleEndian.Uint32(entry[:]) & 0x0fffffff
		if next != c+1 {
			return 0, errors.New("grubenv is not in one run of sectors\nhint: it was copied or repaired on another computer; flash the stick again")
		}
		c = next
	}
}

// readFAT reads the boot sector of a FAT32.
func readFAT(d io.ReaderAt) (fat, error) {
	var b [sector]byte
	if _, err := d.ReadAt(b[:], 0); err != nil {
		return fat{}, fmt.Errorf("read boot sector: %w", err)
	}
	word := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	long := func(at int) int64 { return int64(binary.LittleEndian.Uint32(b[at:])) }
	if b[510] != 0x55 || b[511] != 0xaa || word(11) != sector || word(22) != 0 || long(36) == 0 {
		return fat{}, errors.New("it is not a FAT32")
	}
	perCluster, reserved, fats := int64(b[13]), word(14), int64(b[16])
	f := fat{cluster: perCluster * sector, root: uint32(long(44)), table: reserved * sector, data: (reserved + fats*long(36)) * sector}
	if perCluster == 0 || perCluster&(perCluster-1) != 0 || f.cluster > maxCluster || reserved == 0 || fats == 0 {
		return fat{}, errors.New("its boot sector is damaged")
	}
	f.count = uint32((long(32)*sector - f.data) / f.cluster)
	if f.data >= long(32)*sector || f.root < 2 || f.root-2 >= f.count {
		return fat{}, errors.New("its boot sector is damaged")
	}
	return f, nil
}
