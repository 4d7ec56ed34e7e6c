package install

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tench/release/netboot"
)

const sector = 512

// disk is a disk of this box.
type disk struct {
	netboot.Disk
	parts []part // as the kernel sees them
	oldAt int64  // of a disk of ours, where its data partition is, in bytes
	old   int64  // and how large it is
}

// part is a partition.
type part struct {
	name     string // e.g. "sda1"
	at, size int64  // bytes
}

// diskRE is what disks are called that an image may be written to. Boot and
// replay-protected areas of an eMMC (mmcblk0boot0), CDs, RAM disks, loop devices
// and what is made of other disks are none.
var diskRE = regexp.MustCompile(`^(sd[a-z]+|hd[a-z]+|vd[a-z]+|xvd[a-z]+|mmcblk[0-9]+|nvme[0-9]+n[0-9]+)$`)

// list lists the disks below root, which is "/" on a box.
func (i *Installer) list() ([]disk, error) {
	entries, err := os.ReadDir(filepath.Join(i.Root, "sys/block"))
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	var found []disk
	for _, e := range entries {
		if !diskRE.MatchString(e.Name()) {
			continue
		}
		// A disk that goes while it is looked at has no size.
		if d := i.describe(e.Name()); d.Size > 0 {
			found = append(found, d)
		}
	}
	return found, nil
}

// describe looks at one disk.
func (i *Installer) describe(name string) disk {
	s := sysfs(filepath.Join(i.Root, "sys/block", name))
	d := disk{Disk: netboot.Disk{Name: name, Model: modelOf(s), Serial: i.serialOf(s), Size: s.number("size") * sector}}
	entries, _ := os.ReadDir(string(s)) // none: the disk is gone
	for _, e := range entries {
		if p := sysfs(filepath.Join(string(s), e.Name())); p.text("partition") != "" {
			d.parts = append(d.parts, part{e.Name(), p.number("start") * sector, p.number("size") * sector})
		}
	}
	slices.SortFunc(d.parts, func(a, b part) int { return int(min(1, max(-1, a.at-b.at))) })
	d.Refused = i.refusal(s, d)
	medium, err := i.Open(i.device(name), false)
	if err != nil {
		d.Content, d.Refused = "not known", "it cannot be read: "+err.Error()
		return d
	}
	defer medium.Close()
	i.peek(medium, &d)
	return d
}

func (i *Installer) device(name string) string { return filepath.Join(i.Root, "dev", name) }

// refusal says why a disk is never written; "" where it may be.
func (i *Installer) refusal(s sysfs, d disk) string {
	if s.text("ro") == "1" {
		return "it is read-only"
	}
	if size := s.number("queue/logical_block_size"); size != 0 && size != sector {
		return fmt.Sprintf("its sectors have %d bytes; the image's partition table counts %d", size, sector)
	}
	numbers := map[string]string{s.text("dev"): d.Name}
	for _, p := range d.parts {
		numbers[sysfs(filepath.Join(string(s), p.name)).text("dev")] = p.name
	}
	mounts, err := os.ReadFile(filepath.Join(i.Root, "proc/self/mountinfo"))
	if err != nil {
		return "whether it is mounted is not known: " + err.Error()
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && numbers[f[2]] != "" {
			return numbers[f[2]] + " is mounted on " + plain(f[4])
		}
	}
	for _, p := range append([]part{{name: ""}}, d.parts...) {
		if held, _ := os.ReadDir(filepath.Join(string(s), p.name, "holders")); len(held) > 0 {
			return "it is part of " + held[0].Name()
		}
	}
	return ""
}

// sysfs is a folder of /sys.
type sysfs string

// text reads an attribute; "" where there is none.
func (s sysfs) text(name string) string {
	data, err := os.ReadFile(filepath.Join(string(s), name))
	if err != nil {
		return ""
	}
	return plain(string(data))
}

// number reads an attribute; 0 where there is none.
func (s sysfs) number(name string) int64 {
	n, err := strconv.ParseInt(s.text(name), 10, 54) // of sectors, so that bytes fit into 63 bits
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// modelOf is what a disk calls itself.
func modelOf(s sysfs) string {
	vendor := s.text("device/vendor")
	if vendor == "ATA" || strings.HasPrefix(vendor, "0x") { // of a SATA disk; PCI number of a virtio one
		vendor = ""
	}
	return strings.TrimSpace(vendor + " " + s.text("device/model") + s.text("device/name"))
}

// serialOf is a disk's serial number, as tench flash reads it. That of a USB
// device is the one that is printed on it.
func (i *Installer) serialOf(s sysfs) string {
	if dir, err := filepath.EvalSymlinks(string(s)); err == nil {
		for ; len(dir) > len(filepath.Join(i.Root, "sys/devices")); dir = filepath.Dir(dir) {
			if sysfs(dir).text("idVendor") != "" {
				return sysfs(dir).text("serial")
			}
		}
	}
	// A page of SCSI's vital product data has a head of 4 bytes (SPC-3, 7.6.10).
	if page, err := os.ReadFile(filepath.Join(string(s), "device/vpd_pg80")); err == nil && len(page) > 4 {
		return plain(string(page[4:]))
	}
	if serial := s.text("serial"); serial != "" { // virtio
		return serial
	}
	return s.text("device/serial") // NVMe, SD
}

// answer is what a person types for a disk: the last four characters of its
// serial number, or its name where it has none.
func (d disk) answer() string {
	if d.Serial == "" {
		return d.Name
	}
	return d.Serial[max(0, len(d.Serial)-4):]
}

// String is the disk in one line of the console.
func (d disk) String() string {
	text := fmt.Sprintf("%s  %s  %s", d.Name, size(d.Size), strings.TrimSpace(d.Model+" "+d.Serial))
	text += ": " + d.Content
	if d.Refused != "" {
		text += " (not written: " + d.Refused + ")"
	}
	return text
}

// size is a number of bytes for people, as sellers of disks count.
func size(n int64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if n < 10000 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n = (n + 500) / 1000
	}
	return fmt.Sprintf("%d TB", n)
}

// readString reads n bytes, or "" where there are none.
func readString(r io.ReaderAt, at int64, n int) string {
	b := make([]byte, n)
	if _, err := r.ReadAt(b, at); err != nil {
		return ""
	}
	return string(b)
}
