package pxe

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"tench/release/netboot"
)

// tellGRUBs returns each GRUB that has netboot.GRUBLine once, with our address in its
// place: it then finds us whatever DHCP said. The line keeps its length, so that all
// else in the program stays where it is. A BIOS's GRUB is packed and shows no line.
func tellGRUBs(loaders map[string][]byte, server netip.Addr) map[string][]byte {
	line := fmt.Sprintf("%-*s", len(netboot.GRUBLine), fmt.Sprintf("set prefix=(tftp,%s)/grub", server))
	told := map[string][]byte{}
	for name, data := range loaders {
		if isGRUB(name) && bytes.Count(data, []byte(netboot.GRUBLine)) == 1 && len(line) == len(netboot.GRUBLine) {
			told[name] = bytes.Replace(data, []byte(netboot.GRUBLine), []byte(line), 1)
		}
	}
	return told
}

// isGRUB reports whether a program is GRUB, for whichever firmware.
func isGRUB(name string) bool { return strings.HasPrefix(name, "grub") }
