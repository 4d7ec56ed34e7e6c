package disk

import (
	"encoding/binary"
	"fmt"
	"os"
)

// extent is where a file lies in a volume, in sectors from the volume's start.
type extent struct{ first, count int64 }

// String is GRUB's block list notation (GRUB manual, "How to specify block
// lists").
func (x extent) String() string { return fmt.Sprintf("%d+%d", x.first, x.count) }

// extents returns where the volume's files lie, in their order. The volume is a
// FAT16 whose files are all in the root folder.
//
// GRUB reads a FAT cluster by cluster, through a cache; a block list it reads
// straight to where the kernel shall be.
func (v volume) extents(f *os.File) ([]extent, error) {
	m, err := openMender(f, v)
	if err != nil {
		return nil, err
	}
	root := make([]byte, m.rootLen)
	if _, err := f.ReadAt(root, m.root); err != nil {
		return nil, err
	}
	const attrLabel = 0x08 // also set in the parts of a long name
	var list []extent
	for e := root; len(e) >= entrySize && e[0] != 0 && len(list) < len(v.files); e = e[entrySize:] {
		if e[11]&attrLabel != 0 {
			continue
		}
		x, err := m.extent(e, v.files[len(list)])
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	if len(list) != len(v.files) {
		return nil, fmt.Errorf("root folder: %d files, want %d", len(list), len(v.files))
	}
	return list, nil
}

// extent returns where the file of the folder entry e lies, which must be the
// given one and in one piece.
func (m *mender) extent(e []byte, file fatFile) (extent, error) {
	want := int64(len(file.data))
	if size := binary.LittleEndian.Uint32(e[28:]); int64(size) != want {
		return extent{}, fmt.Errorf("/%s: has %d bytes, want %d", file.path, size, want)
	}
	chain := m.chain(uint32(binary.LittleEndian.Uint16(e[26:])))
	if int64(len(chain))*m.cluster < want {
		return extent{}, fmt.Errorf("/%s: %d clusters are too few for %d bytes", file.path, len(chain), want)
	}
	for i, r := range chain {
		if r.at != chain[0].at+int64(i)*m.cluster {
			return extent{}, fmt.Errorf("/%s: is not in one run of clusters", file.path)
		}
	}
	return extent{chain[0].at / sector, (want + sector - 1) / sector}, nil
}
