package supervisor

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
)

// Offsets in ext4's super block, which lies at byte 1024 of the partition
// (Documentation/filesystems/ext4/super.rst of Linux).
const (
	superAt       = 1024
	superSize     = 1024
	superMagicAt  = 0x38
	superMagic    = 0xEF53
	superROAt     = 0x64
	superROCsum   = 0x400 // metadata_csum
	superCsumAt   = 0x3fc
	superCsumPart = 512 // the sector with the checksum, from superAt
)

// MendSuperblock puts the checksum of an ext4 super block right, and reports
// whether it had to. The kernel writes that block at each mount, past the journal.
// On a disk with sectors of 512 bytes a power cut may leave one half of it old
// and one half new: each is good, and what differs is counters, times and flags
// that the journal's replay sets anew, but the checksum is of one half only, and
// the kernel refuses the whole file system.
func MendSuperblock(device string) (mended bool, err error) {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return false, fmt.Errorf("data: mend super block: %w", err)
	}
	defer f.Close()
	b := make([]byte, superSize)
	if _, err := f.ReadAt(b, superAt); err != nil {
		return false, fmt.Errorf("data: mend super block: %w", err)
	}
	if binary.LittleEndian.Uint16(b[superMagicAt:]) != superMagic || binary.LittleEndian.Uint32(b[superROAt:])&superROCsum == 0 {
		return false, nil
	}
	// The kernel leaves out the inversion at the end of a CRC-32C.
	want := ^crc32.Checksum(b[:superCsumAt], crc32.MakeTable(crc32.Castagnoli))
	if binary.LittleEndian.Uint32(b[superCsumAt:]) == want {
		return false, nil
	}
	binary.LittleEndian.PutUint32(b[superCsumAt:], want)
	if _, err := f.WriteAt(b[superCsumPart:], superAt+superCsumPart); err != nil {
		return false, fmt.Errorf("data: mend super block: %w", err)
	}
	return true, f.Sync()
}
