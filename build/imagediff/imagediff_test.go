package imagediff

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
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
			"slot a: initrd: ", "slot a: initrd: bin/tenchd: first different at byte 13 of 14", "slot a: slot.sum: ", "slot b: differs as slot a does"}},
		"file more in the root": {func(p *parts) { p.root["etc/more"] = "x" }, []string{"slot a: initrd: ",
			"slot a: initrd: etc/more: only in the second image (mode 100755, owner 0:0, time 0, 1 bytes)", "slot a: slot.sum: ", "slot b: differs"}},
		"kernel option": {func(p *parts) { p.config = "CONFIG_A=y\nCONFIG_C=y\n" }, []string{
			"slot a: slot.sum: ", "slot a: vmlinuz: ", "slot a: vmlinuz: .config: first different at byte 18 of 22", "slot b: differs"}},
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
		"boot code":          {100, "x", []string{"loader: first different at byte 100 of the image"}},
		"gap":                {5000, "x", []string{"loader: first different at byte 5000 of the image"}},
		"CHS of a partition": {tableAt + 1, "x", []string{"partition table: partition 1: first different at byte 447 of the image"}},
		"free sector":        {boot + 60*mib, "x", []string{"boot: first different at byte 62914560 of the partition, 63963136 of the image, in no file: all files are equal"}},
		"one slot alone":     {slotB + 15*mib, "x", []string{"slot b: first different at byte 15728640 of the partition, 101711872 of the image, in no file: all files are equal"}},
		"no FAT any more":    {slotA + 510, "\x00\x00", []string{"slot a: first different at byte 510 of the partition, 69206526 of the image; its files in the second image: no FAT16 or FAT32: its boot sector is none of a FAT with 512-byte sectors"}},
		"no ext4 any more":   {data + 1024 + 56, "\x00\x00", []string{"data: first different at byte 1080 of the partition, 102761528 of the image; its files in the second image: no FAT16 or FAT32: its boot sector is none of a FAT with 512-byte sectors"}},
		"ext4's free bytes":  {data + 15*mib, "x", []string{"data: first different at byte 15728640 of the partition, 118489088 of the image, in no file: all files are equal"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, lines(t, one, change(t, one, tc.at, tc.data))); diff != "" {
				t.Errorf("Compare (-want +got):\n%s", diff)
			}
		})
	}
}

// "Equal" must be true of every byte, those of no partition as well.
func TestCompareBytesOfNoPartition(t *testing.T) {
	dir := t.TempDir()
	image := make([]byte, 16*sector)
	copy(image[510:], "\x55\xaa")
	// One partition, at sectors 4 to 7.
	copy(image[tableAt+8:], "\x04\x00\x00\x00\x04\x00\x00\x00")
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, at("one"), image)
	for name, offset := range map[string]int64{"behind": 9 * sector, "last": 16*sector - 1} {
		want := []string{fmt.Sprintf("no partition: first different at byte %d of the image", offset)}
		if diff := cmp.Diff(want, lines(t, at("one"), change(t, at("one"), offset, "x"))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	put(t, at("longer"), append(image, 0))
	if diff := cmp.Diff([]string{"image: 8192 -> 8193 bytes"}, lines(t, at("one"), at("longer"))); diff != "" {
		t.Errorf("longer (-want +got):\n%s", diff)
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

// An image has gigabytes: one who is killed meanwhile leaves none of it.
func TestUnpackedImageHasNoName(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	packed := readerFunc(func([]byte) (int, error) {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("while it is unpacked there is %v, %v", left, err)
		}
		return 0, io.EOF
	})
	if f, err := unpacked(packed); err == nil {
		f.Close()
	}
}

type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(b []byte) (int, error) { return r(b) }

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
