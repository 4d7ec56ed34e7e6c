// Package boxes reads boxes.toml, the operator's list of the boxes that may be
// booted over the network: who each is, what it is, and what may be done to it.
//
//	boxes.go  Box, Inventory: finding a box
//	load.go   reading the file, strictly
//	check.go  what must be so in it
//	boxes.toml an example with every key; the tests read it
//
// It is read on the desk alone. Paths in it are below its own folder, unless
// they are absolute.
package boxes

import (
	"slices"
	"strings"

	"tench/internal/nearest"
	"tench/pxe/event"
)

// System is what a box boots.
type System string

// The systems.
const (
	Tench   System = "tench"   // our image: installed once, run from RAM, or left to its disk
	OpenBSD System = "openbsd" // a folder with pxeboot and bsd.rd
	FreeBSD System = "freebsd" // a folder with boot/
	// RaspberryPi is a folder with what such a board's ROM loads: bootcode.bin or
	// start4.elf, config.txt, cmdline.txt, a kernel.
	RaspberryPi System = "raspberrypi"
)

// Box is one box of the list.
type Box struct {
	Name   string
	MACs   []event.MAC // of all its ports that may boot; may be empty where it has a serial number
	Serial string      // as its firmware tells it: SMBIOS's serial number or UUID, a Raspberry Pi's last eight digits; "" for none
	System System

	// Of a box that boots tench.
	Board    string // e.g. "apu2"
	Config   string // path of its router.toml; "" for the board's own
	Identity string // path of its identity's directory; "" for none
	Disk     string // serial number of the disk that may be wiped; "" for none
	Hardware string // what its firmware calls it, where the board's own names do not hold; "" for none

	// Of a box that boots something else.
	Tree    string // path of the folder with its files
	Speed   int    // of its serial console, bit/s
	Answers string // path of OpenBSD's install.conf; "" for none
}

// Inventory is boxes.toml; its zero value has no boxes.
type Inventory struct {
	Boxes []Box // in the order of their names
}

// ByMAC finds the box with a port of this address.
func (inv Inventory) ByMAC(m event.MAC) (Box, bool) {
	return inv.find(func(b Box) bool { return slices.Contains(b.MACs, m) })
}

// BySerial finds a box by its serial number or UUID, in either case: firmware
// does not agree with itself about the case of a UUID.
func (inv Inventory) BySerial(serial string) (Box, bool) {
	serial = strings.TrimSpace(serial)
	if serial == "" {
		return Box{}, false
	}
	return inv.find(func(b Box) bool { return strings.EqualFold(b.Serial, serial) })
}

// ByName finds a box by its name.
func (inv Inventory) ByName(name string) (Box, bool) {
	return inv.find(func(b Box) bool { return b.Name == name })
}

func (inv Inventory) find(is func(Box) bool) (Box, bool) {
	i := slices.IndexFunc(inv.Boxes, is)
	if i < 0 {
		return Box{}, false
	}
	return inv.Boxes[i], true
}

// Names lists the boxes.
func (inv Inventory) Names() []string {
	var names []string
	for _, b := range inv.Boxes {
		names = append(names, b.Name)
	}
	return names
}

// Nearest is the box that somebody meant who mistyped a name; "" for none.
func (inv Inventory) Nearest(name string) string { return nearest.Of(name, inv.Names()) }

// WantsSerial reports whether a box that nothing is known of may turn out to be
// one of these: one that is listed by its serial number.
func (inv Inventory) WantsSerial() bool {
	return slices.ContainsFunc(inv.Boxes, func(b Box) bool { return b.Serial != "" })
}
