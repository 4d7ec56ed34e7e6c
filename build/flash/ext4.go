package flash

import (
	"encoding/binary"
	"errors"
	"io"
)

// Offsets in the super block, which lies at byte 1024, and in group descriptors
// (the kernel's Documentation/filesystems/ext4, "Super Block", "Block Group
// Descriptors").
const (
	superAt     = 1024
	superSize   = 1024
	extMagic    = 0xEF53
	blockUninit = 0x2 // of a group: its bitmap was never written, no file is in it
)

var errNoExt4 = errors.New("is no ext4 as tench makes it")

// ext4 is the geometry of an ext4 file system.
type ext4 struct {
	r          *io.SectionReader
	blocks     int64 // of the file system
	blockSize  int64 // bytes
	perGroup   int64 // blocks
	groups     []byte
	descriptor int64 // bytes of a group's descriptor
	inodeTable int64 // bytes of a group's inode table
	made       int64 // seconds since 1970
}

func openExt4(r *io.SectionReader) (ext4, error) {
	b := make([]byte, superSize)
	if _, err := r.ReadAt(b, superAt); err != nil {
		return ext4{}, errNoExt4
	}
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(b[at:])) }
	const incompat64bit, incompatMetaBG = 0x80, 0x10
	logSize := u32(24)
	if u16(56) != extMagic || logSize > 6 || u32(32) == 0 || u32(96)&incompat64bit == 0 || u32(96)&incompatMetaBG != 0 {
		return ext4{}, errNoExt4
	}
	e := ext4{r: r, blockSize: 1024 << logSize, blocks: u32(4), perGroup: u32(32), descriptor: u16(254),
		inodeTable: u32(40) * u16(88), made: u32(264)}
	first := u32(20) // the block that the super block is in
	count := (e.blocks - first + e.perGroup - 1) / e.perGroup
	sane := e.blocks > 0 && e.blocks*e.blockSize <= r.Size() && first == 0 && e.perGroup == 8*e.blockSize &&
		e.descriptor >= 64 && e.descriptor <= e.blockSize
	if !sane {
		return ext4{}, errNoExt4
	}
	e.groups = make([]byte, count*e.descriptor)
	if _, err := r.ReadAt(e.groups, e.blockSize); err != nil {
		return ext4{}, errNoExt4
	}
	return e, nil
}

// used lists the blocks that are not free, in bytes of the partition.
func (e ext4) used() ([]span, error) {
	var list []span
	bitmap := make([]byte, e.blockSize)
	// A group whose bitmap was not written has no files, but copies of the super
	// block and of the descriptors, or not even these.
	copies := 1 + (int64(len(e.groups))+e.blockSize-1)/e.blockSize
	for g := int64(0); g*e.perGroup < e.blocks; g++ {
		d := e.groups[g*e.descriptor:]
		block := func(at int) int64 { return int64(binary.LittleEndian.Uint32(d[at:])) * e.blockSize }
		blockBitmap, inodeBitmap, inodeTable := block(0), block(4), block(8)
		list = append(list, span{blockBitmap, e.blockSize}, span{inodeBitmap, e.blockSize}, span{inodeTable, e.inodeTable})
		first, count := g*e.perGroup, min(e.perGroup, e.blocks-g*e.perGroup)
		if binary.LittleEndian.Uint16(d[18:])&blockUninit != 0 {
			list = append(list, span{first * e.blockSize, min(copies, count) * e.blockSize})
			continue
		}
		if _, err := e.r.ReadAt(bitmap, blockBitmap); err != nil {
			return nil, err
		}
		for i := range count {
			if bitmap[i/8]>>(i%8)&1 == 1 {
				list = append(list, span{(first + i) * e.blockSize, e.blockSize})
			}
		}
	}
	list = joined(list)
	if end := list[len(list)-1].end(); end > e.r.Size() {
		return nil, errNoExt4
	}
	return list, nil
}
