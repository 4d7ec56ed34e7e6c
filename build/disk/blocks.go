package disk

import (
	"encoding/binary"
	"fmt"
	"os"
)

// blocks returns where the volume's files lie, in their order, in GRUB's block
// list notation: FIRST+COUNT sectors from the volume's start (GRUB manual,
// section "How to specify block lists"). The volume is a FAT16 whose files are
// all in the root folder.
//
// GRUB reads a FAT cluster by cluster, through a cache and byte by byte; a block
// list it reads straight to where the kernel shall be.
func (v volume) blocks(f *os.File) ([]string, error) {
	m, err := openMender(f, v)
	if err != nil {
		return nil, err
	}
	root := make([]byte, m.rootLen)
	if _, err := f.ReadAt(root, m.root); err != nil {
		return nil, err
	}
	var list []string
	for e := root; len(e) >= entrySize && e[0] != 0; e = e[entrySize:] {
		const attrLabel = 0x08 // also set in the parts of a long name
		if e[11]&attrLabel != 0 {
			continue
		}
		if len(list) == len(v.files) {
			return nil, fmt.Errorf("root folder: more than %d files", len(v.files))
		}
		file := v.files[len(list)]
		if size := binary.LittleEndian.Uint32(e[28:]); int64(size) != int64(len(file.data)) {
			return nil, fmt.Errorf("/%s: has %d bytes, want %d", file.path, size, len(file.data))
		}
		chain := m.chain(uint32(binary.LittleEndian.Uint16(e[26:])))
		for i, r := range chain {
			if r.at != chain[0].at+int64(i)*m.cluster {
				return nil, fmt.Errorf("/%s: is not in one run of clusters", file.path)
			}
		}
		list = append(list, fmt.Sprintf("%d+%d", chain[0].at/sector, (len(file.data)+sector-1)/sector))
	}
	if len(list) != len(v.files) {
		return nil, fmt.Errorf("root folder: %d files, want %d", len(list), len(v.files))
	}
	return list, nil
}
