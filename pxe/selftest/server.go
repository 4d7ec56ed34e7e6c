package selftest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"

	"tench/boards"
	"tench/pxe"
	"tench/pxe/boxes"
	"tench/pxe/dhcp"
	"tench/release"
	"tench/release/audit"
	"tench/release/netboot"
	"tench/release/writestream"
)

// readyWord is what the server says to the clients' process once it listens.
const readyWord = "listening\n"

// list is the boxes.toml of the test. The clients have these addresses.
const list = `[box]
bios    = {mac = ["52:54:00:00:00:01"], board = "qemu-amd64"}
uefi    = {mac = ["52:54:00:00:00:02"], board = "qemu-amd64"}
arm     = {mac = ["52:54:00:00:00:03"], board = "qemu-arm64"}
openbsd = {mac = ["52:54:00:00:00:04"], system = "openbsd", tree = "openbsd", speed = 38400, answers = "install.conf"}
freebsd = {mac = ["52:54:00:00:00:05"], system = "freebsd", tree = "freebsd", speed = 115200}
disk    = {mac = ["52:54:00:00:00:06"], board = "qemu-amd64"}
new     = {mac = ["52:54:00:00:00:07"], board = "qemu-amd64", disk = "SERIAL-7"}
pi      = {mac = ["52:54:00:00:00:08"], system = "raspberrypi", tree = "pi"}
`

// loaderNames are those of build/loaders. Here each holds its name many times.
var loaderNames = []string{"undionly.kpxe", "snponly.efi", "ipxe.efi", "pxelinux.0", "ldlinux.c32", "grub.pxe",
	"grubx64.efi", "grubia32.efi", "grubaa64.efi", "grubarm.efi"}

// filler is the content of a file that is called name.
func filler(name string, size int) []byte {
	return bytes.Repeat([]byte(name+"\n"), size/(len(name)+1)+1)[:size]
}

const (
	kernelSize = 3_000_001
	initrdSize = 1_000_003
	loaderSize = 70_000
)

// Process is what the server's process has.
type Process struct {
	Role   string    // of the server's
	Boards string    // boards/
	In     io.Reader // its end says that the wire is there
	Out    io.Writer // for the word that it serves
}

// Serve is the server's process: it waits until the wire is there, and serves on it.
func Serve(ctx context.Context, p Process) error {
	if _, err := io.Copy(io.Discard, p.In); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tench-pxe-selftest-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	device, err := address()
	if err != nil {
		return err
	}
	o, err := options(p.Boards, dir)
	if err != nil {
		return err
	}
	for _, act := range acts {
		if act.role == p.Role {
			o.Mode = act.mode
		}
	}
	o.Interface = device
	s, err := pxe.Listen(ctx, o)
	if err != nil {
		return err
	}
	for box, mode := range map[string]netboot.Mode{"bios": netboot.Run, "uefi": netboot.Run, "arm": netboot.Run,
		"openbsd": netboot.Install, "freebsd": netboot.Run, "new": netboot.Install, "pi": netboot.Install} {
		if _, err := s.Arm(ctx, pxe.Request{Box: box, Mode: mode}); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(p.Out, readyWord); err != nil {
		return err
	}
	return s.Serve(ctx)
}

// address sets our end of the wire up. The loopback interface is for the
// operator's page.
func address() (*net.Interface, error) {
	link, err := netlink.LinkByName(serverDevice)
	if err != nil {
		return nil, err
	}
	addr, err := netlink.ParseAddr(serverAddress.String())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(netlink.AddrAdd(link, addr), up(serverDevice), up("lo")); err != nil {
		return nil, err
	}
	return net.InterfaceByName(serverDevice)
}

func options(boardsDir, dir string) (pxe.Options, error) {
	o := pxe.Options{
		Address: serverAddress, Mode: dhcp.Auto, Loader: pxe.LoaderAuto, Boxes: filepath.Join(dir, "boxes.toml"),
		Boards: boards.Names(boardsDir), State: filepath.Join(dir, "state"), Page: "127.0.0.1:0", Loaders: map[string][]byte{},
		Check: func(boxes.Box) error { return nil },
		Image: func(_ context.Context, i pxe.Image) (pxe.Stream, error) { return stream{i.Request}, nil },
	}
	for _, name := range loaderNames {
		o.Loaders[name] = filler(name, loaderSize)
	}
	o.Product = func(ctx context.Context, name string) (pxe.Product, error) {
		b, err := boards.Load(boardsDir, name)
		if err != nil {
			return pxe.Product{}, err
		}
		build, err := writeBuild(filepath.Join(dir, "out", name), name, kernelSize, initrdSize)
		if err != nil {
			return pxe.Product{}, err
		}
		files, err := pxe.OpenProducts(ctx, build, audit.Options{})
		return pxe.Product{Board: b, Args: []string{"console=ttyS0,115200"}, Router: []byte("hostname = \"test\"\n"), Files: files}, err
	}
	files := map[string]string{"boxes.toml": list, "install.conf": "System hostname = test\n", "pi/cmdline.txt": "console=serial0,115200\n"}
	for _, name := range []string{"openbsd/pxeboot", "openbsd/bsd.rd", "freebsd/boot/pxeboot", "freebsd/boot/kernel/kernel", "freebsd/boot/mfsroot.gz", "freebsd/boot/lua/loader.lua",
		"pi/start4.elf", "pi/fixup4.dat", "pi/config.txt", "pi/kernel8.img", "pi/overlays/disable-bt.dtbo"} {
		files[name] = string(filler(name, loaderSize))
	}
	for name, text := range files {
		if err := write(filepath.Join(dir, name), []byte(text)); err != nil {
			return pxe.Options{}, err
		}
	}
	return o, nil
}

func write(path string, data []byte) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644))
}

// writeBuild writes what a build leaves, with a kernel and an initramfs of so many
// bytes.
func writeBuild(dir, board string, kernel, initrd int) (string, error) {
	bom := []byte(`{"bomFormat":"CycloneDX","components":[{"name":"selftest","version":"1"}]}`)
	var list []release.Product
	for name, data := range map[string][]byte{
		release.ImageName(board): filler("image", 4096), release.KernelName(board): filler("kernel "+board, kernel),
		release.InitrdName(board): filler("initrd", initrd), release.SBOMName(board): bom,
	} {
		sum := sha256.Sum256(data)
		list = append(list, release.Product{File: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])})
		if err := write(filepath.Join(dir, name), data); err != nil {
			return "", err
		}
	}
	m := release.Manifest{Board: board, Release: "selftest", Products: list}
	return dir, errors.Join(m.Write(filepath.Join(dir, release.ManifestFile)), release.WriteSums(filepath.Join(dir, release.SumsFile), list))
}

// stream is a write stream for one request.
type stream struct{ request writestream.Request }

func (s stream) Send(_ context.Context, w io.Writer) (string, error) { return writeImage(s.request, w) }

func (stream) Close() error { return nil }

// writeImage is a write stream: the wipe, a little, the boot sector.
func writeImage(r writestream.Request, w io.Writer) (string, error) {
	const size = writestream.Sector
	boot := filler("boot", size)
	boot[size-2], boot[size-1] = 0x55, 0xaa
	e, err := writestream.NewEncoder(w, writestream.Header{Size: r.Size, Total: 3 * size})
	if err != nil {
		return "", err
	}
	for _, step := range []struct {
		at   int64
		data []byte
		end  writestream.Kind
	}{{0, make([]byte, size), writestream.Sync}, {size, filler("image", size), writestream.Verify}, {0, boot, writestream.Verify}} {
		if err := errors.Join(e.Write(step.at, step.data), e.Step(step.end)); err != nil {
			return "", err
		}
	}
	return e.End()
}

// cut is a text's first line, for errors.
func cut(text []byte) string {
	line, _, _ := strings.Cut(string(text[:min(len(text), 80)]), "\n")
	return fmt.Sprintf("%q", line)
}
