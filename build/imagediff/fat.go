package imagediff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// fat reads a FAT16 or FAT32 (Microsoft FAT specification).
type fat struct {
	r       *io.SectionReader
	wide    bool   // FAT32
	table   []byte // the first FAT
	root    int64  // FAT16: offset of the root folder
	rootLen int64  // FAT16: bytes of the root folder
	data    int64  // offset of cluster 2
	cluster int64  // bytes per cluster
	count   uint32 // clusters of the data area
	tree    tree
	seen    map[uint32]bool // first clusters of the folders that were read
}

// fatTree lists the files of a FAT.
func fatTree(r *io.SectionReader) (tree, error) {
	f, root, err := openFAT(r)
	if err != nil {
		return nil, fmt.Errorf("no FAT16 or FAT32: %w", err)
	}
	folder := make([]byte, f.rootLen)
	if f.wide {
		folder, err = f.readFolder(root)
	} else {
		_, err = r.ReadAt(folder, f.root)
	}
	if err != nil {
		return nil, fmt.Errorf("damaged FAT: root folder: %w", err)
	}
	if err := f.folder("", folder); err != nil {
		return nil, fmt.Errorf("damaged FAT: %w", err)
	}
	return f.tree, nil
}

// openFAT reads the geometry (section 3) and returns the root folder's first
// cluster, which only FAT32 has.
func openFAT(r *io.SectionReader) (*fat, uint32, error) {
	b := make([]byte, sector)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, 0, errors.New("no boot sector")
	}
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(b[at:])) }
	perCluster, reserved, fats, fatSectors, total := int64(b[13]), u16(14), int64(b[16]), u16(22), u16(19)
	f := &fat{r: r, tree: tree{}, seen: map[uint32]bool{}, rootLen: u16(17) * dirEntry}
	if fatSectors == 0 {
		f.wide, fatSectors = true, u32(36)
	}
	if total == 0 {
		total = u32(32)
	}
	if u16(510) != signature || u16(11) != sector || perCluster == 0 || reserved == 0 || fats == 0 {
		return nil, 0, errors.New("its boot sector is none of a FAT with 512-byte sectors")
	}
	f.cluster = perCluster * sector
	f.root = (reserved + fats*fatSectors) * sector
	f.data = f.root + (f.rootLen+sector-1)/sector*sector
	if total*sector > r.Size() || f.data >= total*sector {
		return nil, 0, fmt.Errorf("its %d sectors do not fit", total)
	}
	f.count = uint32((total*sector - f.data) / f.cluster)
	if !f.wide && f.count < 4085 {
		return nil, 0, fmt.Errorf("%d clusters are few enough for a FAT12", f.count)
	}
	// The table is within the data, so that it is no larger than the image.
	f.table = make([]byte, fatSectors*sector)
	_, err := r.ReadAt(f.table, reserved*sector)
	return f, uint32(u32(44)) & 0x0fffffff, err
}

// next is the FAT's entry of cluster n; FAT32 uses the lower 28 bits.
func (f *fat) next(n uint32) uint32 {
	width := 2
	if f.wide {
		width = 4
	}
	at := int(n) * width
	switch {
	case at+width > len(f.table):
		return 0
	case f.wide:
		return binary.LittleEndian.Uint32(f.table[at:]) & 0x0fffffff
	}
	return uint32(binary.LittleEndian.Uint16(f.table[at:]))
}

// read returns the first size bytes of the chain that begins at cluster n, or
// all if it is shorter. The size is what ends a chain that is a ring.
func (f *fat) read(n uint32, size int64) ([]byte, error) {
	var data []byte
	for ; n >= 2 && n < f.count+2 && int64(len(data)) < size; n = f.next(n) {
		part := make([]byte, min(f.cluster, size-int64(len(data))))
		if _, err := f.r.ReadAt(part, f.data+int64(n-2)*f.cluster); err != nil {
			return nil, err
		}
		data = append(data, part...)
	}
	return data, nil
}

// readFolder returns the content of the folder that begins at cluster n, which
// the specification allows to have 2 MiB.
func (f *fat) readFolder(n uint32) ([]byte, error) {
	const most = 1 << 16 * dirEntry
	b, err := f.read(n, most+1)
	if err == nil && len(b) > most {
		err = errors.New("it is larger than 2 MiB, or its clusters are a ring")
	}
	return b, err
}

// Folder entries (section 6).
const (
	dirEntry = 32

	attrLabel    = 0x08
	attrFolder   = 0x10
	attrLongName = 0x0f
)

// folder lists a folder's content b and the folders below it.
func (f *fat) folder(dir string, b []byte) error {
	var long longName
	for ; len(b) >= dirEntry && b[0] != 0; b = b[dirEntry:] {
		e := b[:dirEntry]
		const deleted = 0xe5
		switch {
		case e[0] == deleted:
			long = longName{}
		case e[11] == attrLongName:
			long.add(e)
		default:
			name := long.of(e)
			long = longName{}
			if err := f.entry(dir, name, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry lists one file or folder of dir.
func (f *fat) entry(dir, name string, e []byte) error {
	if name == "." || name == ".." {
		return nil
	}
	u16 := func(at int) uint32 { return uint32(binary.LittleEndian.Uint16(e[at:])) }
	first, size := u16(20)<<16|u16(26), int64(binary.LittleEndian.Uint32(e[28:]))
	about := fmt.Sprintf("attributes %02x, written %s", e[11], dosTime(u16(24), u16(22)))
	path := dir + name
	if _, twice := f.tree[path]; twice {
		return fmt.Errorf("%q is there twice", path)
	}
	if err := f.tree.room(path); err != nil {
		return err
	}
	switch {
	case e[11]&attrLabel != 0:
		f.tree["(label) "+path] = entry{about: about}
	case e[11]&attrFolder != 0:
		f.tree[path] = entry{about: "folder, " + about}
		if f.seen[first] {
			return fmt.Errorf("folder %q is in a ring", path)
		}
		f.seen[first] = true
		b, err := f.readFolder(first)
		if err != nil {
			return fmt.Errorf("folder %q: %w", path, err)
		}
		return f.folder(path+"/", b)
	default:
		f.tree[path] = entry{about: about, size: size, read: func() ([]byte, error) { return f.content(first, size) }}
	}
	return nil
}

func (f *fat) content(first uint32, size int64) ([]byte, error) {
	if size > maxFile || size > f.cluster*int64(f.count) {
		return nil, fmt.Errorf("its %d bytes are more than there is room for", size)
	}
	data, err := f.read(first, size)
	if err == nil && int64(len(data)) < size {
		err = fmt.Errorf("its clusters hold %d of %d bytes", len(data), size)
	}
	return data, err
}

// dosTime is a date and time of FAT as a person writes it.
func dosTime(date, clock uint32) string {
	return fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d", 1980+date>>9, date>>5&15, date&31, clock>>11, clock>>5&63, clock&31*2)
}

// longName collects the parts of a long name, which lie before the entry that
// it belongs to, last part first.
type longName struct {
	units []uint16
	sum   byte // of the short name
}

func (l *longName) add(e []byte) {
	var part []uint16
	for _, r := range [][2]int{{1, 11}, {14, 26}, {28, 32}} {
		for at := r[0]; at < r[1]; at += 2 {
			part = append(part, binary.LittleEndian.Uint16(e[at:]))
		}
	}
	const last = 0x40
	if e[0]&last != 0 {
		l.units = nil
	}
	const most = 255 // characters of a name
	if l.sum = e[13]; len(l.units) <= most {
		l.units = append(part, l.units...)
	}
}

// of is the name of entry e: the long one if it belongs to e, else the short
// one, whose two parts may be in lower case (bits 3 and 4 of byte 12).
func (l *longName) of(e []byte) string {
	sum := byte(0)
	for _, c := range e[:11] {
		sum = sum>>1 | sum<<7
		sum += c
	}
	if len(l.units) > 0 && l.sum == sum {
		name, _, _ := strings.Cut(string(utf16.Decode(l.units)), "\x00")
		return strings.ReplaceAll(name, "/", "_")
	}
	base, ext := strings.TrimRight(string(e[:8]), " "), strings.TrimRight(string(e[8:11]), " ")
	if e[12]&0x08 != 0 {
		base = strings.ToLower(base)
	}
	if e[12]&0x10 != 0 {
		ext = strings.ToLower(ext)
	}
	if ext != "" {
		base += "." + ext
	}
	return strings.ReplaceAll(base, "/", "_")
}
