package slotimage

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Places in a FAT16 (Microsoft FAT specification, sections 3 and 6).
const (
	entrySize = 32
	attrLabel = 0x08          // of the label, and in the parts of a long name
	shortName = "SLOT    ENV" // slot.env as the folder's entry has it
)

// findEnv returns where slot.env begins. The root folder of a FAT16 lies
// right behind the FATs, and the clusters, which count from 2, behind it.
// slot.env is taken to be in one piece, as GRUB's save_env wants it. Anybody may
// have written the numbers, of which the products need more than 32 bits.
func (h *headReader) findEnv() (int64, error) {
	if err := h.upTo(sector); err != nil {
		return 0, err
	}
	b := h.data
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	cluster, reserved, fats, entries, fatSectors := int64(b[13])*sector, u16(14), int64(b[16]), u16(17), u16(22)
	if b[510] != 0x55 || b[511] != 0xaa || u16(11) != sector || cluster == 0 || reserved == 0 || fats == 0 || entries == 0 || fatSectors == 0 {
		return 0, errors.New("it does not begin with the boot sector of a FAT16")
	}
	root := (reserved + fats*fatSectors) * sector
	clusters := root + (entries*entrySize+sector-1)/sector*sector
	if err := h.upTo(clusters); err != nil {
		return 0, fmt.Errorf("read root folder: %w", err)
	}
	for e := h.data[root:clusters]; len(e) >= entrySize && e[0] != 0; e = e[entrySize:] {
		if string(e[:len(shortName)]) != shortName || e[11]&attrLabel != 0 {
			continue
		}
		first := int64(binary.LittleEndian.Uint16(e[26:]))
		if size := binary.LittleEndian.Uint32(e[28:]); size != envSize || first < 2 {
			return 0, fmt.Errorf("slot.env has %d bytes, want %d", size, envSize)
		}
		return clusters + (first-2)*cluster, nil
	}
	return 0, errors.New("it has no slot.env")
}
