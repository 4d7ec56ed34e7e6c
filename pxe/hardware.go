package pxe

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"tench/boards"
	"tench/pxe/boxes"
)

// otherBoard refuses a machine whose firmware says that it is a board of ours, but
// not the one that the box is listed as. What contradicts that one alone its
// installer refuses: it has its board's names with it, and all that firmware tells,
// where a loader tells one name. Where boxes.toml names the hardware, that holds,
// and the installer compares it.
func (s *Server) otherBoard(box boxes.Box, told boards.Hardware) error {
	if box.Hardware != "" || box.System != "" && box.System != boxes.Tench || s.o.Hardware[box.Board].Is(told) {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.o.Hardware)) {
		if name != box.Board && s.o.Hardware[name].Is(told) {
			return fmt.Errorf("pxe: %s is listed as %s, and its firmware says that it is %s (%q)\nhint: board = %[3]q, or if that is wrong, hardware = %[4]q under [box.%[1]s] in boxes.toml",
				box.Name, box.Board, name, told.Name())
		}
	}
	return nil
}

// hardwareFolder is where iPXE asks that tells what the machine is called:
// hardware/NAME/boot.ipxe.
const hardwareFolder = "hardware/"

// hardwareIn takes the name of the machine off a file's name; "" where there is
// none. The machine's own may have slashes.
func hardwareIn(name string) (file, told string) {
	rest, ok := strings.CutPrefix(name, hardwareFolder)
	at := strings.LastIndexByte(rest, '/')
	if !ok || at < 1 {
		return name, ""
	}
	told = rest[:at]
	if text, err := url.PathUnescape(told); err == nil { // by TFTP, which knows no URLs
		told = text
	}
	return rest[at+1:], told
}
