package imagediff

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"tench/boards"
	"tench/build/disk"
)

// parts are what a test's image is made of.
type parts struct {
	config string            // of the kernel
	root   map[string]string // files of the initramfs
	router string            // router.toml of the data partition
	board  boards.Board
	id     disk.Identity
}

func usual() parts {
	return parts{
		config: "CONFIG_A=y\nCONFIG_B=y\n",
		root:   map[string]string{"bin/tenchd": "\x7fELF tenchd\x00 1", "etc/motd": "hello\n"},
		router: "# router\n",
		board: boards.Board{
			Name: "small", Title: "a test", Arch: boards.Arch{Name: "amd64", EFIBoot: "BOOTX64.EFI"},
			Console: boards.Console{Device: "ttyS0", Speed: 115200},
			Layout:  boards.Layout{BootMiB: 65, SlotMiB: 16, DataMiB: 16},
		},
		id: disk.Identity{Seed: "1/small", Release: "1", Epoch: time.Date(2026, 11, 21, 9, 30, 10, 0, time.UTC)},
	}
}

func packZstd(t testing.TB, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

func archive(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var records []cpio.Record
	for _, name := range slices.Sorted(maps.Keys(files)) {
		records = append(records, cpio.StaticFile(name, files[name], 0o755))
	}
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	if err := cpio.WriteRecords(w, records); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// kernel has a configuration in it as Linux puts it there, behind code with a
// false start of a zstd.
func kernel(t testing.TB, config string) []byte {
	t.Helper()
	var z bytes.Buffer
	g := gzip.NewWriter(&z)
	if _, err := io.WriteString(g, config); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	plain := bytes.Join([][]byte{[]byte("code IKCFG_ST"), z.Bytes(), []byte("IKCFG_ED more code")}, nil)
	head := append([]byte("MZ code"), zstdMagic...)
	return bytes.Join([][]byte{head, packZstd(t, plain), []byte("what follows")}, nil)
}

// make writes the image.
func (p parts) make(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, at("vmlinuz"), kernel(t, p.config))
	put(t, at("initrd"), packZstd(t, archive(t, p.root)))
	if err := disk.Slot(p.board, at("vmlinuz"), at("initrd"), p.id, at("slot")); err != nil {
		t.Fatal(err)
	}
	data := []disk.DataFile{{Path: "config/1/router.toml", Mode: 0o600, Content: []byte(p.router)}}
	if err := disk.Data(context.Background(), p.board, data, p.id, at("data"), io.Discard); err != nil {
		t.Fatal(err)
	}
	img, err := disk.Assemble(p.board, disk.Parts{Slot: at("slot"), Data: at("data")}, p.id, at("image"))
	if err != nil {
		t.Fatal(err)
	}
	return img.Path
}

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// change writes into a copy of an image.
func change(t testing.TB, path string, at int64, data string) string {
	t.Helper()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(image[at:], data)
	to := filepath.Join(t.TempDir(), "changed")
	put(t, to, image)
	return to
}

// lines is what Compare says, one difference a line, without unified diffs.
func lines(t testing.TB, one, two string) []string {
	t.Helper()
	list, err := Compare(context.Background(), one, two)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, d := range list {
		all = append(all, d.String())
	}
	return all
}

func TestCompareImagesOfOtherParts(t *testing.T) {
	one := usual().make(t)
	for name, tc := range map[string]struct {
		change func(p *parts)
		want   []string // beginnings of the lines
	}{
		"equal": {func(p *parts) {}, nil},
		"router.toml": {func(p *parts) { p.router = "# another\n" },
			[]string{"data: config/1/router.toml: 9 -> 10 bytes, first different at byte 2"}},
		"program in the root": {func(p *parts) { p.root["bin/tenchd"] = "\x7fELF tenchd\x00 2" }, []string{
			"slot a: initrd: ", "slot a: initrd: bin/tenchd: first different at byte 13 of 14", "slot b: differs as slot a does"}},
		"file more in the root": {func(p *parts) { p.root["etc/more"] = "x" }, []string{"slot a: initrd: ",
			"slot a: initrd: etc/more: only in the second image (mode 100755, owner 0:0, time 0, 1 bytes)", "slot b: differs"}},
		"kernel option": {func(p *parts) { p.config = "CONFIG_A=y\nCONFIG_C=y\n" }, []string{
			"slot a: vmlinuz: ", "slot a: vmlinuz: .config: first different at byte 18 of 22", "slot b: differs"}},
		"release": {func(p *parts) { p.id.Release = "2" }, []string{
			"boot: README.TXT: first different at byte 68 of ", "slot a: slot.env: first different at byte 45 of 1024", "slot b: differs"}},
		"layout": {func(p *parts) { p.board.Layout.DataMiB = 17 }, []string{"image: 119537664 -> 120586240 bytes",
			"partition table: partition 4: type 83 at sector 200704, 32768 sectors -> type 83 at sector 200704, 34816 sectors",
			"data: first different at byte "}},
		"disk id": {func(p *parts) { p.id.Seed = "2/small" }, []string{"partition table: disk id ", "boot: boot/grub/grub.cfg: ",
			"slot a: first different at byte 39 of the partition, 69206055 of the image, in no file: all files are equal", "slot b: differs", "data: "}},
	} {
		t.Run(name, func(t *testing.T) {
			p := usual()
			tc.change(&p)
			got := lines(t, one, p.make(t))
			for i := range min(len(got), len(tc.want)) {
				if strings.HasPrefix(got[i], tc.want[i]) {
					got[i] = tc.want[i]
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Compare (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompareShowsTexts(t *testing.T) {
	p := usual()
	p.config, p.root["etc/motd"] = "CONFIG_A=y\nCONFIG_C=y\n", "hallo\n"
	list, err := Compare(context.Background(), usual().make(t), p.make(t))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, d := range list {
		if d.Text != "" {
			texts[d.File] = d.Text
		}
	}
	for file, want := range map[string]string{
		"vmlinuz: .config": " CONFIG_A=y\n-CONFIG_B=y\n+CONFIG_C=y\n",
		"initrd: etc/motd": "-hello\n+hallo\n",
	} {
		if !strings.HasSuffix(texts[file], want) {
			t.Errorf("text of %s: %q, want one that ends with %q", file, texts[file], want)
		}
	}
	if len(texts["initrd: bin/tenchd"]) > 0 {
		t.Error("a program is shown as text")
	}
}

func TestCompareDamagedBytes(t *testing.T) {
	one := usual().make(t)
	const mib = 1 << 20
	const boot, slotA, slotB, data = 1 * mib, 66 * mib, 82 * mib, 98 * mib
	for name, tc := range map[string]struct {
		at   int64
		data string
		want []string
	}{
		"boot code":         {100, "x", []string{"loader: first different at byte 100 of the image"}},
		"gap":               {5000, "x", []string{"loader: first different at byte 5000 of the image"}},
		"free sector":       {boot + 60*mib, "x", []string{"boot: first different at byte 62914560 of the partition, 63963136 of the image, in no file: all files are equal"}},
		"one slot alone":    {slotB + 15*mib, "x", []string{"slot b: first different at byte 15728640 of the partition, 101711872 of the image, in no file: all files are equal"}},
		"no FAT any more":   {slotA + 510, "\x00\x00", []string{"slot a: first different at byte 510 of the partition, 69206526 of the image; its files in the second image: no FAT16 or FAT32: its boot sector is none of a FAT with 512-byte sectors"}},
		"no ext4 any more":  {data + 1024 + 56, "\x00\x00", []string{"data: first different at byte 1080 of the partition, 102761528 of the image; its files in the second image: no FAT16 or FAT32: its boot sector is none of a FAT with 512-byte sectors"}},
		"ext4's free bytes": {data + 15*mib, "x", []string{"data: first different at byte 15728640 of the partition, 118489088 of the image, in no file: all files are equal"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, lines(t, one, change(t, one, tc.at, tc.data))); diff != "" {
				t.Errorf("Compare (-want +got):\n%s", diff)
			}
		})
	}
}

func TestComparePackedImage(t *testing.T) {
	one := usual().make(t)
	image, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(t.TempDir(), "tench-small.img.zst")
	put(t, packed, packZstd(t, image))
	if got := lines(t, one, packed); got != nil {
		t.Errorf("Compare with the packed image = %q", got)
	}
	put(t, packed, packZstd(t, image)[:1000])
	if _, err := Compare(context.Background(), one, packed); err == nil || !strings.Contains(err.Error(), "unpack "+packed+": ") {
		t.Errorf("Compare with half a packed image = %v", err)
	}
}

func TestImageThatIsNone(t *testing.T) {
	one := usual().make(t)
	image, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	entry := func(n int, start, size string) func([]byte) {
		return func(b []byte) { copy(b[tableAt+n*entrySize+8:], start+size) }
	}
	for name, tc := range map[string]struct {
		size   int
		change func([]byte)
		want   string
	}{
		"empty":            {0, nil, "no image: it has 0 bytes, less than a sector"},
		"text":             {600, func(b []byte) { b[510] = 'x' }, "no partition table: sector 0 ends with aa78, not aa55"},
		"cut":              {70 << 20, nil, "partition 2: type 0e at sector 135168, 32768 sectors, is not within the image of 143360 sectors\nhint: was the file copied whole?"},
		"wild start":       {len(image), entry(0, "\xff\xff\xff\xff", "\xff\xff\xff\xff"), "partition 1: type ef at sector 4294967295, 4294967295 sectors, active, is not within the image of 233472 sectors\nhint: was the file copied whole?"},
		"in sector 0":      {len(image), entry(0, "\x00\x00\x00\x00", "\x01\x00\x00\x00"), "partition 1: type ef at sector 0, 1 sectors, active, is not within the image of 233472 sectors\nhint: was the file copied whole?"},
		"over another one": {len(image), entry(1, "\x00\x08\x00\x00", "\x01\x00\x00\x00"), "partition 2 lies over partition 1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := bytes.Clone(image[:tc.size])
			if tc.change != nil {
				tc.change(b)
			}
			bad := filepath.Join(t.TempDir(), "bad")
			put(t, bad, b)
			_, err := Compare(context.Background(), one, bad)
			if want := "diff: " + bad + ": " + tc.want; err == nil || err.Error() != want {
				t.Errorf("Compare = %v, want %s", err, want)
			}
		})
	}
}

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
		"not packed":   {good, "zstd: invalid input: magic number mismatch"},
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
		if checkNewc(data) == nil {
			_, _ = initrdTree(packZstd(t, data)) // must come back
		}
	})
}

func TestFirstDifference(t *testing.T) {
	long := make([]byte, 3<<20)
	rand.New(rand.NewSource(1)).Read(long)
	other := bytes.Clone(long)
	other[2<<20+7]++
	for name, tc := range map[string]struct {
		a, b []byte
		want int64
	}{
		"equal":              {long, bytes.Clone(long), -1},
		"empty":              {nil, nil, -1},
		"one is empty":       {nil, long, 0},
		"one byte":           {long, other, 2<<20 + 7},
		"one ends":           {long[:2<<20], long, 2 << 20},
		"one ends in a part": {long, long[:1<<20+5], 1<<20 + 5},
	} {
		got, err := firstDifference(bytes.NewReader(tc.a), bytes.NewReader(tc.b))
		if got != tc.want || err != nil {
			t.Errorf("%s: firstDifference = %d, %v, want %d", name, got, err, tc.want)
		}
	}
}
