package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
)

// testBoard is a small board.
func testBoard() boards.Board {
	return boards.Board{
		Name: "qemu-amd64", Title: "a test",
		RAMMiB:   256,
		Arch:     boards.Arch{Name: "amd64", EFIBoot: "BOOTX64.EFI", GRUBEFI: "x86_64-efi"},
		Console:  boards.Console{Device: "ttyS0", Speed: 115200},
		Firmware: []string{"bios", "uefi"},
		Kernel:   boards.Kernel{Args: []string{"net.ifnames=0"}},
		Layout:   boards.Layout{BootMiB: 65, SlotMiB: 16, DataMiB: 16},
	}
}

func testIdentity() Identity {
	return Identity{Seed: "2026.11/qemu-amd64", Release: "2026.11",
		Epoch: time.Date(2026, 11, 21, 9, 30, 10, 0, time.UTC)}
}

func testData() []DataFile {
	return []DataFile{
		{Path: "config/current", Mode: 0o644, Content: []byte("1\n")},
		{Path: "config/1/router.toml", Mode: 0o600, Content: bytes.Repeat([]byte("# router\n"), 1000)},
		{Path: "state", Mode: fs.ModeDir | 0o755},
		{Path: "identity", Mode: fs.ModeDir | 0o700},
	}
}

// tool runs a program that a test cannot do without and returns what it wrote.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := findTool(name)
	if err != nil {
		t.Fatalf("%s is needed: apt-get install dosfstools e2fsprogs mtools fdisk gdisk grub-common grub-pc-bin grub-efi-amd64-bin file", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC", "MTOOLS_SKIP_CHECK=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

func write(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// testInitrd is 2 MB of which no two places are alike.
func testInitrd() []byte {
	var b []byte
	for i := range 125_000 {
		b = fmt.Appendf(b, "initramfs %06d", i)
	}
	return b
}

// makeImage builds a whole image below dir with a kernel and an initramfs that
// the test can recognise.
func makeImage(t *testing.T, dir string, b boards.Board, id Identity) Image {
	t.Helper()
	ctx := context.Background()
	vmlinuz := write(t, filepath.Join(dir, "bzImage"), testKernel())
	initrd := write(t, filepath.Join(dir, "cpio"), testInitrd())
	grub, err := BuildGRUB(ctx, b, GRUBParts{Tools: "/", BIOS: "/", EFI: "/"}, dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	parts := Parts{GRUB: grub, Slot: filepath.Join(dir, "slot.img"), Data: filepath.Join(dir, "data.img")}
	if err := Slot(b, vmlinuz, initrd, id, parts.Slot); err != nil {
		t.Fatal(err)
	}
	if err := Data(ctx, b, testData(), id, parts.Data, io.Discard); err != nil {
		t.Fatal(err)
	}
	img, err := Assemble(b, parts, id, filepath.Join(dir, "tench.img"))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// cut copies partition n of an image into a file of its own.
func cut(t *testing.T, img Image, n int) string {
	t.Helper()
	f, err := os.Open(img.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := img.Partitions[n-1]
	data, err := io.ReadAll(io.NewSectionReader(f, p.Start, p.Size))
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(t.TempDir(), fmt.Sprintf("p%d", n)), data)
}

func TestPartitionTableAsSfdiskReadsIt(t *testing.T) {
	img := makeImage(t, t.TempDir(), testBoard(), testIdentity())
	if out := tool(t, "sfdisk", "-V", img.Path); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk -V: %s", out)
	}
	type partition struct {
		Start, Size int64
		Type        string
		Bootable    bool
	}
	var got struct {
		PartitionTable struct {
			Label, ID  string
			Partitions []partition
		}
	}
	if err := json.Unmarshal([]byte(tool(t, "sfdisk", "--json", img.Path)), &got); err != nil {
		t.Fatal(err)
	}
	want := got
	want.PartitionTable.Label = "dos"
	want.PartitionTable.ID = fmt.Sprintf("0x%08x", testIdentity().DiskID())
	want.PartitionTable.Partitions = []partition{
		{2048, 65 * 2048, "ef", true},
		{66 * 2048, 16 * 2048, "e", false},
		{82 * 2048, 16 * 2048, "e", false},
		{98 * 2048, 16 * 2048, "83", false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sfdisk --json (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(img.Path); err != nil || info.Size() != 114*mib || img.Size != 114*mib {
		t.Errorf("image has %d bytes, Image.Size %d; want %d (%v)", info.Size(), img.Size, 114*mib, err)
	}
	if kind := tool(t, "file", "-b", img.Path); !strings.Contains(kind, "DOS/MBR boot sector") {
		t.Errorf("file says %q", kind)
	}
}

func TestFirstSectors(t *testing.T) {
	dir := t.TempDir()
	img := makeImage(t, dir, testBoard(), testIdentity())
	data, err := os.ReadFile(img.Path)
	if err != nil {
		t.Fatal(err)
	}
	if got := data[0x66:0x68]; !bytes.Equal(got, []byte{0x90, 0x90}) {
		t.Errorf("bytes 0x66 and 0x67 are %x, want 9090", got)
	}
	if id := binary.LittleEndian.Uint32(data[440:]); id == 0 || id != img.DiskID {
		t.Errorf("disk id is %08x, want %08x and not 0", id, img.DiskID)
	}
	for i := range 4 {
		entry := data[446+16*i:]
		if !bytes.Equal(entry[1:4], []byte{0xfe, 0xff, 0xff}) || !bytes.Equal(entry[5:8], []byte{0xfe, 0xff, 0xff}) {
			t.Errorf("partition %d: CHS is %x and %x, want feffff", i+1, entry[1:4], entry[5:8])
		}
	}
	core, err := os.ReadFile(filepath.Join(dir, "core.img"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data[512:512+len(core)], core) {
		t.Error("core.img does not lie at LBA 1")
	}
}

func TestBootPartition(t *testing.T) {
	dir := t.TempDir()
	img := makeImage(t, dir, testBoard(), testIdentity())
	p1 := cut(t, img, 1)
	checkFAT(t, p1)
	grubenv := filepath.Join(t.TempDir(), "grubenv")
	tool(t, "mcopy", "-i", p1, "::grubenv", grubenv)
	if info, err := os.Stat(grubenv); err != nil || info.Size() != 1024 {
		t.Errorf("grubenv: size %d, want 1024 (%v)", info.Size(), err)
	}
	if diff := cmp.Diff("slot=a\ngood=a\npending=0\ntries=0\n", tool(t, "grub-editenv", grubenv, "list")); diff != "" {
		t.Errorf("grub-editenv list (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(readFile(t, filepath.Join(dir, "BOOTX64.EFI")), copyOut(t, p1, "EFI/BOOT/BOOTX64.EFI")); diff != "" {
		t.Error("EFI/BOOT/BOOTX64.EFI is not what grub-mkimage made")
	}
	cfg := copyOut(t, p1, "boot/grub/grub.cfg")
	if want := fmt.Sprintf("tench.disk=%08x", img.DiskID); !bytes.Contains(cfg, []byte(want)) {
		t.Errorf("grub.cfg lacks %s", want)
	}
	if list := tool(t, "mdir", "-/", "-i", p1, "::"); strings.Count(list, "2026-11-21   9:30") != 16 {
		t.Errorf("not every entry has the epoch's time:\n%s", list)
	}
	if used := tool(t, "mshowfat", "-i", p1, "::grubenv"); strings.Contains(used, ",") {
		t.Errorf("grubenv lies in several runs of clusters: %s", used)
	}
}

// checkFAT has fsck.vfat read a file system: it must find nothing to say.
func checkFAT(t *testing.T, path string) {
	t.Helper()
	out := tool(t, "fsck.vfat", "-n", "-v", path)
	for _, bad := range []string{"Reclaimed", "rong", "iffer", "ninitialized", "irty", "nvalid", "ad ", "hould be"} {
		if strings.Contains(out, bad) {
			t.Errorf("fsck.vfat -n %s:\n%s", path, out)
		}
	}
	if s := tool(t, "file", "-b", path); strings.Contains(s, "serial number 0x0,") || !strings.Contains(s, "serial number 0x") {
		t.Errorf("file %s: no serial number: %s", path, s)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// copyOut reads a file of a FAT with mtools.
func copyOut(t *testing.T, volume, name string) []byte {
	t.Helper()
	to := filepath.Join(t.TempDir(), "file")
	tool(t, "mcopy", "-i", volume, "::"+name, to)
	return readFile(t, to)
}

func TestSlotsAsGRUBReadsThem(t *testing.T) {
	dir := t.TempDir()
	img := makeImage(t, dir, testBoard(), testIdentity())
	for n := 2; n <= 3; n++ {
		p := cut(t, img, n)
		checkFAT(t, p)
		for name, file := range map[string]string{"vmlinuz": "bzImage", "initrd": "cpio"} {
			want := filepath.Join(dir, file)
			if got := copyOut(t, p, name); !bytes.Equal(got, readFile(t, want)) {
				t.Errorf("partition %d: mtools reads another %s than was put in", n, name)
			}
			tool(t, "grub-fstest", img.Path, "cmp", fmt.Sprintf("(loop0,msdos%d)/%s", n, name), want)
		}
		checkSums(t, p)
		env := write(t, filepath.Join(t.TempDir(), "env"), copyOut(t, p, "slot.env"))
		want := "board=qemu-amd64\nrelease=2026.11\n" + fmt.Sprintf("epoch=%d\n", testIdentity().Epoch.Unix()) + "sums=slot.sum\n" +
			"args=console=ttyS0,115200 loglevel=4 panic=10 usb-storage.delay_use=0 memmap=256K$128M ramoops.mem_address=0x8000000 ramoops.mem_size=0x40000 ramoops.record_size=0x10000 ramoops.console_size=0x10000 net.ifnames=0\n"
		got, places, _ := strings.Cut(tool(t, "grub-editenv", env, "list"), "kernel=")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("slot.env of partition %d (-want +got):\n%s", n, diff)
		}
		kernel, ramfs, _ := strings.Cut(strings.TrimSpace(places), "\nramfs=")
		for blocks, file := range map[string]string{kernel: "bzImage", ramfs: "cpio"} {
			read := tool(t, "grub-fstest", img.Path, "cat", fmt.Sprintf("(loop0,msdos%d)%s", n, blocks))
			content := string(readFile(t, filepath.Join(dir, file)))
			if padding, ok := strings.CutPrefix(read, content); !ok || len(padding) >= sector || strings.Trim(padding, "\x00") != "" {
				t.Errorf("partition %d: GRUB reads something else than %s at blocks %q", n, file, blocks)
			}
		}
	}
}

// checkSums has sha256sum check what slot.sum says of the files beside it.
func checkSums(t *testing.T, slot string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"slot.sum", "vmlinuz", "initrd"} {
		write(t, filepath.Join(dir, name), copyOut(t, slot, name))
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "slot.sum")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "vmlinuz: OK\ninitrd: OK\n" {
		t.Errorf("sha256sum --check slot.sum: %v\n%s", err, out)
	}
}

func TestDataPartitionAsE2fsckReadsIt(t *testing.T) {
	img := makeImage(t, t.TempDir(), testBoard(), testIdentity())
	p4 := cut(t, img, 4)
	tool(t, "e2fsck", "-f", "-n", p4)
	head := tool(t, "dumpe2fs", "-h", p4)
	for _, want := range []string{"has_journal", "TENCH_DATA", "Sat Nov 21 09:30:10 2026", testIdentity().uuid("p4")} {
		if !strings.Contains(head, want) {
			t.Errorf("dumpe2fs -h: %q is missing:\n%s", want, head)
		}
	}
	stat := func(path string) string { return tool(t, "debugfs", "-R", "stat "+path, p4) }
	for path, mode := range map[string]string{"/config": "0755", "/config/current": "0644",
		"/config/1/router.toml": "0600", "/state": "0755", "/identity": "0700"} {
		out := stat(path)
		for _, want := range []string{"Mode:  " + mode, "User:     0   Group:     0", "crtime: 0x", "Sat Nov 21 09:30:10 2026"} {
			if !strings.Contains(out, want) {
				t.Errorf("debugfs stat %s: %q is missing:\n%s", path, want, out)
			}
		}
	}
	to := filepath.Join(t.TempDir(), "router.toml")
	tool(t, "debugfs", "-R", "dump /config/1/router.toml "+to, p4)
	if diff := cmp.Diff(testData()[1].Content, readFile(t, to)); diff != "" {
		t.Errorf("router.toml (-want +got):\n%s", diff)
	}
}

// TestSameBytes builds in two folders, with other file modes and times, and
// half of it in another time zone.
func TestSameBytes(t *testing.T) {
	one := makeImage(t, t.TempDir(), testBoard(), testIdentity())
	t.Setenv("TZ", "Pacific/Auckland")
	t.Setenv("MKE2FS_CONFIG", "/nonexistent")
	dir := filepath.Join(t.TempDir(), "another folder")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	two := makeImage(t, dir, testBoard(), testIdentity())
	if sum(t, one.Path) != sum(t, two.Path) {
		t.Error(tool(t, "sh", "-c", "cmp -l "+one.Path+" '"+two.Path+"' | head -40"))
	}
	id := testIdentity()
	id.Seed = "2026.12/qemu-amd64"
	other := makeImage(t, t.TempDir(), testBoard(), id)
	if one.DiskID == other.DiskID || sum(t, one.Path) == sum(t, other.Path) {
		t.Error("another seed gives the same ids")
	}
}

func sum(t *testing.T, path string) [32]byte {
	t.Helper()
	return sha256.Sum256(readFile(t, path))
}

// TestFATSizes makes volumes at and beside every step of the cluster size;
// TENCH_SWEEP=yes takes all sizes that board.toml admits, which takes minutes.
func TestFATSizes(t *testing.T) {
	sizes := map[fatType][]int{
		32: {65, 66, 96, 127, 128},
		16: {16, 17, 31, 32, 33, 64, 127, 128, 129, 255, 256, 257, 511, 512},
	}
	if os.Getenv("TENCH_SWEEP") == "yes" {
		sizes = map[fatType][]int{32: span(65, 128), 16: span(16, 512)}
	}
	for fat, list := range sizes {
		for _, size := range list {
			t.Run(fmt.Sprintf("FAT%d of %d MiB", fat, size), func(t *testing.T) {
				tryFAT(t, fat, size)
			})
		}
	}
}

func span(from, to int) []int {
	var list []int
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

func tryFAT(t *testing.T, fat fatType, size int) {
	path := filepath.Join(t.TempDir(), "volume")
	f, err := newFile(path, int64(size)*mib)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Cleanup()
	// Small volumes are filled nearly to the brim.
	big := bytes.Repeat([]byte("0123456789abcdef"), min(size-1, 100)*mib/16*61/64)
	files := []fatFile{{"grubenv", make([]byte, 1024)}, {"big", big}}
	if fat == 32 {
		files = append(files, fatFile{"a/b/long file name.config", []byte("x")}, fatFile{"a/other", []byte("y")})
	}
	v := volume{fat: fat, sizeMiB: size, key: "layout.x", label: "LABEL", serial: 0x1234abcd, epoch: testIdentity().Epoch, files: files}
	if err := v.write(f.File); err != nil {
		t.Fatal(err)
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		t.Fatal(err)
	}
	checkFAT(t, path)
	for _, file := range files {
		if got := copyOut(t, path, file.path); !bytes.Equal(got, file.data) {
			t.Errorf("%s: mtools reads %d bytes, want %d or others", file.path, len(got), len(file.data))
		}
	}
}

// arm64's kernel takes the words of its configuration only without a boot loader's.
func TestKernelArgsOfARM64(t *testing.T) {
	b := testBoard()
	b.Arch.Name = "arm64"
	if got := strings.Join(KernelArgs(b), " "); !strings.Contains(got, " bonding.max_bonds=0 ") {
		t.Errorf("KernelArgs = %q, want that no device is made that nobody asked for", got)
	}
}
