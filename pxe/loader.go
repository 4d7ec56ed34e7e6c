package pxe

import (
	"fmt"
	"slices"

	"tench/boards"
	"tench/pxe/dhcp"
)

// Loader is which program the firmware is given, where there is a choice.
type Loader string

// The loaders.
const (
	LoaderAuto     Loader = "auto"     // the one that was found best for the firmware
	LoaderIPXE     Loader = "ipxe"     // x86: BIOS and 64-bit UEFI
	LoaderGRUB     Loader = "grub"     // every firmware
	LoaderPXELINUX Loader = "pxelinux" // BIOS
)

// Loaders are all of them, for flags and completion.
func Loaders() []Loader { return []Loader{LoaderAuto, LoaderIPXE, LoaderGRUB, LoaderPXELINUX} }

// ParseLoader reads a loader's name.
func ParseLoader(s string) (Loader, error) {
	if l := Loader(s); slices.Contains(Loaders(), l) {
		return l, nil
	}
	return "", fmt.Errorf("loader %q: known are auto, ipxe, grub and pxelinux", s)
}

// programs are the files of package build/loaders, by firmware. iPXE is what
// LoaderAuto means where there is one: of the two it fetches quicker.
var programs = map[dhcp.Firmware]map[Loader]string{
	dhcp.BIOS:     {LoaderAuto: "undionly.kpxe", LoaderIPXE: "undionly.kpxe", LoaderGRUB: "grub.pxe", LoaderPXELINUX: "pxelinux.0"},
	dhcp.EFIX64:   {LoaderAuto: "snponly.efi", LoaderIPXE: "snponly.efi", LoaderGRUB: "grubx64.efi"},
	dhcp.EFIIA32:  {LoaderAuto: "grubia32.efi"},
	dhcp.EFIARM64: {LoaderAuto: "grubaa64.efi"},
	dhcp.EFIARM:   {LoaderAuto: "grubarm.efi"},
}

// program is the file that a firmware loads; "" where there is none for it. A
// loader that is not made for the firmware gives way to the best that is. What
// came by UEFI's HTTP boot is not told by the firmware which card it came by, as
// snponly.efi needs to be; GRUB is.
func program(f dhcp.Firmware, http bool, want Loader) string {
	if http && want == LoaderAuto {
		want = LoaderGRUB
	}
	if name := programs[f][want]; name != "" {
		return name
	}
	return programs[f][LoaderAuto]
}

// runs are the CPUs that a firmware can start a kernel for. A 32-bit UEFI may be
// that of a 64-bit processor.
var runs = map[dhcp.Firmware][]string{
	dhcp.BIOS: {"386", "amd64"}, dhcp.EFIX64: {"amd64"}, dhcp.EFIIA32: {"386", "amd64"},
	dhcp.EFIARM64: {"arm64"}, dhcp.EFIARM: {"arm"},
}

// canRun reports whether what asks may be the board. Of what does not say what it
// is, nobody knows.
func canRun(c dhcp.Client, b boards.Board) bool {
	if c.CPU != "" {
		return c.CPU == b.Arch.Name
	}
	arches, known := runs[c.Firmware]
	return !known || slices.Contains(arches, b.Arch.Name)
}

// configReader is what loaders are told to load that look for pxelinux.cfg/
// beside it themselves: it has the same words.
const configReader = "extlinux.conf"

// iPXE's own programs, and its script.
var (
	ipxePrograms = []string{"undionly.kpxe", "snponly.efi", "ipxe.efi"}
	ipxeScript   = "boot.ipxe"
)
