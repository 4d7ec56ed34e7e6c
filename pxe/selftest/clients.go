package selftest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"tench/pxe/event"
)

// The boxes of the list, by the last byte of their address.
const (
	bios, uefi, arm, openbsd, freebsd, disk, fresh, pi, stranger = 1, 2, 3, 4, 5, 6, 7, 8, 255
)

// standIn is a client. Its boot returns what it got in words.
type standIn struct {
	name string
	box  byte
	boot func(*client) (string, error)
}

// clients are those that boot where ours is the only server, in this order.
var clients = []standIn{
	{"BIOS PXE ROM", bios, bootBIOS},
	{"iPXE as a ROM", bios, bootIPXE("ipxe-rom")},
	{"iPXE, chain-loaded", bios, bootIPXE("ipxe-undionly")},
	{"PXELINUX", bios, bootPXELINUX},
	{"x64 UEFI", uefi, bootUEFI("uefi-x64", "snponly.efi")},
	{"iPXE for UEFI", uefi, bootIPXE("ipxe-snponly")},
	{"32-bit UEFI", uefi, bootUEFI("uefi-ia32", "grubia32.efi")},
	{"arm64 UEFI", arm, bootUEFI("uefi-arm64", "grubaa64.efi")},
	{"GRUB", uefi, bootGRUB},
	{"UEFI HTTP boot", uefi, bootHTTP},
	{"U-Boot", arm, bootUBoot},
	{"u-root pxeboot", uefi, bootURoot},
	{"OpenBSD pxeboot", openbsd, bootOpenBSD},
	{"FreeBSD loader", freebsd, bootFreeBSD},
	{"Raspberry Pi's ROM", pi, bootPi},
	{"box that is not armed", disk, bootDisk},
	{"a stranger", stranger, bootStranger},
	{"installer", fresh, bootInstaller},
}

// boot lets clients boot.
func boot(ctx context.Context, list []standIn, report func(Result)) error {
	var failed error
	for _, one := range list {
		c := &client{ctx: ctx, mac: event.MAC{0x52, 0x54, 0, 0, 0, one.box}, wait: patience}
		began := time.Now()
		got, err := one.boot(c)
		c.drop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		report(Result{Client: one.name, Got: got, Took: time.Since(began), Err: err})
		failed = errors.Join(failed, err)
	}
	return failed
}

func class(text string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptClassIdentifier(text))
}

func arch(a iana.Arch) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptClientArch(a)) }

func raw(code dhcpv4.OptionCode, data ...byte) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptGeneric(code, data))
}

// What PXE ROMs add: the version of their network interface, and a UUID of zeros.
func rom(mods ...dhcpv4.Modifier) []dhcpv4.Modifier {
	return append(mods, raw(dhcpv4.OptionClientNetworkInterfaceIdentifier, 1, 2, 1), raw(dhcpv4.OptionClientMachineIdentifier, make([]byte, 17)...))
}

func bootBIOS(c *client) (string, error) {
	const file = "undionly.kpxe"
	if err := c.dhcp(rom(class("PXEClient:Arch:00000:UNDI:002001"), arch(iana.INTEL_X86PC))...); err != nil {
		return "", err
	}
	return file, errors.Join(
		c.file(file),
		c.probe(file, "tsize", "tsize", "0"), // it only wants the size
		c.want(file, 1456, filler(file, loaderSize)),
	)
}

var (
	kernelRE = regexp.MustCompile(`kernel (http://\S+) `)
	initrdRE = regexp.MustCompile(`initrd --name initrd (http://\S+) `)
)

// bootIPXE is an iPXE of which there is a capture.
func bootIPXE(capture string) func(*client) (string, error) {
	return func(c *client) (string, error) {
		if err := c.replay(capture); err != nil {
			return "", err
		}
		if err := c.file("boot.ipxe"); err != nil {
			return "", err
		}
		if !bytes.Contains(c.reply.Options.Get(dhcpv4.OptionEtherboot), []byte{176, 1, 1}) {
			return "", errors.New("option 175 does not tell it not to wait for a proxy")
		}
		return c.script()
	}
}

// script fetches iPXE's script and what it names.
func (c *client) script() (string, error) {
	script, err := c.get("boot.ipxe", 1432)
	if err != nil {
		return "", err
	}
	return c.kernelOf(script)
}

// kernelOf fetches what an iPXE script names.
func (c *client) kernelOf(script []byte) (string, error) {
	kernel, initrd := kernelRE.FindSubmatch(script), initrdRE.FindSubmatch(script)
	if kernel == nil || initrd == nil {
		return "", fmt.Errorf("the script names no kernel or no initramfs: %s", cut(script))
	}
	k, err := c.fetch(string(kernel[1]))
	if err != nil {
		return "", err
	}
	if !bytes.Equal(k, filler("kernel qemu-amd64", kernelSize)) {
		return "", fmt.Errorf("the kernel has %d bytes beginning with %s", len(k), cut(k))
	}
	i, err := c.fetch(string(initrd[1]))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("script, kernel and initramfs, %d bytes", len(k)+len(i)), isInitrd(i)
}

// isInitrd looks for the release's initramfs and netboot.json behind it.
func isInitrd(data []byte) error {
	if !bytes.HasPrefix(data, filler("initrd", initrdSize)) || !bytes.Contains(data[initrdSize:], []byte("etc/tench/netboot.json")) {
		return fmt.Errorf("the initramfs has %d bytes beginning with %s, or no netboot.json", len(data), cut(data))
	}
	return nil
}

func bootPXELINUX(c *client) (string, error) {
	if err := c.dhcp(rom(class("PXEClient:Arch:00000:UNDI:002001"), arch(iana.INTEL_X86PC))...); err != nil {
		return "", err
	}
	return "configuration and kernel by TFTP", errors.Join(
		c.want("pxelinux.0", 1408, filler("pxelinux.0", loaderSize)),
		c.want("ldlinux.c32", 1408, filler("ldlinux.c32", loaderSize)),
		c.starts("pxelinux.cfg/01-"+c.mac.Dashed(), 1408, "kernel vmlinuz"),
		c.want("vmlinuz", 1408, filler("kernel qemu-amd64", kernelSize)),
	)
}

// bootUEFI is a firmware of which there is a capture, and what it is to load.
func bootUEFI(capture, file string) func(*client) (string, error) {
	return func(c *client) (string, error) {
		if err := c.replay(capture); err != nil {
			return "", err
		}
		return file, errors.Join(
			c.file(file),
			c.probe(file, "windowsize\x004", "tsize", "0", "blksize", "1468", "windowsize", "4"),
			c.want(file, 1468, filler(file, loaderSize)),
		)
	}
}

func bootGRUB(c *client) (string, error) {
	return grubFiles(c, c.dhcp(rom(class("PXEClient:Arch:00007:UNDI:003000"), arch(iana.EFI_X86_64))...))
}

// grubFiles fetches what GRUB does, unless there is no address to do it from.
func grubFiles(c *client, err error) (string, error) {
	if err != nil {
		return "", err
	}
	err = errors.Join(
		c.misses("/grub/x86_64-efi/command.lst", "/grub/x86_64-efi/fs.lst", "/grub/x86_64-efi/crypto.lst"),
		c.starts("/grub/grub.cfg-01-"+c.mac.Dashed(), 1024, `load "(http,192.0.2.1)"`),
		c.want("/vmlinuz", 1024, filler("kernel qemu-amd64", kernelSize)),
	)
	if err != nil {
		return "", err
	}
	i, err := c.get("/initrd", 1024)
	return "configuration, kernel and initramfs by TFTP", errors.Join(err, isInitrd(i))
}

func bootHTTP(c *client) (string, error) {
	return c.urlOf(c.replay("uefi-http"))
}

// urlOf fetches what HTTP boot's answer names, unless there was none.
func (c *client) urlOf(err error) (string, error) {
	const url = "http://192.0.2.1:80/grubx64.efi"
	if err != nil {
		return "", err
	}
	if err := c.file(url); err != nil {
		return "", err
	}
	if got := c.reply.ClassIdentifier(); got != "HTTPClient" {
		return "", fmt.Errorf("the answer's vendor class is %q: firmware drops it", got)
	}
	data, err := c.fetch(url)
	if err == nil && !bytes.Equal(data, filler("grubx64.efi", loaderSize)) {
		err = fmt.Errorf("%d bytes beginning with %s", len(data), cut(data))
	}
	return url, err
}

func bootUBoot(c *client) (string, error) {
	if err := c.dhcp(class("U-Boot.armv8"), arch(iana.UBOOT_ARM64)); err != nil {
		return "", err
	}
	return "extlinux.conf, kernel by TFTP", errors.Join(
		c.file("extlinux.conf"),
		c.starts("extlinux.conf", 0, "label tench"),
		c.starts("pxelinux.cfg/01-"+c.mac.Dashed(), 0, "kernel image"),
		c.want("image", 1468, filler("kernel qemu-arm64", kernelSize)),
	)
}

func bootURoot(c *client) (string, error) {
	if err := c.dhcp(class("PXE UROOT")); err != nil {
		return "", err
	}
	return "extlinux.conf", errors.Join(c.file("extlinux.conf"), c.starts("pxelinux.cfg/01-"+c.mac.Dashed(), 512, "initrd initrd"))
}

// bootOpenBSD sends what pxeboot 3.42 does: no options, all requests of one
// second from one port, and an ERROR in the middle of a kernel that it opened
// only for its head. The request that follows from the same port must get the
// first block, and not an answer to the ERROR.
func bootOpenBSD(c *client) (string, error) {
	if err := c.dhcp(rom(class("PXEClient:Arch:00000:UNDI:002001"), arch(iana.INTEL_X86PC))...); err != nil {
		return "", err
	}
	err := errors.Join(
		c.file("auto_install"),
		c.want("auto_install", 1432, filler("openbsd/pxeboot", loaderSize)),
		c.misses("/bsd.upgrade"),
		c.starts("/etc/boot.conf", 0, "stty com0 38400\nset tty com0\nboot tftp:/bsd.rd\n"),
		c.misses("/etc/random.seed"),
	)
	if err != nil {
		return "", err
	}
	c.port = 0
	for range 2 { // its head, then all of it
		answer, abort, err := c.open("/bsd.rd")
		if err != nil {
			return "", err
		}
		isFirst := binary.BigEndian.Uint16(answer) == opDATA && binary.BigEndian.Uint16(answer[2:]) == 1
		if aborted := abort(3); aborted != nil || !isFirst {
			return "", errors.Join(aborted, fmt.Errorf("RRQ /bsd.rd from port %d: the answer is %q, not the first block", c.port, answer[:min(len(answer), 8)]))
		}
	}
	if err := c.want("/bsd.rd", 0, filler("openbsd/bsd.rd", loaderSize)); err != nil {
		return "", err
	}
	// The installer asks for an address of its own, and what the boot file was.
	if err := errors.Join(c.dhcp(), c.file("auto_install")); err != nil {
		return "", err
	}
	answers, err := c.fetch("http://192.0.2.1/" + c.mac.String() + "-install.conf")
	if err != nil || string(answers) != "System hostname = test\n" {
		return "", errors.Join(err, fmt.Errorf("install.conf has %s", cut(answers)))
	}
	// With its answers the installer is on its way: the next boot is the disk's.
	if err := c.dhcp(rom(class("PXEClient:Arch:00000:UNDI:002001"), arch(iana.INTEL_X86PC))...); err != nil {
		return "", err
	}
	return "pxeboot, boot.conf, bsd.rd, install.conf; then its disk", c.file("")
}

func bootFreeBSD(c *client) (string, error) {
	if err := c.dhcp(rom(class("PXEClient:Arch:00000:UNDI:002001"), arch(iana.INTEL_X86PC))...); err != nil {
		return "", err
	}
	if err := errors.Join(c.file("boot/pxeboot"), c.want("boot/pxeboot", 1432, filler("freebsd/boot/pxeboot", loaderSize))); err != nil {
		return "", err
	}
	// The loader asks once more, for itself.
	if err := c.dhcp(raw(dhcpv4.OptionUserClassInformation, []byte("FreeBSD")...)); err != nil {
		return "", err
	}
	if root := c.reply.RootPath(); root != "tftp://192.0.2.1/freebsd" {
		return "", fmt.Errorf("the root path is %q", root)
	}
	return "pxeboot, loader.conf, kernel, mfsroot", errors.Join(
		c.want("/freebsd/boot/lua/loader.lua", 1428, filler("freebsd/boot/lua/loader.lua", loaderSize)),
		c.misses("/freebsd/boot/device.hints", "/freebsd/boot/loader.conf.d", "/freebsd/boot/loader.conf.local", "/freebsd/boot/nextboot.conf",
			"/freebsd/boot/kernel/linker.hints", "/freebsd/boot/kernel/kernel.gz", "/freebsd/etc/hostid", "/freebsd/boot/mfsroot"),
		c.starts("/freebsd/boot/loader.conf", 1428, "comconsole_speed=\"115200\""),
		c.want("/freebsd/boot/kernel/kernel", 1428, filler("freebsd/boot/kernel/kernel", loaderSize)),
		c.want("/freebsd/boot/mfsroot.gz", 1428, filler("freebsd/boot/mfsroot.gz", loaderSize)),
	)
}

// bootPi boots as the boot loader of a Pi 4: what DHCP offers counts by its option
// 43 alone, and the names of the files are its own, in the folder of its serial
// number. Once its installer has said that it is done, the ROM finds no server.
func bootPi(c *client) (string, error) {
	guid := append([]byte("\x00RPi4\x11\x31\xc0\x00"), c.mac[2:]...)
	asks := []dhcpv4.Modifier{class("PXEClient:Arch:00000:UNDI:002001"), arch(iana.INTEL_X86PC),
		raw(dhcpv4.OptionClientNetworkInterfaceIdentifier, 1, 2, 1), raw(dhcpv4.OptionClientMachineIdentifier, append(guid, 0x10, 0x20, 0x30, 0x40)...)}
	if err := c.dhcp(asks...); err != nil {
		return "", err
	}
	if !c.isPiServer() {
		return "", errors.New("the answer is of no boot server of a Raspberry Pi")
	}
	err := errors.Join(
		c.file("bootcode.bin"),
		c.misses("10203040/recovery.elf", "10203040/pieeprom.sig"),
		c.want("10203040/config.txt", 1024, filler("pi/config.txt", loaderSize)),
		c.want("10203040/start4.elf", 1024, filler("pi/start4.elf", loaderSize)),
		c.want("10203040/fixup4.dat", 1024, filler("pi/fixup4.dat", loaderSize)),
		c.want("10203040/overlays/disable-bt.dtbo", 1024, filler("pi/overlays/disable-bt.dtbo", loaderSize)),
		c.want("10203040/kernel8.img", 1024, filler("pi/kernel8.img", loaderSize)),
		c.want("kernel8.img", 1024, filler("pi/kernel8.img", loaderSize)),
	)
	if err != nil {
		return "", err
	}
	line, err := c.get("10203040/cmdline.txt", 1024)
	_, url, told := bytes.Cut(bytes.TrimSpace(line), []byte("console=serial0,115200 tench_installed="))
	if err != nil || !told {
		return "", errors.Join(err, fmt.Errorf("cmdline.txt has %s", cut(line)))
	}
	if _, err := c.fetch(string(url)); err != nil {
		return "", err
	}
	if err := c.dhcp(asks...); err != nil {
		return "", err
	}
	if c.isPiServer() {
		return "", errors.New("once it is installed it is offered its folder still")
	}
	return "firmware, cmdline.txt, kernel; then its disk", c.misses("10203040/start4.elf", "start4.elf")
}

// isPiServer reports whether a Raspberry Pi's ROM takes the answer.
func (c *client) isPiServer() bool {
	return bytes.Contains(c.reply.Options.Get(dhcpv4.OptionVendorSpecificInformation), []byte("Raspberry Pi Boot"))
}

func bootDisk(c *client) (string, error) {
	if err := c.dhcp(rom(class("PXEClient:Arch:00000:UNDI:002001"), arch(iana.INTEL_X86PC))...); err != nil {
		return "", err
	}
	return "an address, and no boot file", errors.Join(c.file(""), c.misses("undionly.kpxe", "vmlinuz"))
}

func bootStranger(c *client) (string, error) {
	c.wait = silence
	err := c.dhcp(rom(class("PXEClient:Arch:00000:UNDI:002001"), arch(iana.INTEL_X86PC))...)
	if !errors.Is(err, errNoAnswer) {
		return "", errors.Join(err, errors.New("a box that is not in boxes.toml got an answer"))
	}
	return "no answer", nil
}
