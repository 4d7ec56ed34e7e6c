package slots

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// disk makes a file in dev that looks like a disk with an MBR, and its folder
// in sys.
func disk(t *testing.T, sys, dev, name string, id uint32, partitions ...string) {
	t.Helper()
	sector := make([]byte, 1024)
	binary.LittleEndian.PutUint32(sector[440:], id)
	sector[510], sector[511] = 0x55, 0xaa
	if err := os.WriteFile(filepath.Join(dev, name), sector, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(partitions, "queue") {
		if err := os.MkdirAll(filepath.Join(sys, name, p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// Two sticks of one release: nobody guesses which one to write to.
func TestOneDisk(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	disk(t, sys, dev, "sda", 7, "sda4")
	if got, err := oneDisk(sys, dev, 7); got != "sda" || err != nil {
		t.Errorf("oneDisk = %q, %v, want sda", got, err)
	}
	disk(t, sys, dev, "mmcblk0", 7, "mmcblk0p4")
	if got, err := oneDisk(sys, dev, 7); err == nil || !strings.Contains(err.Error(), "mmcblk0 and sda have one disk id") {
		t.Errorf("oneDisk = %q, %v, want that there are two", got, err)
	}
}

func TestFindPartition(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	if _, err := FindPartition(sys, dev, 1, 4); err == nil || !strings.Contains(err.Error(), "the box has no disk") {
		t.Errorf("without a disk: %v", err)
	}
	disk(t, sys, dev, "loop0", 0x1a2b3c4d, "loop0p4")
	disk(t, sys, dev, "sda", 0x11111111, "sda1")
	disk(t, sys, dev, "sdb", 0x1a2b3c4d, "sdb1", "sdb4")
	disk(t, sys, dev, "mmcblk0", 0x22222222, "mmcblk0p4")
	if err := os.WriteFile(filepath.Join(dev, "sr0"), nil, 0o600); err != nil { // a drive without a medium
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(sys, "sr0"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		id   uint32
		want string
		err  string
	}{
		{id: 0x1a2b3c4d, want: "sdb4"},
		{id: 0x22222222, want: "mmcblk0p4"},
		{id: 0x11111111, err: "disk sda has no partition 4"},
		{id: 0x99, err: "no disk with id 00000099; the box has mmcblk0, sda, sdb, sr0"},
	} {
		got, err := FindPartition(sys, dev, tc.id, 4)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("FindPartition(%08x) = %v; want %q", tc.id, err, tc.err)
			}
			continue
		}
		if err != nil || got != filepath.Join(dev, tc.want) {
			t.Errorf("FindPartition(%08x) = %q, %v; want %s", tc.id, got, err, tc.want)
		}
	}
}
