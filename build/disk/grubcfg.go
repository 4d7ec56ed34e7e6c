package disk

import (
	"bytes"
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"tench/boards"
)

//go:embed grub.cfg
var grubCfgText string

var grubCfg = template.Must(template.New("grub.cfg").Parse(grubCfgText))

// serialLine is a serial port in GRUB's words.
type serialLine struct {
	Unit  string // "0" is ttyS0
	Speed int    // bit/s
}

var pcSerialRE = regexp.MustCompile(`^ttyS([0-3])$`)

// makeGRUBCfg writes grub.cfg for board b on the disk with id. A console that
// is not one of the PC's four serial ports is left to the firmware, which then
// is GRUB's terminal; so are those of boards with U-Boot, whose ports are others.
func makeGRUBCfg(b boards.Board, id Identity) ([]byte, error) {
	v := struct {
		Board, DiskID string
		Serial        *serialLine
		Wait          int
	}{Board: b.Name, DiskID: fmt.Sprintf("%08x", id.DiskID()), Wait: b.Layout.BootWait}
	if port := pcSerialRE.FindStringSubmatch(b.Console.Device); port != nil && b.UBoot.Recipe == "" {
		v.Serial = &serialLine{Unit: port[1], Speed: b.Console.Speed}
	}
	var out bytes.Buffer
	err := grubCfg.Execute(&out, v)
	return out.Bytes(), err
}

// KernelArgs is the part of the kernel's command line that belongs to the slot;
// GRUB adds tench.disk=, tench.slot= and tench.id=.
//
// loglevel=4 shows errors on the console and keeps 30 kB of chatter off it, half
// a minute at 9600 bit/s. usb-storage.delay_use=0 saves a second of waiting for
// a stick to spin up. panic=10 leaves time to read a panic before the reboot.
func KernelArgs(b boards.Board) []string {
	args := []string{
		fmt.Sprintf("console=%s,%d", b.Console.Device, b.Console.Speed),
		"loglevel=4", "panic=10", "usb-storage.delay_use=0",
	}
	if pc := b.Arch.Name == "amd64" || b.Arch.Name == "386"; pc && b.RAMMiB >= lastWordsRAM {
		args = append(args, lastWords...)
	}
	if b.Arch.Name == "arm64" {
		args = append(args, noDevices...)
	}
	return append(args, b.KernelArgs()...)
}

// noDevices keep the kernel from making devices that nobody asked for, as
// x86.config and sunxi.config do: arm64's kernel takes CONFIG_CMDLINE only where
// the boot loader says nothing.
var noDevices = []string{"fb_tunnels=none", "bonding.max_bonds=0", "dummy.numdummies=0", "ifb.numifbs=0"}

// lastWordsRAM is the memory in MiB from which a board keeps last words: 128 MiB
// is then far from the kernel at its beginning and the initramfs at its end.
const lastWordsRAM = 256

// lastWords have the kernel keep what it said last in memory that a warm reset
// does not clear (Documentation/admin-guide/ramoops.rst). The place is fixed:
// reserve_mem= would choose another one where address randomization puts the
// kernel in the way, which keeps clear of what memmap= reserves.
var lastWords = []string{
	"memmap=256K$128M", "ramoops.mem_address=0x8000000", "ramoops.mem_size=0x40000",
	"ramoops.record_size=0x10000", "ramoops.console_size=0x10000",
}

// environmentSize is the size of a GRUB environment block. grubenv keeps it for
// ever, since GRUB and the box rewrite the block in place.
const environmentSize = 1024

// valueRE admits what GRUB, splitting and unescaping a value, leaves alone.
var valueRE = regexp.MustCompile(`^[A-Za-z0-9 ._,:;=/@%+~^$-]*$`)

// environment makes a GRUB environment block of NAME=VALUE lines (GRUB manual,
// "The GRUB environment block").
func environment(lines ...string) ([]byte, error) {
	text := "# GRUB Environment Block\n"
	for _, line := range lines {
		if !valueRE.MatchString(line) {
			return nil, fmt.Errorf("environment block: %q: only letters, digits, spaces and ._,:;=/@%%+~^$- are allowed", line)
		}
		text += line + "\n"
	}
	if len(text) > environmentSize {
		return nil, fmt.Errorf("environment block: %d bytes do not fit into %d\nhint: shorten kernel.args in board.toml", len(text), environmentSize)
	}
	return []byte(text + strings.Repeat("#", environmentSize-len(text))), nil
}
