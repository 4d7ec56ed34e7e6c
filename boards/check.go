package boards

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"

	"tench/internal/nearest"
	"tench/internal/tomlfile"
)

// checker collects what is wrong with a decoded board file.
type checker struct {
	f        *tomlfile.File
	problems tomlfile.Problems
}

func (c *checker) require(ok bool, text string, path ...string) {
	if !ok {
		c.problems = append(c.problems, tomlfile.Problem{File: c.f.Name, Line: c.f.Line(path...), Text: text})
	}
}

func (c *checker) between(v, low, high int, path ...string) {
	c.require(v >= low && v <= high,
		fmt.Sprintf("%s: %d is not between %d and %d", strings.Join(path, "."), v, low, high), path...)
}

func (c *checker) oneOf(v string, allowed []string, path ...string) {
	text := fmt.Sprintf("%s: %q is not one of %s", strings.Join(path, "."), v, strings.Join(allowed, ", "))
	if near := nearest.Of(v, allowed); near != "" {
		text += fmt.Sprintf("\n  hint: did you mean %q?", near)
	}
	c.require(slices.Contains(allowed, v), text, path...)
}

// each checks every element of the list at path.
func (c *checker) each(list, allowed []string, path ...string) {
	for i, v := range list {
		c.oneOf(v, allowed, append(slices.Clone(path), fmt.Sprint(i))...)
	}
}

func (c *checker) arch(name string) Arch {
	var known []string
	for n := range arches {
		known = append(known, n)
	}
	sort.Strings(known)
	c.oneOf(name, known, "arch")
	return arches[name]
}

var (
	// speeds are the serial speeds that GRUB, Linux and go.bug.st/serial share.
	speeds    = []string{"9600", "19200", "38400", "57600", "115200"}
	firmwares = []string{"bios", "uefi", "u-boot"}
	media     = []string{"cf", "emmc", "nvme", "sata", "sd", "usb", "virtual"}
	lacking   = []string{"clflush", "endbr", "mmxext", "nopl", "sse"}
)

func (c *checker) check(b Board) {
	c.require(b.Title != "", "title: a board needs one", "title")
	c.between(b.RAMMiB, 64, 1<<20, "ram-mib")
	c.require(b.Console.Device != "", "console.device: a board needs a serial console, e.g. \"ttyS0\"", "console")
	c.oneOf(fmt.Sprint(b.Console.Speed), speeds, "console", "speed")
	c.require(len(b.Firmware) > 0, "firmware: name at least one of "+strings.Join(firmwares, ", "), "firmware")
	c.each(b.Firmware, firmwares, "firmware")
	c.require(len(b.Media) > 0, "media: name at least one of "+strings.Join(media, ", "), "media")
	c.each(b.Media, media, "media")
	c.each(b.CPU.Lacks, lacking, "cpu", "lacks")
	c.hardware(b.Hardware)
	c.uboot(b)
	c.require(len(b.Kernel.Fragments) > 0, "kernel.fragments: name at least one", "kernel")
	// Below 65 MiB FAT32 has fewer clusters than its type demands, and at 129
	// go-diskfs counts one too few (see build/disk).
	c.between(b.Layout.BootMiB, 65, 128, "layout", "boot-mib")
	c.between(b.Layout.SlotMiB, 16, 512, "layout", "slot-mib")
	c.between(b.Layout.DataMiB, 16, 4096, "layout", "data-mib")
	c.between(b.Layout.BootWait, 0, 30, "layout", "boot-wait")
	c.between(b.Watchdog.Timeout, 5, 240, "watchdog", "timeout")
	c.ports(b.Ports)
	c.signals("led", b.LEDs)
	c.signals("button", b.Buttons)
	for i, q := range b.Quirks {
		c.quirk(q, "quirk", fmt.Sprint(i))
	}
	if b.QEMU.System != "" {
		c.require(b.QEMU.Machine != "", "qemu.machine: a stand-in needs one, e.g. \"pc\"", "qemu")
		c.require(b.QEMU.Expected != "", "qemu.expected: name the line that says it is up", "qemu")
	}
}

// hardware refuses names that no firmware is told apart by.
func (c *checker) hardware(h Hardware) {
	names := func(key string, list []string) {
		for i, name := range list {
			c.require(len(meant([]string{name})) > 0 && strings.TrimSpace(name) == name,
				fmt.Sprintf("hardware.%s: %q names no hardware", key, name), "hardware", key, fmt.Sprint(i))
		}
	}
	names("vendor", h.Vendor)
	names("product", h.Product)
	names("compatible", h.Compatible)
	c.require(len(h.Vendor) == 0 || len(h.Product) > 0, "hardware.vendor: a vendor makes more than one board: name the product too", "hardware", "vendor")
}

func (c *checker) uboot(b Board) {
	if !slices.Contains(b.Firmware, "u-boot") {
		c.require(b.UBoot == UBoot{}, "u-boot: the firmware is not \"u-boot\"", "u-boot")
		return
	}
	c.require(len(b.Firmware) == 1, "firmware: \"u-boot\" stands alone: it is in the image, where a BIOS would look for its loader", "firmware")
	c.require(b.UBoot.Recipe != "" && fs.ValidPath(b.UBoot.File), "u-boot: needs recipe and file", "u-boot")
	c.between(b.UBoot.AtKiB, 1, 1023, "u-boot", "at-kib")
}

func (c *checker) ports(ports []Port) {
	for i, p := range ports {
		at := []string{"port", fmt.Sprint(i)}
		c.require(p.Label != "" && (p.Path == "") != (p.Name == ""), "a port needs label, and path or name", at...)
		c.require(!slices.ContainsFunc(ports[:i], func(q Port) bool { return q.Label == p.Label }),
			fmt.Sprintf("port label %q is used twice", p.Label), at...)
	}
}

func (c *checker) signals(kind string, list []Signal) {
	for i, s := range list {
		c.require(s.Label != "" && s.Device != "", "a "+kind+" needs label and device", kind, fmt.Sprint(i))
	}
}

// quirk wants a proof for whatever is done: a setting that nobody reads back
// is a hope.
func (c *checker) quirk(q Quirk, at ...string) {
	c.require(q.Name != "" && q.Why != "", "a quirk needs name and why", at...)
	c.require(len(q.Args)+len(q.Sysctl) > 0, fmt.Sprintf("quirk %q: name args or sysctl to set", q.Name), at...)
	c.require(len(q.Check) > 0, fmt.Sprintf("quirk %q: name a check, a file that proves on the box that it is in force", q.Name), at...)
	for i, k := range q.Check {
		here := append(slices.Clone(at), "check", fmt.Sprint(i))
		inKernel := strings.HasPrefix(k.File, "/proc/") || strings.HasPrefix(k.File, "/sys/")
		c.require(inKernel && path.Clean(k.File) == k.File, fmt.Sprintf("check: %q is not a file of /proc or /sys", k.File), here...)
		c.require(len(k.Want) > 0, "check: want names what may be in the file", here...)
	}
}
