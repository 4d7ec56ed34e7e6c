package imagediff

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"testing"
)

func TestInitrdThatIsNone(t *testing.T) {
	good := archive(t, map[string]string{"a": "text"})
	set := func(at int, text string) []byte {
		b := bytes.Clone(good)
		copy(b[at:], text)
		return packZstd(t, b)
	}
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"empty":        {packZstd(t, nil), "cpio: no entry at byte 0"},
		"neither":      {[]byte("text"), "zstd: invalid input: magic number mismatch"},
		"rubbish next": {append(bytes.Clone(good), "text"...), "zstd: invalid input: magic number mismatch"},
		"twice":        {append(bytes.Clone(good), packZstd(t, good)...), "cpio: /a is there twice"},
		"cut":          {packZstd(t, good[:60]), "cpio: no entry at byte 0"},
		"giant file":   {set(newcSizeAt, "ffffffff"), "cpio: entry at byte 0: a name of 2 and 4294967295 bytes lead out of the archive"},
		"giant name":   {set(newcNameAt, "ffffffff"), "cpio: entry at byte 0: a name of 4294967295 and 4 bytes lead out of the archive"},
		"no number":    {set(newcNameAt, "xxxxxxxx"), "cpio: entry at byte 0: encoding/hex: invalid byte: U+0078 'x'"},
		"no trailer":   {packZstd(t, good[:116]), "cpio: no entry at byte 116"},
		"other format": {set(0, "070707"), "cpio: no entry at byte 0"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := initrdTree(tc.data); err == nil || err.Error() != tc.want {
				t.Errorf("initrdTree = %v, want %s", err, tc.want)
			}
		})
	}
}

func TestKernelWithoutConfiguration(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing":    nil,
		"no zstd":    []byte("MZ\x00\x00"),
		"mark alone": []byte("IKCFG_ST"),
		"many false": bytes.Repeat(zstdMagic, 1000),
	} {
		if got, err := kernelConfig(data); err == nil {
			t.Errorf("kernelConfig of %s = %q", name, got)
		}
	}
}

func FuzzPartitionTable(f *testing.F) {
	mbr := make([]byte, sector)
	copy(mbr[510:], "\x55\xaa")
	f.Add(mbr, int64(1<<20))
	entries := bytes.Clone(mbr)
	copy(entries[tableAt+4:], "\x0c\xff\xff\xff\x01\x00\x00\x00\x02\x00\x00\x00")
	f.Add(entries, int64(1<<20))
	f.Fuzz(func(t *testing.T, mbr []byte, size int64) {
		if len(mbr) != sector || size < 0 {
			return
		}
		parts, err := parseTable(mbr, size)
		if err != nil {
			return
		}
		for _, p := range parts {
			if p.start < 0 || p.size < 0 || p.start+p.size > size {
				t.Errorf("%s is not within %d bytes", p, size)
			}
		}
	})
}

// smallFAT is the start of a FAT16 with 4085 clusters of one sector.
func smallFAT() []byte {
	b := make([]byte, 20*sector)
	copy(b[11:], "\x00\x02\x01\x01\x00\x01\x10\x00\x16\x10\xf8\x10\x00")
	copy(b[510:], "\x55\xaa")
	copy(b[1*sector:], "\xf8\xff\xff\xff\xff\xff\xff\xff")
	root := b[17*sector:]
	copy(root, "LABEL      \x08")
	copy(root[32:], "DIR        \x10")
	root[32+26] = 2
	copy(root[64:], "FILE    TXT\x20\x18")
	root[64+26], root[64+28] = 3, 5
	copy(b[19*sector:], "hello")
	return b
}

// sparse begins with some bytes; zeros follow.
type sparse []byte

func (s sparse) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	if at < int64(len(s)) {
		copy(b, s[at:])
	}
	return len(b), nil
}

// volume is a FAT of 4 MiB that begins with b.
func volume(b []byte) *io.SectionReader { return io.NewSectionReader(sparse(b), 0, 4<<20) }

func TestFATThatIsDamaged(t *testing.T) {
	files, err := fatTree(volume(smallFAT()))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := files["file.txt"].read(); string(data) != "hello" || err != nil || len(files) != 3 {
		t.Errorf("file.txt = %q, %v of %d entries", data, err, len(files))
	}
	for name, tc := range map[string]struct {
		at   int
		data string
		want string
	}{
		"chain is a ring":     {1*sector + 2*2, "\x02\x00", "damaged FAT: folder \"DIR\": it is larger than 2 MiB, or its clusters are a ring"},
		"folder in itself":    {18 * sector, "SUB        \x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00", `damaged FAT: folder "DIR/SUB" is in a ring`},
		"file is too large":   {17*sector + 64 + 28, "\xff\xff\xff\xff", "its 4294967295 bytes are more than there is room for"},
		"file is longer":      {17*sector + 64 + 28, "\xff\xff\x00\x00", "its clusters hold 512 of 65535 bytes"},
		"no room":             {19, "\xff\xff", "no FAT16 or FAT32: its 65535 sectors do not fit"},
		"large tables":        {22, "\xff\xff", "no FAT16 or FAT32: its 4118 sectors do not fit"},
		"large tables, FAT32": {17, "\x00\x00\x16\x10\xf8\x00\x00", "no FAT16 or FAT32: its 4118 sectors do not fit"},
		"few clusters":        {19, "\xff\x00", "no FAT16 or FAT32: 237 clusters are few enough for a FAT12"},
		"a name twice":        {17*sector + 32, "FILE    TXT\x20\x18", `damaged FAT: "file.txt" is there twice`},
	} {
		t.Run(name, func(t *testing.T) {
			b := smallFAT()
			copy(b[tc.at:], tc.data)
			if strings.Contains(name, "FAT32") {
				copy(b[36:], "\xff\xff\xff\xff")
			}
			files, err := fatTree(volume(b))
			if err == nil {
				_, err = files["file.txt"].read()
			}
			if err == nil || err.Error() != tc.want {
				t.Errorf("fatTree = %v, want %s", err, tc.want)
			}
		})
	}
}

func TestTreeThatFillsTheMemory(t *testing.T) {
	if err := (tree{}).room(strings.Repeat("x/", 2048)); err != nil {
		t.Errorf("room for a path of 4096 bytes: %v", err)
	}
	if err := (tree{}).room(strings.Repeat("x/", 2049)); err == nil {
		t.Error("room for a path of 4098 bytes")
	}
	full := tree{}
	for i := range maxEntries {
		full[strconv.Itoa(i)] = entry{}
	}
	if err := full.room("x"); err == nil {
		t.Errorf("room for an entry more than %d", maxEntries)
	}
}

func FuzzFAT(f *testing.F) {
	f.Add(smallFAT())
	wide := smallFAT()
	copy(wide[17:], "\x00\x00\x00\x00\xf8\x00\x00")
	copy(wide[32:], "\x16\x10\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00")
	f.Add(wide)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		files, err := fatTree(volume(b))
		if err != nil {
			return
		}
		for path, e := range files {
			if e.read == nil {
				continue
			}
			if data, err := e.read(); err == nil && int64(len(data)) != e.size {
				t.Errorf("%s has %d bytes, and %d are read", path, e.size, len(data))
			}
		}
	})
}

func FuzzInitrd(f *testing.F) {
	f.Add(archive(f, map[string]string{"a": "text", "b": ""}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := checkNewc(data); err == nil {
			_, _ = initrdTree(packZstd(t, data)) // must come back
		}
	})
}
