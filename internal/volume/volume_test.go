package volume

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const mib = 1 << 20

// What is on a disk, by the tools that make it; as a partition, too.
func TestAtAsOthersMakeIt(t *testing.T) {
	for want, args := range map[string][]string{
		"ext DATEN":   {"mke2fs", "-q", "-F", "-t", "ext4", "-L", "DATEN"},
		"FAT16 DATEN": {"mkfs.vfat", "-F", "16", "-n", "DATEN"},
		"FAT32 DATEN": {"mkfs.vfat", "-F", "32", "-n", "DATEN"},
		"swap DATEN":  {"mkswap", "-q", "-L", "DATEN"},
		" ":           {"true"},
	} {
		t.Run(want, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "part")
			if err := os.WriteFile(path, make([]byte, 40*mib), 0o600); err != nil {
				t.Fatal(err)
			}
			tool(t, args[0], append(args[1:], path)...)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int64{0, mib} {
				disk := append(make([]byte, at), data...)
				kind, label := At(bytes.NewReader(disk), at)
				if got := kind + " " + label; got != want {
					t.Errorf("At(%d) = %q, want %q", at, got, want)
				}
			}
		})
	}
}

// tool runs a program of Debian, which may be where only root looks.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	path := name
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			path = filepath.Join(dir, name)
			break
		}
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v (apt-get install dosfstools e2fsprogs util-linux)\n%s", path, args, err, out)
	}
}

func TestAt(t *testing.T) {
	put := func(at int, text string) []byte { return append(make([]byte, at, at+256), text...) }
	long := func(b []byte) []byte { return append(b, make([]byte, 256)...) }
	for name, tc := range map[string]struct {
		disk []byte
		want string
	}{
		"nothing":             {make([]byte, 4096), " "},
		"shorter than a look": {make([]byte, 1), " "},
		"RAID of Linux":       {long(put(4096, "\xfc\x4e\x2b\xa9")), "RAID "},
		"UFS2, little endian": {put(64<<10+1372, "\x19\x01\x54\x19"), "UFS "},
		"a label of a BSD":    {put(512, "\x57\x45\x56\x82"), "BSD label "},
		"LVM":                 {put(512, "LABELONE"), "LVM "},
		"a nasty label":       {append(put(1080, "\x53\xef"), long(put(62, "\x1b[2J \xffx\x00y"))...), "ext [2J x"},
		"cut in its label":    {put(1080, "\x53\xef"), "ext "},
	} {
		t.Run(name, func(t *testing.T) {
			kind, label := At(bytes.NewReader(tc.disk), 0)
			if got := kind + " " + label; got != tc.want {
				t.Errorf("At = %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzAt reads what may be on any disk.
func FuzzAt(f *testing.F) {
	f.Add([]byte("LUKS\xba\xbe"), int64(0))
	f.Add(append(make([]byte, 1080), "\x53\xef"...), int64(0))
	f.Add(make([]byte, 70<<10), int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, at int64) {
		kind, label := At(bytes.NewReader(data), at)
		moves := func(r rune) bool { return r < ' ' || r >= 0x7f }
		if kind == "" && label != "" || strings.ContainsFunc(label, moves) {
			t.Errorf("At = %q, %q", kind, label)
		}
	})
}
