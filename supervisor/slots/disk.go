package slots

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Where disks are on a box.
const (
	SysBlock = "/sys/block"
	Dev      = "/dev"
)

// oneDisk looks for the disk whose MBR has the given id among those in sysBlock, and
// returns its name below dev, e.g. "sda". It is for who writes: sticks that were
// flashed with one release have one id, and which of two the box was booted from
// cannot be told.
func oneDisk(sysBlock, dev string, id uint32) (string, error) {
	names, err := disksWith(sysBlock, dev, id, 2)
	if err != nil {
		return "", err
	}
	if len(names) > 1 {
		return "", fmt.Errorf("%s have one disk id, %08x: which of them the box was booted from is not known\nhint: they were flashed with the same release; unplug the other one", strings.Join(names, " and "), id)
	}
	return names[0], nil
}

// disksWith lists the disks that have the given id, one at least. After most it
// looks no further: the next one may be a disk that does not answer.
func disksWith(sysBlock, dev string, id uint32, most int) ([]string, error) {
	entries, err := os.ReadDir(sysBlock)
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	var names, seen []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "loop") || strings.HasPrefix(name, "ram") || strings.HasPrefix(name, "zram") {
			continue
		}
		seen = append(seen, name)
		if have, err := diskID(filepath.Join(dev, name)); err == nil && have == id {
			if names = append(names, name); len(names) == most {
				break
			}
		}
	}
	switch {
	case len(names) > 0:
		return names, nil
	case len(seen) == 0:
		return nil, fmt.Errorf("no disk with id %08x: the box has no disk", id)
	}
	return nil, fmt.Errorf("no disk with id %08x; the box has %s", id, strings.Join(seen, ", "))
}

// FindPartition looks for partition n of the disk whose MBR has the given id, e.g.
// "/dev/sda4"; of several disks it takes the first.
func FindPartition(sysBlock, dev string, id uint32, n int) (string, error) {
	names, err := disksWith(sysBlock, dev, id, 1)
	if err != nil {
		return "", err
	}
	name := names[0]
	part := partition(name, n)
	if _, err := os.Stat(filepath.Join(sysBlock, name, part)); err != nil {
		return "", fmt.Errorf("disk %s has no partition %d", name, n)
	}
	return filepath.Join(dev, part), nil
}

// diskID reads the disk id of an MBR: bytes 440 to 443, little endian.
func diskID(path string) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var mbr [sector]byte
	if _, err := io.ReadFull(f, mbr[:]); err != nil {
		return 0, err
	}
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return 0, fmt.Errorf("%s: no MBR", path)
	}
	return binary.LittleEndian.Uint32(mbr[440:]), nil
}

// partition follows the kernel: sda4, vda4, but mmcblk0p4, nvme0n1p4.
func partition(disk string, n int) string {
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		return fmt.Sprintf("%sp%d", disk, n)
	}
	return fmt.Sprintf("%s%d", disk, n)
}
