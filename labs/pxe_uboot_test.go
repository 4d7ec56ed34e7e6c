package labs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
)

// What real U-Boots do that boot over the network: Debian's for QEMU's arm64
// machine, and the one of our own recipe in the machine that stands in for a
// nanopi-neo. Each has made up an Ethernet address, so that any box is served.

// ubootARM64 is U-Boot for QEMU's machine, of Debian's u-boot-qemu.
const ubootARM64 = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"

// TestPXERunUBootByEFI leaves U-Boot to its own boot order: there is no script for
// it, so that it asks again as UEFI would, and starts GRUB.
func TestPXERunUBootByEFI(t *testing.T) {
	c, ok := ubootCable(t, "qemu-arm64")
	if !ok {
		return
	}
	m := c.ubootARM64()
	m.Expect(t, diskless, bootTimeout)
	c.says(`"file":"grubaa64.efi"`, time.Second)
	c.says(`"loader":"U-Boot"`, time.Second)
	c.says(`"kind":"ready"`, menuTimeout)
}

// TestPXERunUBootByPXEGet types what boards with "pxe" in their boot order do
// themselves: U-Boot reads PXELINUX's syntax and starts the kernel itself.
func TestPXERunUBootByPXEGet(t *testing.T) {
	c, ok := ubootCable(t, "qemu-arm64")
	if !ok {
		return
	}
	m := c.ubootARM64()
	m.Expect(t, `Hit any key to stop autoboot`, menuTimeout)
	m.Send(t, "\n\n")
	m.Expect(t, `=> `, menuTimeout)
	m.Send(t, "setenv autoload no; dhcp; pxe get && pxe boot\n")
	m.Expect(t, diskless, bootTimeout)
	c.says(`"file":"image"`, time.Second)
	c.says(`"kind":"ready"`, menuTimeout)
}

// TestPXERunUBootNanoPiNEO boots the loader that is in our image, from a card with
// nothing else on it.
func TestPXERunUBootNanoPiNEO(t *testing.T) {
	c, ok := ubootCable(t, "nanopi-neo")
	if !ok {
		return
	}
	lab.Require(t, "qemu-system-arm")
	card := filepath.Join(c.dir, "card.img")
	c.bareCard(card)
	// QEMU's network card loses its wire to whoever sends it something before it
	// listens, as we do when we look for other servers; a hub with another station,
	// to which nobody listens, does not wait for it.
	m := lab.Start(t, "qemu-system-arm", "-machine", "orangepi-pc", "-accel", "tcg", "-display", "none", "-serial", "mon:stdio",
		"-drive", "file="+card+",format=raw,if=sd", "-nic", "hubport,hubid=0",
		"-netdev", "tap,id=wire,ifname=tap0,script=no,downscript=no", "-netdev", "hubport,id=wire0,hubid=0,netdev=wire",
		"-netdev", "socket,id=other,udp=127.0.0.1:9,localaddr=127.0.0.1:9999", "-netdev", "hubport,id=other0,hubid=0,netdev=other")
	m.Expect(t, diskless, bootTimeout)
	c.says(`"file":"pxelinux.cfg/`, time.Second)
	c.says(`"kind":"ready"`, bootTimeout)
}

// ubootCable is a wire with a server that has any box run a board, whose image
// make test-boards has built.
func ubootCable(t *testing.T, board string) (c *cable, ok bool) {
	t.Helper()
	named := strings.Fields(os.Getenv("TENCH_BOARDS"))
	if !slices.Contains(named, board) && !slices.Contains(named, "all") {
		t.Skipf("TENCH_BOARDS does not name %s: make test-boards does", board)
	}
	if !onCable(t) {
		return nil, false
	}
	c = newCable(t, false)
	c.board = board
	c.serve("", "--any-board", board)
	return c, true
}

// ubootARM64 starts QEMU's arm64 machine with U-Boot in place of UEFI.
func (c *cable) ubootARM64() *lab.Console {
	c.t.Helper()
	lab.Require(c.t, "qemu-system-aarch64")
	if _, err := os.Stat(ubootARM64); err != nil {
		lab.Lack(c.t, err)
	}
	// One port, with the address that this U-Boot has in its environment, for Linux to
	// keep: by another one QEMU's own DHCP server would answer it.
	return lab.Start(c.t, "qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a53", "-accel", "tcg", "-m", "512", "-display", "none",
		"-serial", "mon:stdio", "-bios", ubootARM64, "-device", "i6300esb",
		"-netdev", "tap,id=wan,ifname=tap0,script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=wan,addr=0x10,romfile=,mac=52:52:52:52:52:52")
}

// bareCard makes a card that has the loader of the board's image, and no partition.
func (c *cable) bareCard(path string) {
	c.t.Helper()
	image := filepath.Join(lab.Root(c.t), "out", c.board, "tench-"+c.board+".img")
	data, err := readHead(image, 1<<20)
	if err != nil {
		c.t.Fatalf("%v\nhint: make image BOARD=%s", err, c.board)
	}
	const table = 440 // of the first sector: the disk's number, and behind it the partitions
	clear(data[table:512])
	if err := os.WriteFile(path, data, 0o644); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Truncate(path, 64<<20); err != nil { // QEMU wants a power of two
		c.t.Fatal(err)
	}
}

// readHead reads the first n bytes of a file.
func readHead(path string, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, n)
	_, err = f.ReadAt(data, 0)
	return data, err
}
