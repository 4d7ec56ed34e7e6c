package disk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBadInput also looks for files that a failed step leaves behind.
func TestBadInput(t *testing.T) {
	src := t.TempDir()
	vmlinuz := write(t, filepath.Join(src, "vmlinuz"), testKernel())
	initrd := write(t, filepath.Join(src, "initrd"), make([]byte, 20*mib))
	empty := write(t, filepath.Join(src, "empty"), nil)
	b, id := testBoard(), testIdentity()
	data := func(files ...DataFile) func(out string) error {
		return func(out string) error { return Data(context.Background(), b, files, id, out, io.Discard) }
	}
	tests := map[string]struct {
		make func(out string) error
		want string
	}{
		"initramfs larger than the slot": {
			func(out string) error { return Slot(b, vmlinuz, initrd, id, out) },
			"the files need 21 MiB, but layout.slot-mib is 16\nhint: set layout.slot-mib in board.toml to 21 or more",
		},
		"empty initramfs": {
			func(out string) error { return Slot(b, vmlinuz, empty, id, out) },
			"/initrd: the file is empty",
		},
		"no kernel": {
			func(out string) error { return Slot(b, filepath.Join(src, "nothing"), initrd, id, out) },
			"no such file or directory",
		},
		"release with a space": {
			func(out string) error {
				return Slot(b, vmlinuz, vmlinuz, Identity{Seed: "x", Release: "a b", Epoch: id.Epoch}, out)
			},
			`identity: release "a b": up to 64 of letters, digits and . _ + ~ - are allowed`,
		},
		"epoch before FAT's first year": {
			func(out string) error {
				return Slot(b, vmlinuz, vmlinuz, Identity{Seed: "x", Release: "1", Epoch: time.Unix(0, 0)}, out)
			},
			"epoch 1970-01-01T00:00:00Z: its year is not between 1980 and 2037",
		},
		"no seed": {
			func(out string) error { return Slot(b, vmlinuz, vmlinuz, Identity{Release: "1", Epoch: id.Epoch}, out) },
			"the seed is empty",
		},
		"kernel argument that GRUB would split or expand": {
			func(out string) error {
				b := b
				b.Kernel.Args = []string{`dyndbg="file x"`}
				return Slot(b, vmlinuz, vmlinuz, id, out)
			},
			"only letters, digits, spaces and ._,:;=/@%+~^$- are allowed",
		},
		"kernel arguments longer than an environment block": {
			func(out string) error {
				b := b
				b.Kernel.Args = []string{strings.Repeat("a", 1000)}
				return Slot(b, vmlinuz, vmlinuz, id, out)
			},
			"do not fit into 1024\nhint: shorten kernel.args in board.toml",
		},
		"data larger than its partition": {
			data(DataFile{Path: "big", Content: make([]byte, 14*mib)}),
			"the files need 22 MiB, but layout.data-mib is 16\nhint: set layout.data-mib in board.toml to 22 or more",
		},
		"path that climbs out": {
			data(DataFile{Path: "../x"}), `file "../x": names are made of letters, digits and . _ -`,
		},
		"path that debugfs would take apart": {
			data(DataFile{Path: "a b\nrm /c"}), `file "a b\nrm /c": names`,
		},
		"file below a file": {
			data(DataFile{Path: "a", Content: []byte("x")}, DataFile{Path: "a/b", Content: []byte("x")}), "debugfs: ",
		},
		"slot of another size": {
			func(out string) error {
				_, err := Assemble(b, Parts{Slot: vmlinuz, Data: initrd}, id, out)
				return err
			},
			"but partition 2 (slot a) has 16777216",
		},
		"grub-mkimage is missing": {
			func(out string) error {
				_, err := BuildGRUB(context.Background(), b, GRUBParts{Tools: src, BIOS: "/", EFI: "/"}, filepath.Dir(out), io.Discard)
				os.Remove(filepath.Join(filepath.Dir(out), "boot.img"))
				return err
			},
			"hint: grub-mkimage must run on this machine",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := test.make(filepath.Join(dir, "out.img"))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v; want %q in it", err, test.want)
			}
			checkEmpty(t, dir)
		})
	}
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("%s was left behind", e.Name())
	}
}

// TestFullToTheBrim uses the sizes that the error messages name: they suffice.
func TestFullToTheBrim(t *testing.T) {
	b, id, dir := testBoard(), testIdentity(), t.TempDir()
	file := write(t, filepath.Join(dir, "file"), make([]byte, 10*mib))
	b.Layout.SlotMiB = 21
	out := filepath.Join(dir, "slot")
	if err := Slot(b, file, file, id, out); err != nil {
		t.Fatal(err)
	}
	checkFAT(t, out)
	for _, size := range []int{16, 64, 600} {
		b.Layout.DataMiB = size
		most := (size - journalMiB - 3) * mib / 8 * 7
		files := []DataFile{{Path: "big", Mode: 0o644, Content: make([]byte, most)}}
		if err := Data(context.Background(), b, files, id, filepath.Join(dir, "data"), io.Discard); err != nil {
			t.Error(err)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	err := Data(ctx, testBoard(), testData(), testIdentity(), filepath.Join(dir, "data"), io.Discard)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Data: %v; want context.Canceled", err)
	}
	b := testBoard()
	b.Firmware = []string{"uefi"}
	if _, err := BuildGRUB(ctx, b, GRUBParts{"/", "/", "/"}, dir, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("BuildGRUB: %v; want context.Canceled", err)
	}
	checkEmpty(t, dir)
}

// TestBoardWithOneFirmware builds what that firmware needs and no more.
func TestBoardWithOneFirmware(t *testing.T) {
	for firmware, want := range map[string]GRUB{
		"bios": {BIOSBoot: "boot.img", BIOSCore: "core.img"},
		"uefi": {EFI: "BOOTX64.EFI"},
	} {
		b, dir := testBoard(), t.TempDir()
		b.Firmware = []string{firmware}
		img := makeImage(t, dir, b, testIdentity())
		got, err := BuildGRUB(context.Background(), b, GRUBParts{"/", "/", "/"}, dir, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []*string{&got.BIOSBoot, &got.BIOSCore, &got.EFI} {
			if *path != "" {
				*path = filepath.Base(*path)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: BuildGRUB (-want +got):\n%s", firmware, diff)
		}
		head := readFile(t, img.Path)[:440]
		if code := head[0] != 0; code != (firmware == "bios") {
			t.Errorf("%s: boot code in sector 0: %v", firmware, code)
		}
		checkFAT(t, cut(t, img, 1))
	}
}

// TestCheckBIOSLoader has a core that GRUB could not load.
func TestCheckBIOSLoader(t *testing.T) {
	good := func() (boot, core []byte) {
		boot, core = make([]byte, 512), make([]byte, 3*512)
		boot[kernelSectorAt], core[blockListAt], core[blockListAt+8] = 1, 2, 2
		return boot, core
	}
	tests := map[string]struct {
		spoil func(boot, core []byte) ([]byte, []byte)
		want  string
	}{
		"good":                     {func(b, c []byte) ([]byte, []byte) { return b, c }, ""},
		"boot.img of 511 bytes":    {func(b, c []byte) ([]byte, []byte) { return b[:511], c }, "boot.img has 511 bytes instead of 512"},
		"core expected elsewhere":  {func(b, c []byte) ([]byte, []byte) { b[kernelSectorAt] = 9; return b, c }, "boot.img looks for its core at sector 9 instead of 1"},
		"core cut short":           {func(b, c []byte) ([]byte, []byte) { return b, c[:1024] }, "core.img expects 2 sectors at sector 2 instead of 1 at 2"},
		"core of nothing":          {func(b, c []byte) ([]byte, []byte) { return b, c[:100] }, "core.img is cut short"},
		"core longer than the gap": {func(b, c []byte) ([]byte, []byte) { return b, make([]byte, 2048*512) }, "core.img has 2048 sectors, but there is room for 2047 before the first partition"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := checkBIOSLoader(test.spoil(good())); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("checkBIOSLoader = %q; want %q", got, test.want)
			}
		})
	}
}

// TestGRUBCfg has GRUB check the syntax for the kinds of consoles there are.
func TestGRUBCfg(t *testing.T) {
	for device, want := range map[string]string{
		"ttyS0": "serial --unit=0 --speed=9600 ", "ttyS3": "serial --unit=3 --speed=9600 ", "ttyAMA0": "",
	} {
		b := testBoard()
		b.Console.Device, b.Console.Speed, b.Layout.BootWait = device, 9600, 5
		cfg, err := makeGRUBCfg(b, testIdentity())
		if err != nil {
			t.Fatal(err)
		}
		tool(t, "grub-script-check", write(t, filepath.Join(t.TempDir(), "grub.cfg"), cfg))
		if got := strings.Contains(string(cfg), "terminal_output serial"); got != (want != "") {
			t.Errorf("%s: serial terminal: %v", device, got)
		}
		if !strings.Contains(string(cfg), want) {
			t.Errorf("%s: grub.cfg lacks %q", device, want)
		}
	}
}

// fullDiskEnv tells the test binary that it runs in a mount namespace of its own.
const fullDiskEnv = "TENCH_TEST_FULL_DISK"

// TestFullDisk writes to a file system that is too small for what it is to
// hold, in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	dir := os.Getenv(fullDiskEnv)
	if dir == "" {
		runFullDisk(t)
		return
	}
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=400k"); err != nil {
		t.Fatal(err)
	}
	src := t.TempDir()
	file := write(t, filepath.Join(src, "file"), []byte(strings.Repeat("x", mib)))
	b, id := testBoard(), testIdentity()
	b.Firmware = nil
	out := filepath.Join(dir, "out")
	_, imageErr := Assemble(b, Parts{}, id, out)
	for name, err := range map[string]error{
		"Slot": Slot(b, file, file, id, out),
		"Data": Data(context.Background(), b, []DataFile{{Path: "x", Mode: fs.FileMode(0o644), Content: readFile(t, file)}},
			id, out, io.Discard),
		"Assemble": imageErr,
	} {
		if err == nil || !strings.Contains(err.Error(), "o space left on device") || !strings.Contains(err.Error(), "hint: this machine's disk is full") {
			t.Errorf("%s on a full disk: %v", name, err)
		}
	}
	checkEmpty(t, dir)
}

func runFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("TENCH_LAB") == "yes" {
			t.Fatal("root is needed to mount a small file system")
		}
		t.Skip("root is needed to mount a small file system; TENCH_LAB=yes makes this an error")
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), fullDiskEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
