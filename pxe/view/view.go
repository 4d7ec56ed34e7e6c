// Package view says what each box finds at each path. The same path gives every
// box a content of its own, made for what that box is to do; TFTP and HTTP ask it
// alike. It is pure: it opens files that it was handed, and knows no clock, no
// network and no state.
//
//	view.go     View, Box, Job; Open: which path is what
//	scripts.go  what tells a loader what to do: iPXE, GRUB, PXELINUX's syntax
//	initrd.go   the initramfs of one box
//	bsd.go      boxes that boot OpenBSD or FreeBSD
//	pi.go       boxes that boot by a Raspberry Pi's ROM
//	folder.go   a folder of files that nothing leads out of
//	file.go     File
//
// A box that boots tench finds, besides the loaders of package build/loaders
// (which a box that is to boot its disk does not: where another DHCP server names
// a loader whoever asks, this sends the firmware on to the disk),
//
//	boot.ipxe, autoexec.ipxe                      iPXE
//	grub/grub.cfg-01-MAC, grub/grub.cfg           GRUB, which asks in this order, and in between
//	                                              for grub.cfg-HEX of its address, which nobody has
//	pxelinux.cfg/UUID, 01-MAC, HEX of the         PXELINUX, U-Boot's pxe get, u-root's pxeboot; what
//	address and each of its beginnings, default   comes first in their order is the box's
//	extlinux.conf                                 what U-Boot and u-root load before they look there
//	vmlinuz, initrd                               kernel and initramfs
//	image                                         the kernel for U-Boot and u-root on arm64, which
//	                                              start no program of UEFI
//
// The kernel's arguments are those of the board's slots without what names a
// slot. There is no device tree: U-Boot hands its own to the kernel, as it does
// from a card.
package view

import (
	"io/fs"
	"net/netip"
	"regexp"
	"strings"

	"tench/boards"
	"tench/pxe/boxes"
	"tench/pxe/event"
)

// Job is what a box is to do.
type Job string

// The jobs.
const (
	Disk     Job = "disk"     // boot its own disk
	Install  Job = "install"  // write an image to its disk
	Run      Job = "run"      // run from RAM
	Identify Job = "identify" // tell its serial number: nobody knows yet who it is
)

// Box is one box and what is made for it.
type Box struct {
	Name   string
	MAC    event.MAC // of the port it boots from
	Job    Job
	System boxes.System

	// Of a box that boots tench.
	Board   boards.Board
	Release string
	Args    []string // the kernel's
	Kernel  Opener
	// BareKernel is the kernel for what is no UEFI, which on arm64 is another file.
	BareKernel Opener
	Initrd     Opener // of the release
	Netboot    []byte // netboot.json
	Router     []byte // router.toml of Run; nil for the board's
	// Recognize has iPXE tell what the firmware calls the machine, before it loads
	// anything: it asks for hardware/NAME/boot.ipxe, and goes on to the disk where
	// that is refused.
	Recognize bool

	// Of a box that boots something else.
	Tree    Folder
	UEFI    bool // what its firmware is
	Speed   int  // of its serial console, bit/s; 0 for the screen
	Answers []byte
	// Installed is the URL by which an installer says that it is done that is not
	// ours: FreeBSD's, a Raspberry Pi's.
	Installed string
}

// Opener opens a file of a release. It fails when the file is not the one whose
// hash was verified.
type Opener func() (File, error)

// View is what all boxes have in common.
type View struct {
	Server  netip.AddrPort // ours, of HTTP; TFTP has the same address
	Loaders map[string][]byte
}

// Open gives a box the file that it asks for. The name is as the network brought
// it, of TFTP or an URL's decoded path; slashes at its beginning count as none.
// What is not there is fs.ErrNotExist.
func (v View) Open(b Box, name string) (File, error) {
	path, ok := clean(name)
	if !ok {
		return nil, fs.ErrNotExist
	}
	switch b.System {
	case boxes.OpenBSD, boxes.FreeBSD:
		return v.openBSD(b, path)
	case boxes.RaspberryPi:
		return b.openPi(path)
	}
	if data, ok := v.Loaders[path]; ok && b.Job != Disk {
		return Bytes(data), nil
	}
	if script := v.script(b, path); script != nil {
		text, err := script(b)
		return Bytes(text), err
	}
	switch {
	case b.Job != Install && b.Job != Run:
		return nil, fs.ErrNotExist
	case path == kernelName:
		return b.Kernel()
	case path == bareName:
		return b.BareKernel()
	case path == initrdName:
		return b.initrd()
	}
	return nil, fs.ErrNotExist
}

// Names that the scripts give the kernel and the initramfs.
const (
	kernelName = "vmlinuz"
	bareName   = "image"
	initrdName = "initrd"
)

// longest is the most bytes of a name that is looked at.
const longest = 512

// clean is a name without its first slashes. It refuses what leads to another
// folder, and what no file of a boot is called.
func clean(name string) (string, bool) {
	path := strings.TrimLeft(name, "/")
	ok := len(path) <= longest && fs.ValidPath(path) && path != "." &&
		!strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f || r == 0xfffd })
	return path, ok
}

var (
	uuidRE = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	hexRE  = regexp.MustCompile(`^[0-9A-F]{1,8}$`)
)

// script is what writes the file at path, if it is one that tells a loader what
// to do.
func (v View) script(b Box, path string) func(Box) ([]byte, error) {
	dir, base, inDir := strings.Cut(path, "/")
	switch {
	case path == "boot.ipxe" || path == "autoexec.ipxe":
		return v.ipxe
	case path == "extlinux.conf" || path == "extlinux/extlinux.conf":
		return v.pxelinux
	case dir == "pxelinux.cfg" && inDir && pxelinuxName(b, base):
		return v.pxelinux
	case path == "grub/grub.cfg" || strings.EqualFold(path, "grub/grub.cfg-01-"+b.MAC.Dashed()):
		return v.grub
	}
	return nil
}

// pxelinuxName reports whether a box that asks for pxelinux.cfg/NAME means
// itself. The UUID is the first that a PXELINUX asks for.
func pxelinuxName(b Box, name string) bool {
	return name == "default" || uuidRE.MatchString(name) || hexRE.MatchString(name) ||
		strings.EqualFold(name, "01-"+b.MAC.Dashed())
}

// host is our address, with a port where it is not HTTP's.
func (v View) host() string {
	if v.Server.Port() == 80 {
		return v.Server.Addr().String()
	}
	return v.Server.String()
}

// Base is what netboot.json calls the server, e.g. "http://192.0.2.1:80".
func (v View) Base() string { return "http://" + v.Server.String() }
