package view

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/internal/lab"
	"tench/pxe/boxes"
	"tench/pxe/event"
)

var testView = View{
	Server:  netip.MustParseAddrPort("192.0.2.1:80"),
	Loaders: map[string][]byte{"undionly.kpxe": []byte("iPXE"), "grubx64.efi": []byte("GRUB")},
}

// testBox is a box with the board qemu-amd64 and the job that is given.
func testBox(t *testing.T, job Job) Box {
	t.Helper()
	board, err := boards.Load("../../boards", "qemu-amd64")
	if err != nil {
		t.Fatal(err)
	}
	of := func(text string) Opener { return func() (File, error) { return Bytes([]byte(text)), nil } }
	return Box{
		Name: "gw0", MAC: event.MAC{0x52, 0x54, 0, 0x12, 0x34, 0xab}, Job: job, System: boxes.Tench, Board: board, Release: "2026.11",
		Args:   []string{"console=ttyS0,115200", "memmap=256K$128M"},
		Kernel: of("kernel"), BareKernel: of("unpacked kernel"), Initrd: of("initrd"), Netboot: []byte("{}\n"),
	}
}

func content(t *testing.T, v View, b Box, name string) string {
	t.Helper()
	f, err := v.Open(b, name)
	if err != nil {
		t.Fatalf("Open(%q) = %v", name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestNames(t *testing.T) {
	const none = ""
	for name, want := range map[string]string{
		"undionly.kpxe":                       "iPXE",
		"/grubx64.efi":                        "GRUB",
		"//grubx64.efi":                       "GRUB",
		"vmlinuz":                             "kernel",
		"/vmlinuz":                            "kernel",
		"image":                               "unpacked kernel",
		"boot.ipxe":                           "#!ipxe",
		"autoexec.ipxe":                       "#!ipxe",
		"grub/grub.cfg":                       "# gw0: written",
		"/grub/grub.cfg-01-52-54-00-12-34-ab": "# gw0: written",
		"/grub/grub.cfg-01-52-54-00-12-34-AB": "# gw0: written",
		"/grub/grub.cfg-01-52-54-00-12-34-ac": none,
		"/grub/grub.cfg-C0000205":             none,
		"/grub/x86_64-efi/command.lst":        none,
		"pxelinux.cfg/default":                "serial 0 115200",
		"pxelinux.cfg/01-52-54-00-12-34-ab":   "serial 0 115200",
		"pxelinux.cfg/01-52-54-00-12-34-ac":   none,
		"pxelinux.cfg/C0000205":               "serial 0 115200",
		"pxelinux.cfg/C":                      "serial 0 115200",
		"pxelinux.cfg/default-arm-sunxi":      none,
		"extlinux.conf":                       "serial 0 115200",
		"etc/boot.conf":                       none,
		"serial/X/boot.ipxe":                  none,
		"":                                    none,
		"/":                                   none,
		".":                                   none,
		"grub":                                none,
		"grub/":                               none,
		"../view/view.go":                     none,
		"..":                                  none,
		"grub/../vmlinuz":                     none,
		"grub//grub.cfg":                      none,
		"./vmlinuz":                           none,
		"%2e%2e/view.go":                      none,
		"..%2fview.go":                        none,
		"..\\view.go":                         none,
		"\\vmlinuz":                           none,
		"vmlinuz\x00.gz":                      none,
		"vmlinuz\n":                           none,
		"\xc0\xaevmlinuz":                     none,
		strings.Repeat("a/", longest) + "vmlinuz":           none,
		"pxelinux.cfg/00112233-4455-6677-8899-aabbccddeeff": "serial 0 115200",
	} {
		b := testBox(t, Run)
		if want == none {
			if _, err := testView.Open(b, name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Open(%q) = %v, want that it is not there", name, err)
			}
			continue
		}
		if got := content(t, testView, b, name); !strings.HasPrefix(got, want) {
			t.Errorf("%q has %.20q, want %q", name, got, want)
		}
	}
}

// A box that is not to boot tench finds neither kernel nor initramfs, and a
// loader that it is in the middle of is told so.
func TestNothingToInstall(t *testing.T) {
	for _, job := range []Job{Disk, Identify} {
		b := testBox(t, job)
		for _, name := range []string{"vmlinuz", "initrd"} {
			if _, err := testView.Open(b, name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: Open(%s) = %v, want that it is not there", job, name, err)
			}
		}
		_, err := testView.Open(b, "grubx64.efi")
		if refused := errors.Is(err, fs.ErrNotExist); refused != (job == Disk) {
			t.Errorf("%s: Open(grubx64.efi) = %v", job, err)
		}
		for _, name := range []string{"boot.ipxe", "grub/grub.cfg", "pxelinux.cfg/default"} {
			if text := content(t, testView, b, name); strings.Contains(text, "vmlinuz") {
				t.Errorf("%s: %s starts a kernel:\n%s", job, name, text)
			}
		}
	}
}

func TestScripts(t *testing.T) {
	const ipxe = `#!ipxe
echo tench: gw0 installs qemu-amd64 2026.11
# Not every iPXE speaks HTTP, which is quicker.
kernel http://192.0.2.1/vmlinuz console=ttyS0,115200 memmap=256K$128M initrd=initrd || kernel tftp://192.0.2.1/vmlinuz console=ttyS0,115200 memmap=256K$128M initrd=initrd || goto failed
initrd --name initrd http://192.0.2.1/initrd || initrd --name initrd tftp://192.0.2.1/initrd || goto failed
boot || goto failed
:failed
echo tench: it cannot be loaded; trying again in 10 s
sleep 10
imgfree
chain --replace tftp://192.0.2.1/boot.ipxe || goto failed
`
	const pxelinux = `serial 0 115200
# gw0 installs qemu-amd64 2026.11: written by tench pxe
default tench
label tench
  kernel vmlinuz
  initrd initrd
  append console=ttyS0,115200 memmap=256K$128M
`
	b := testBox(t, Install)
	for name, want := range map[string]string{"boot.ipxe": ipxe, "pxelinux.cfg/default": pxelinux} {
		if diff := cmp.Diff(want, content(t, testView, b, name)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	for job, wants := range map[Job]map[string]string{
		Install: {"grub/grub.cfg": `if $linux "$1/vmlinuz" 'console=ttyS0,115200' 'memmap=256K$128M'; then`},
		Run:     {"boot.ipxe": "echo tench: gw0 runs qemu-amd64 2026.11 from RAM\n"},
		Disk: {"boot.ipxe": "iseq ${platform} pcbios && sanboot --no-describe --drive 0x80 ||\nexit\n",
			"grub/grub.cfg": "if chainloader (hd0)+1; then boot; fi", "pxelinux.cfg/default": "  localboot -1\n"},
		Identify: {"boot.ipxe": "chain http://192.0.2.1/serial/${serial:uristring}/boot.ipxe ||", "grub/grub.cfg": "smbios --type 1 --get-string 7 --set serial\n"},
	} {
		for name, want := range wants {
			if text := content(t, testView, testBox(t, job), name); !strings.Contains(text, want) {
				t.Errorf("%s: %s lacks %q:\n%s", job, name, want, text)
			}
		}
	}
	b.Board.Arch.Name = "arm64"
	if text := content(t, testView, b, "pxelinux.cfg/default"); !strings.Contains(text, "\n  kernel image\n") {
		t.Errorf("U-Boot on arm64 is told\n%s", text)
	}
	b.Board.Arch.Name = "amd64"
	b.Recognize = true
	const recognize = `isset ${product} || set product none
chain --replace http://192.0.2.1/hardware/${product:uristring}/boot.ipxe || chain --replace tftp://192.0.2.1/hardware/${product:uristring}/boot.ipxe ||
echo tench: the desk does not give qemu-amd64 to a "${product}": tench pxe explain there says why
sleep 10
exit
`
	if text := content(t, testView, b, "boot.ipxe"); !strings.HasSuffix(text, recognize) || strings.Contains(text, "vmlinuz") {
		t.Errorf("of a machine that is to tell what it is:\n%s", text)
	}
	b.Recognize = false
	v := testView
	v.Server = netip.MustParseAddrPort("192.0.2.1:8080")
	if text := content(t, v, b, "boot.ipxe"); !strings.Contains(text, "http://192.0.2.1:8080/vmlinuz") || !strings.Contains(text, "tftp://192.0.2.1/vmlinuz") {
		t.Errorf("on another port:\n%s", text)
	}
}

// GRUB's own parser must accept what we write for it.
func TestGRUBReadsItsScript(t *testing.T) {
	program, err := exec.LookPath("grub-script-check")
	if err != nil {
		lab.Lack(t, err)
	}
	for _, job := range []Job{Install, Run, Disk, Identify} {
		cmd := exec.Command(program)
		cmd.Stdin = strings.NewReader(content(t, testView, testBox(t, job), "grub/grub.cfg"))
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", job, err, said)
		}
	}
}

func TestArgumentsThatALoaderWouldExpand(t *testing.T) {
	for _, word := range []string{"a b", "x'y", `x"y`, "${mac}", "x|y", "#x", "x\ny", "", "x`id`"} {
		b := testBox(t, Run)
		b.Args = []string{word}
		for _, name := range []string{"boot.ipxe", "grub/grub.cfg", "pxelinux.cfg/default"} {
			if _, err := testView.Open(b, name); err == nil {
				t.Errorf("%s with the argument %q is no error", name, word)
			}
		}
	}
}

// cpio(1) must find the box's files behind the release's initramfs, wherever that
// one ends.
func TestInitrd(t *testing.T) {
	program, err := exec.LookPath("cpio")
	if err != nil {
		lab.Lack(t, err)
	}
	for _, first := range []string{"", "1", "12", "123", "1234", strings.Repeat("x", 70_001)} {
		b := testBox(t, Run)
		b.Netboot, b.Router = []byte("{\"token\":\"x\"}\n"), []byte("hostname = \"gw0\"\n")
		b.Initrd = func() (File, error) { return Bytes([]byte(first)), nil }
		whole := content(t, testView, b, "initrd")
		at := (len(first) + 3) / 4 * 4
		if !strings.HasPrefix(whole, first) || strings.Trim(whole[len(first):at], "\x00") != "" {
			t.Errorf("behind %d bytes there is %q", len(first), whole[len(first):at])
		}
		dir := t.TempDir()
		cmd := exec.Command(program, "--extract", "--make-directories", "--quiet")
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(whole[at:])
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cpio: %v: %s", err, said)
		}
		for name, want := range map[string][]byte{netbootPath: b.Netboot, routerPath: b.Router} {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("/%s has %q, %v", name, got, err)
			}
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("/%s is readable for others: %v, %v", name, info.Mode(), err)
			}
		}
	}
}

// Whatever piece of it is read, an initramfs reads as one file.
func TestInitrdInPieces(t *testing.T) {
	b := testBox(t, Install)
	whole := content(t, testView, b, "initrd")
	f, err := testView.Open(b, "initrd")
	if err != nil {
		t.Fatal(err)
	}
	for at := range len(whole) + 2 {
		for _, n := range []int{0, 1, 3, 100, len(whole)} {
			p := make([]byte, n)
			got, err := f.ReadAt(p, int64(at))
			want := whole[min(at, len(whole)):min(at+n, len(whole))]
			if string(p[:got]) != want || (got < n) != (err == io.EOF) {
				t.Fatalf("ReadAt of %d bytes at %d = %q, %v; want %q", n, at, p[:got], err, want)
			}
		}
	}
}

func TestAFileOfTheReleaseThatIsRefused(t *testing.T) {
	b := testBox(t, Run)
	refused := errors.New("its hash changed")
	b.Kernel = func() (File, error) { return nil, refused }
	b.Initrd = b.Kernel
	for _, name := range []string{"vmlinuz", "initrd"} {
		if _, err := testView.Open(b, name); !errors.Is(err, refused) {
			t.Errorf("Open(%s) = %v, want %v", name, err, refused)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, seed := range []string{"vmlinuz", "/grub/grub.cfg", "../../etc/passwd", "..\\x", "%2e%2e", "freebsd/../..", "etc/boot.conf", "10203040/../../secret", "10203040/link"} {
		f.Add(seed)
	}
	dir := f.TempDir()
	secret := filepath.Join(filepath.Dir(dir), "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("secret"), 0o644), os.Symlink(secret, filepath.Join(dir, "link")),
		os.WriteFile(filepath.Join(dir, "pxeboot"), []byte("public"), 0o644)); err != nil {
		f.Fatal(err)
	}
	tree, err := OpenFolder(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, system := range []boxes.System{boxes.Tench, boxes.OpenBSD, boxes.FreeBSD, boxes.RaspberryPi} {
			b := testBox(t, Run)
			b.System, b.Tree = system, tree
			file, err := testView.Open(b, name)
			if err != nil {
				continue
			}
			data, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
			if err != nil || string(data) == "secret" {
				t.Errorf("Open(%q) of %s gives %q, %v", name, system, data, err)
			}
		}
	})
}
