package disk

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// labStart is what GRUB and the test kernel may need for one line; TCG on a
// loaded machine is slow.
const labStart = 3 * time.Minute

// needLab skips where QEMU is missing, except in the lab.
func needLab(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("qemu-system-x86_64")
	if err == nil {
		_, err = os.Stat("/usr/share/OVMF/OVMF_CODE_4M.fd")
	}
	if err != nil && os.Getenv("TENCH_LAB") == "yes" {
		t.Fatalf("%v: apt-get install qemu-system-x86 ovmf", err)
	}
	if err != nil {
		t.Skipf("%v; TENCH_LAB=yes makes this an error", err)
	}
}

// machine is a running QEMU.
type machine struct {
	lines chan string
	keys  io.Writer
}

// boot starts QEMU with the image; it ends with the test.
func boot(t *testing.T, image string, drive string, args ...string) machine {
	t.Helper()
	needLab(t)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append([]string{"-machine", "pc", "-m", "128",
		"-nic", "none", "-vga", "none", "-display", "none", "-monitor", "none", "-serial", "stdio",
		"-drive", "if=none,id=stick,format=raw,file=" + image + drive}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := machine{lines: make(chan string, 1000), keys: in}
	go m.read(out)
	t.Cleanup(func() {
		cancel()
		for range m.lines {
		}
		cmd.Wait()
	})
	return m
}

// What GRUB sends to a terminal besides text. In its menu it moves the cursor
// to begin a line.
var (
	lineEnds = regexp.MustCompile(`\n|\x1b\[[0-9;]*H`)
	escapes  = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\r`)
)

func (m machine) read(out io.Reader) {
	defer close(m.lines)
	s := bufio.NewScanner(out)
	s.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		if at := lineEnds.FindIndex(data); at != nil {
			return at[1], data[:at[0]], nil
		}
		return 0, nil, nil
	})
	for s.Scan() {
		m.lines <- strings.TrimSpace(escapes.ReplaceAllString(s.Text(), ""))
	}
}

// expect waits for the next lines that match the given ones, in their order,
// passing over others.
func (m machine) expect(t *testing.T, wanted ...string) {
	t.Helper()
	deadline := time.After(labStart)
	var seen []string
	for _, want := range wanted {
		for found := false; !found; {
			select {
			case line, ok := <-m.lines:
				if !ok {
					t.Fatalf("QEMU ended while waiting for %q; it showed\n%s", want, strings.Join(seen, "\n"))
				}
				seen = append(seen, line)
				found = regexp.MustCompile(want).MatchString(line)
			case <-deadline:
				t.Fatalf("no line matches %q; the console showed\n%s", want, strings.Join(seen, "\n"))
			}
		}
	}
}

// setEnv replaces the environment block in the image.
func setEnv(t *testing.T, img Image, lines ...string) {
	t.Helper()
	env, err := environment(lines...)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, img, 1, []byte("# GRUB Environment Block\n"), env)
}

// overwrite replaces the bytes of partition n that begin with old.
func overwrite(t *testing.T, img Image, n int, old, data []byte) {
	t.Helper()
	f, err := os.OpenFile(img.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := img.Partitions[n-1]
	part := make([]byte, p.Size)
	if _, err := f.ReadAt(part, p.Start); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(part, old)
	if at < 0 {
		t.Fatalf("partition %d does not hold %q", n, old)
	}
	if _, err := f.WriteAt(data, p.Start+int64(at)); err != nil {
		t.Fatal(err)
	}
}

// getEnv reads the environment block with GRUB's own tool.
func getEnv(t *testing.T, img Image) string {
	t.Helper()
	env := write(t, filepath.Join(t.TempDir(), "env"), copyOut(t, cut(t, img, 1), "grubenv"))
	return strings.ReplaceAll(strings.TrimSpace(tool(t, "grub-editenv", env, "list")), "\n", " ")
}

// breakKernel makes the kernel of the slot in partition n unloadable.
func breakKernel(t *testing.T, img Image, n int) {
	t.Helper()
	overwrite(t, img, n, testKernel()[0x1fe:], make([]byte, 64))
}

// starts are ways to start a PC from the stick.
var starts = map[string][]string{
	"BIOS with virtio":        {"-device", "virtio-blk-pci,drive=stick,bootindex=0"},
	"BIOS with IDE":           {"-device", "ide-hd,drive=stick,bootindex=0"},
	"BIOS with USB over EHCI": {"-device", "usb-ehci", "-device", "usb-storage,drive=stick,bootindex=0"},
	"BIOS with USB over xHCI": {"-device", "qemu-xhci", "-device", "usb-storage,drive=stick,bootindex=0"},
	"UEFI with USB over xHCI": {"-device", "qemu-xhci", "-device", "usb-storage,drive=stick,bootindex=0",
		"-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
		"-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd"},
}

func TestLabDefaultBoot(t *testing.T) {
	needLab(t)
	for name, args := range starts {
		t.Run(name, func(t *testing.T) {
			img := makeImage(t, t.TempDir(), testBoard(), testIdentity())
			m := boot(t, img.Path, "", args...)
			m.expect(t, `^tench: slot a, release 2026.11$`,
				`^BOOT_IMAGE=\S+,msdos\d\)\d+\+\d+ console=ttyS0,115200 loglevel=4 panic=10 usb-storage.delay_use=0 memmap=256K\$128M ramoops.mem_address=0x8000000 \S+ \S+ \S+ net.ifnames=0 `+
					fmt.Sprintf(`tench.disk=%08x tench.slot=a tench.id=qemu-amd64/2026.11/a$`, img.DiskID))
		})
	}
}

func TestLabTrialUnderUEFI(t *testing.T) {
	img := makeImage(t, t.TempDir(), testBoard(), testIdentity())
	setEnv(t, img, "slot=b", "good=a", "pending=1", "tries=3")
	m := boot(t, img.Path, "", starts["UEFI with USB over xHCI"]...)
	m.expect(t, `^tench: slot b is on trial, 2 tries left$`, `^initrd: OK$`, `tench.slot=b `)
	if diff := cmp.Diff("slot=b good=a pending=1 tries=2", getEnv(t, img)); diff != "" {
		t.Errorf("grubenv (-want +got):\n%s", diff)
	}
}

func TestLabTwoSticksInOneMachine(t *testing.T) {
	other := makeImage(t, t.TempDir(), testBoard(), testIdentity())
	id := testIdentity()
	id.Seed, id.Release = "other", "2027.1"
	img := makeImage(t, t.TempDir(), testBoard(), id)
	setEnv(t, img, "slot=b", "good=b", "pending=0", "tries=0")
	m := boot(t, img.Path, "", "-device", "ide-hd,bus=ide.1,drive=stick,bootindex=0",
		"-drive", "if=none,id=first,format=raw,file="+other.Path, "-device", "ide-hd,bus=ide.0,drive=first")
	m.expect(t, fmt.Sprintf(`tench.disk=%08x tench.slot=b tench.id=qemu-amd64/2027.1/b$`, img.DiskID))
}

func TestLabTrialRunsOutOfTries(t *testing.T) {
	img := makeImage(t, t.TempDir(), testBoard(), testIdentity())
	setEnv(t, img, "slot=b", "good=a", "pending=1", "tries=3")
	m := boot(t, img.Path, "", starts["BIOS with virtio"]...)
	m.expect(t,
		`^tench: slot b is on trial, 2 tries left$`, `^vmlinuz: OK$`, `^initrd: OK$`, `tench.slot=b tench.trial=2 `,
		`^tench: slot b is on trial, 1 tries left$`, `tench.slot=b tench.trial=1 `,
		`^tench: slot b is on trial, 0 tries left$`, `tench.slot=b tench.trial=0 `,
		`^tench: slot b was not confirmed, back to slot a$`, `tench.slot=a tench.id`,
		`^tench: slot a, release`, `tench.slot=a `)
	if diff := cmp.Diff("slot=a good=a pending=0 tries=0 failed=b-tries", getEnv(t, img)); diff != "" {
		t.Errorf("grubenv (-want +got):\n%s", diff)
	}
}

func TestLabFallback(t *testing.T) {
	tests := map[string]struct {
		prepare func(t *testing.T, img Image)
		drive   string
		expect  []string
		env     string
	}{
		"the kernel of slot a cannot be loaded": {
			prepare: func(t *testing.T, img Image) { breakKernel(t, img, 2) },
			expect:  []string{`^error: invalid magic number`, `^tench: slot a cannot be loaded$`, `^tench: slot b, release`, `tench.slot=b `},
			env:     "slot=a good=a pending=0 tries=0",
		},
		"the slot on trial cannot be loaded": {
			prepare: func(t *testing.T, img Image) {
				setEnv(t, img, "slot=b", "good=a", "pending=1", "tries=3")
				breakKernel(t, img, 3)
			},
			expect: []string{`^tench: slot b cannot be loaded$`, `^tench: slot b cannot be started, back to slot a$`, `tench.slot=a tench.id`},
			env:    "slot=a good=a pending=0 tries=0 failed=b-load",
		},
		"the kernel of the slot on trial is damaged behind its header": {
			prepare: func(t *testing.T, img Image) {
				setEnv(t, img, "slot=b", "good=a", "pending=1", "tries=3")
				overwrite(t, img, 3, realMode[4:], []byte("rust"))
			},
			expect: []string{`^vmlinuz: HASH MISMATCH$`, `^tench: slot b cannot be loaded$`, `tench.slot=a tench.id`},
			env:    "slot=a good=a pending=0 tries=0 failed=b-load",
		},
		"the initramfs of the slot on trial is damaged": {
			prepare: func(t *testing.T, img Image) {
				setEnv(t, img, "slot=b", "good=a", "pending=1", "tries=3")
				overwrite(t, img, 3, testInitrd()[1e6:], []byte("rust"))
			},
			expect: []string{`^vmlinuz: OK$`, `^initrd: HASH MISMATCH$`, `^tench: slot b cannot be loaded$`, `tench.slot=a tench.id`},
			env:    "slot=a good=a pending=0 tries=0 failed=b-load",
		},
		"the slot on trial was built before there were sums": {
			prepare: func(t *testing.T, img Image) {
				setEnv(t, img, "slot=b", "good=a", "pending=1", "tries=3")
				overwrite(t, img, 3, []byte("sums="), []byte("sum_="))
			},
			expect: []string{`tench.slot=b tench.trial=2 `},
			env:    "slot=b good=a pending=1 tries=2",
		},
		"power was cut when slot b was written and pending was not": {
			prepare: func(t *testing.T, img Image) { setEnv(t, img, "slot=b", "good=a", "pending=0", "tries=0") },
			expect:  []string{`^tench: slot a, release`, `tench.slot=a tench.id`},
			env:     "slot=b good=a pending=0 tries=0",
		},
		"power was cut when pending was written and tries were not": {
			prepare: func(t *testing.T, img Image) { setEnv(t, img, "slot=b", "good=a", "pending=1", "tries=0") },
			expect:  []string{`^tench: slot b was not confirmed, back to slot a$`, `tench.slot=a tench.id`},
			env:     "slot=a good=a pending=0 tries=0 failed=b-tries",
		},
		"power was cut when good was confirmed and pending was not": {
			prepare: func(t *testing.T, img Image) { setEnv(t, img, "slot=b", "good=b", "pending=1", "tries=2") },
			expect:  []string{`^tench: slot b, release`, `tench.slot=b tench.id`},
			env:     "slot=b good=b pending=1 tries=2",
		},
		"slot b is of another board": {
			prepare: func(t *testing.T, img Image) {
				setEnv(t, img, "slot=b", "good=b", "pending=0", "tries=0")
				overwrite(t, img, 3, []byte("board=qemu-amd64"), []byte("board=qemu-arm64"))
			},
			expect: []string{`^tench: slot b cannot be loaded$`, `tench.slot=a `},
			env:    "slot=b good=b pending=0 tries=0",
		},
		"slot a is not a file system": {
			prepare: func(t *testing.T, img Image) { overwrite(t, img, 2, []byte("\xeb\x3c"), make([]byte, 4096)) },
			expect:  []string{`^tench: slot a cannot be loaded$`, `tench.slot=b `},
			env:     "slot=a good=a pending=0 tries=0",
		},
		"the stick is write-protected during a trial": {
			prepare: func(t *testing.T, img Image) { setEnv(t, img, "slot=b", "good=a", "pending=1", "tries=3") },
			drive:   ",readonly=on",
			expect:  []string{`^tench: grubenv cannot be written: no trial of slot b$`, `tench.slot=a `},
			env:     "slot=b good=a pending=1 tries=3",
		},
		"grubenv holds nonsense": {
			prepare: func(t *testing.T, img Image) { setEnv(t, img, "slot=c", "good=", "pending=1", "tries=3") },
			expect:  []string{`^tench: slot a, release`, `tench.slot=a `},
			env:     "slot=c good= pending=1 tries=3",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			needLab(t)
			img := makeImage(t, t.TempDir(), testBoard(), testIdentity())
			test.prepare(t, img)
			boot(t, img.Path, test.drive, starts["BIOS with virtio"]...).expect(t, test.expect...)
			if diff := cmp.Diff(test.env, getEnv(t, img)); diff != "" {
				t.Errorf("grubenv (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLabBootMenu(t *testing.T) {
	b := testBoard()
	b.Layout.BootWait = 30
	img := makeImage(t, t.TempDir(), b, testIdentity())
	m := boot(t, img.Path, "", starts["BIOS with virtio"]...)
	m.expect(t, `^tench: ESC within 30 s opens the boot menu$`)
	fmt.Fprint(m.keys, "\x1b")
	m.expect(t, `start as usual`, `slot a`, `slot b`, `executed automatically in`)
	fmt.Fprint(m.keys, "\x1b[B\x1b[B\r") // down, down, enter
	m.expect(t, `tench.slot=b `)
}
