package disk

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

// mender repairs a volume that go-diskfs 1.9.4 has written. That library
//
//   - gives every reproducible volume the serial number 0,
//   - stamps files, folders and the label with the time of day,
//   - points ".." of the folders in FAT32's root to cluster 2, where the
//     specification wants 0 (Microsoft FAT specification, section 6.5),
//   - leaves FAT32's count of free clusters unset,
//   - marks cluster 2 of a FAT16 as used, though no file begins there.
//
// fsck.vfat finds the last three.
type mender struct {
	f       *os.File
	fat     fatType
	epoch   time.Time
	table   []byte // the first FAT
	reserve int64  // bytes before the first FAT
	root    int64  // FAT16: offset of the root folder
	rootLen int64  // FAT16: bytes of the root folder
	data    int64  // offset of cluster 2
	cluster int64  // bytes per cluster
	count   uint32 // clusters of the data area
}

func (v volume) mend(f *os.File) error {
	m, err := openMender(f, v)
	if err != nil {
		return err
	}
	if err := m.serial(v.serial); err != nil {
		return err
	}
	if v.fat == 16 {
		if err := m.freeCluster2(); err != nil {
			return err
		}
		return m.folder([]run{{m.root, m.rootLen}}, 0)
	}
	if err := m.countFree(); err != nil {
		return err
	}
	return m.folder(m.chain(2), 0)
}

// openMender reads the geometry out of the boot sector (Microsoft FAT
// specification, section 3).
func openMender(f *os.File, v volume) (*mender, error) {
	b := make([]byte, sector)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, err
	}
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(b[at:])) }
	fatSectors, total := u16(22), u16(19)
	if fatSectors == 0 {
		fatSectors = u32(36)
	}
	if total == 0 {
		total = u32(32)
	}
	m := &mender{f: f, fat: v.fat, epoch: v.epoch.UTC(), cluster: int64(b[13]) * sector}
	m.reserve = u16(14) * sector
	m.root = m.reserve + 2*fatSectors*sector
	m.rootLen = u16(17) * 32
	m.data = m.root + m.rootLen
	m.count = uint32((total*sector - m.data) / m.cluster)
	m.table = make([]byte, fatSectors*sector)
	_, err := f.ReadAt(m.table, m.reserve)
	return m, err
}

// serial sets the volume's serial number, for FAT32 in both boot sectors.
func (m *mender) serial(n uint32) error {
	if m.fat == 16 {
		return m.put32(39, n)
	}
	if err := m.put32(67, n); err != nil {
		return err
	}
	return m.put32(6*sector+67, n)
}

func (m *mender) put32(at int64, n uint32) error {
	_, err := m.f.WriteAt(binary.LittleEndian.AppendUint32(nil, n), at)
	return err
}

// freeCluster2 gives back the cluster that FAT16's creation took.
func (m *mender) freeCluster2() error {
	for _, at := range []int64{m.reserve, m.reserve + int64(len(m.table))} {
		if _, err := m.f.WriteAt([]byte{0, 0}, at+2*2); err != nil {
			return err
		}
	}
	return nil
}

// countFree fills FAT32's information sector and its copy: free clusters at
// offset 488, and at 492 the cluster after which to look for one.
func (m *mender) countFree() error {
	free, last := uint32(0), uint32(2)
	for n := uint32(2); n < m.count+2; n++ {
		if m.next(n) == 0 {
			free++
		} else {
			last = n
		}
	}
	for _, at := range []int64{1 * sector, 7 * sector} {
		if err := m.put32(at+488, free); err != nil {
			return err
		}
		if err := m.put32(at+492, last); err != nil {
			return err
		}
	}
	return nil
}

// next is the FAT's entry of cluster n. FAT32 uses the lower 28 bits.
func (m *mender) next(n uint32) uint32 {
	if m.fat == 16 {
		return uint32(binary.LittleEndian.Uint16(m.table[n*2:]))
	}
	return binary.LittleEndian.Uint32(m.table[n*4:]) & 0x0fffffff
}

// run is a stretch of bytes of the volume.
type run struct{ at, size int64 }

// chain lists the clusters of the file or folder that begins at cluster n.
func (m *mender) chain(n uint32) []run {
	var list []run
	for n >= 2 && n < m.count+2 && uint32(len(list)) <= m.count {
		list = append(list, run{m.data + int64(n-2)*m.cluster, m.cluster})
		n = m.next(n)
	}
	return list
}

// Folder entries (Microsoft FAT specification, section 6).
const (
	entrySize    = 32
	attrFolder   = 0x10
	attrLongName = 0x0f
)

// folder sets the times of all entries of a folder and of the folders below
// it. The root folder has depth 0.
func (m *mender) folder(where []run, depth int) error {
	for _, r := range where {
		b := make([]byte, r.size)
		if _, err := m.f.ReadAt(b, r.at); err != nil {
			return fmt.Errorf("read folder at %d: %w", r.at, err)
		}
		for e := b; len(e) >= entrySize && e[0] != 0; e = e[entrySize:] {
			if err := m.entry(e[:entrySize], depth); err != nil {
				return err
			}
		}
		if _, err := m.f.WriteAt(b, r.at); err != nil {
			return err
		}
	}
	return nil
}

// entry mends one entry of a folder.
func (m *mender) entry(e []byte, depth int) error {
	const deleted = 0xe5
	if e[0] == deleted || e[11] == attrLongName {
		return nil
	}
	date, clock := dosTime(m.epoch)
	put := binary.LittleEndian.PutUint16
	e[13] = 0 // hundredths of the creation time
	put(e[14:], clock)
	put(e[16:], date)
	put(e[18:], date)
	put(e[22:], clock)
	put(e[24:], date)
	if e[11]&attrFolder == 0 {
		return nil
	}
	if e[0] == '.' {
		if e[1] == '.' && depth == 1 {
			put(e[20:], 0)
			put(e[26:], 0)
		}
		return nil
	}
	n := uint32(binary.LittleEndian.Uint16(e[20:]))<<16 | uint32(binary.LittleEndian.Uint16(e[26:]))
	return m.folder(m.chain(n), depth+1)
}

// dosTime is t as FAT writes it: years from 1980, and two seconds a step.
func dosTime(t time.Time) (date, clock uint16) {
	date = uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day())
	clock = uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	return date, clock
}
