package flash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// Machine is where a machine's devices are looked for.
type Machine struct {
	Root string // "/"; another folder in tests
}

func (m Machine) path(parts ...string) string {
	return filepath.Join(append([]string{m.Root}, parts...)...)
}

// Device is a block device, as the kernel describes it.
type Device struct {
	Path       string      `json:"path"`            // e.g. "/dev/sdb"
	ByID       string      `json:"by-id,omitempty"` // e.g. "/dev/disk/by-id/usb-SanDisk_…"; "" where udev gave it no name
	Model      string      `json:"model"`
	Serial     string      `json:"serial"` // "" where it has none
	Bus        string      `json:"bus"`    // e.g. "usb"
	Size       int64       `json:"size"`   // bytes
	Removable  bool        `json:"removable"`
	Partitions []Partition `json:"partitions"`
	Uses       []string    `json:"uses"` // by whom it is in use, e.g. "sdb1 is mounted on /mnt"

	Name       string `json:"-"` // the kernel's, e.g. "sdb"
	Number     string `json:"-"` // major:minor
	sectorSize int    // bytes
	readOnly   bool
	notADisk   string // what else it is
}

// Partition is one that the kernel found.
type Partition struct {
	Name  string `json:"name"`  // e.g. "sdb1"
	Start int64  `json:"start"` // bytes from the start of the device
	Size  int64  `json:"size"`  // bytes
}

// Handle is what a person names the device by: its serial number, or, where it
// has none, the kernel's name and the size, e.g. "sdb 16 GB".
func (d Device) Handle() string {
	if d.Serial != "" {
		return d.Serial
	}
	return d.Name + " " + humanize.Bytes(uint64(d.Size))
}

// Answer is what a person has to type before the device is written: the last
// four characters of its serial number, or its whole handle where it has none.
func (d Device) Answer() string {
	if d.Serial == "" {
		return d.Handle()
	}
	return d.Serial[max(0, len(d.Serial)-4):]
}

// Confirmed reports whether somebody has typed the device's answer.
func (d Device) Confirmed(typed string) bool {
	return strings.EqualFold(strings.TrimSpace(typed), d.Answer())
}

// Devices lists the machine's disks, with those that take a stick first. What is
// no disk, e.g. a logical volume, or a loop device without a file, is left out.
func (m Machine) Devices() ([]Device, error) {
	entries, err := os.ReadDir(m.path("sys/block"))
	if err != nil {
		return nil, fmt.Errorf("flash: list devices: %w", err)
	}
	uses, err := m.uses()
	if err != nil {
		return nil, fmt.Errorf("flash: list devices: %w", err)
	}
	var list []Device
	for _, e := range entries {
		d, err := m.device(e.Name(), uses)
		if err != nil {
			return nil, fmt.Errorf("flash: device %s: %w", e.Name(), err)
		}
		if d.notADisk == "" && d.Size > 0 {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b Device) int {
		if a.Removable != b.Removable && a.Removable {
			return -1
		}
		if a.Removable != b.Removable {
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}

// Find looks at the device that path leads to, e.g. /dev/sdb or a link of
// /dev/disk/by-id.
func (m Machine) Find(path string) (Device, error) {
	real, err := filepath.EvalSymlinks(m.path(path))
	if err != nil {
		return Device{}, fmt.Errorf("flash: %s: %w\nhint: tench flash IMAGE lists the devices there are", path, withoutPath(err))
	}
	name := filepath.Base(real)
	dev, devErr := filepath.EvalSymlinks(m.path("dev"))
	if _, err := os.Stat(m.path("sys/class/block", name)); err != nil || devErr != nil || filepath.Dir(real) != dev {
		return Device{}, fmt.Errorf("flash: %s: is no block device\nhint: tench flash IMAGE lists the devices there are", path)
	}
	uses, err := m.uses()
	if err != nil {
		return Device{}, fmt.Errorf("flash: %s: %w", path, err)
	}
	d, err := m.device(name, uses)
	if err != nil {
		return Device{}, fmt.Errorf("flash: %s: %w", path, err)
	}
	return d, nil
}

// device describes the block device with the kernel's name.
func (m Machine) device(name string, uses map[string][]string) (Device, error) {
	dir, err := filepath.EvalSymlinks(m.path("sys/class/block", name))
	if err != nil {
		return Device{}, err
	}
	s := sysfs(dir)
	d := Device{
		Name: name, Path: "/dev/" + name, Number: s.text("dev"), Uses: uses[name], Bus: busOf(dir),
		Model: modelOf(s), Serial: m.serialOf(s), ByID: m.byID(name),
		Removable: s.text("removable") == "1" || s.text("device/type") == "SD",
		readOnly:  s.text("ro") == "1", notADisk: otherThanDisk(s, name),
	}
	sectors, err := s.number("size")
	if err != nil {
		return Device{}, err
	}
	d.Size = sectors * sector // sysfs counts 512 bytes, whatever the device's sectors are
	if size, err := s.number("queue/logical_block_size"); err == nil {
		d.sectorSize = int(size)
	}
	d.Partitions, err = partitionsOf(s)
	return d, err
}

// otherThanDisk says what a block device is that is no disk; "" for a disk.
func otherThanDisk(s sysfs, name string) string {
	switch {
	case s.has("partition"):
		return "a partition of " + filepath.Base(filepath.Dir(string(s)))
	case s.has("dm"):
		return "a device-mapper volume (" + s.text("dm/name") + ")"
	case s.has("md"):
		return "a RAID"
	case strings.HasPrefix(name, "loop") && !s.has("loop/backing_file"):
		return "a loop device without a file"
	case s.text("device/type") == "5": // SCSI peripheral device types, SPC-3, section 6.4.2
		return "an optical drive"
	}
	for prefix, what := range map[string]string{"ram": "a RAM disk", "zram": "memory", "sr": "an optical drive", "fd": "a floppy drive"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && strings.Trim(rest, "0123456789") == "" {
			return what
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
	return strings.TrimSpace(printable(string(data)))
}

func (s sysfs) number(name string) (int64, error) {
	n, err := strconv.ParseInt(s.text(name), 10, 54) // of sectors, so that bytes fit into 63 bits
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s: %q is no number", name, s.text(name))
	}
	return n, nil
}

func (s sysfs) has(name string) bool {
	_, err := os.Stat(filepath.Join(string(s), name))
	return err == nil
}

// partitionsOf lists the partitions that the kernel found on a device.
func partitionsOf(s sysfs) ([]Partition, error) {
	entries, err := os.ReadDir(string(s))
	if err != nil {
		return nil, err
	}
	list := []Partition{}
	for _, e := range entries {
		part := sysfs(filepath.Join(string(s), e.Name()))
		if !part.has("partition") {
			continue
		}
		start, errStart := part.number("start")
		size, errSize := part.number("size")
		if err := errors.Join(errStart, errSize); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		list = append(list, Partition{Name: e.Name(), Start: start * sector, Size: size * sector})
	}
	slices.SortFunc(list, func(a, b Partition) int { return int(min(1, max(-1, a.Start-b.Start))) })
	return list, nil
}

// buses are parts of a device's path in /sys that tell its bus; the first that
// is there counts, since a USB disk is a SCSI disk, too.
var buses = []struct{ part, bus string }{
	{"/usb", "usb"}, {"/mmc_host/", "mmc"}, {"/nvme/", "nvme"}, {"/ata", "sata"}, {"/virtio", "virtio"},
	{"/virtual/block/loop", "loop"}, {"/host", "scsi"},
}

func busOf(dir string) string {
	for _, b := range buses {
		if strings.Contains(dir, b.part) {
			return b.bus
		}
	}
	return "other"
}

// modelOf is what the device calls itself.
func modelOf(s sysfs) string {
	if file := s.text("loop/backing_file"); file != "" {
		return file
	}
	vendor := s.text("device/vendor")
	if vendor == "ATA" || strings.HasPrefix(vendor, "0x") { // of a SATA disk; PCI number of a virtio one
		vendor = ""
	}
	return strings.TrimSpace(vendor + " " + s.text("device/model") + s.text("device/name"))
}

// serialOf is the device's serial number. That of a USB device is the one that
// is printed on it, if any: what sticks give as SCSI disks is often made up.
func (m Machine) serialOf(s sysfs) string {
	for dir := string(s); len(dir) > len(m.path("sys/devices")); dir = filepath.Dir(dir) {
		if up := sysfs(dir); up.has("idVendor") {
			return up.text("serial")
		}
	}
	// A page of SCSI's vital product data has a head of 4 bytes (SPC-3, 7.6.10).
	if page, err := os.ReadFile(filepath.Join(string(s), "device/vpd_pg80")); err == nil && len(page) > 4 {
		return strings.TrimSpace(printable(string(page[4:])))
	}
	if serial := s.text("serial"); serial != "" { // virtio
		return serial
	}
	if serial := s.text("device/serial"); serial != "" { // NVMe, SD
		return serial
	}
	return m.udevSerial(s.text("dev"))
}

// udevSerial is the serial number that udev found, e.g. by asking an old disk.
func (m Machine) udevSerial(number string) string {
	data, err := os.ReadFile(m.path("run/udev/data", "b"+number))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if serial, ok := strings.CutPrefix(line, "E:ID_SERIAL_SHORT="); ok {
			return strings.TrimSpace(printable(serial))
		}
	}
	return ""
}

// byID is the shortest of udev's lasting names of a device.
func (m Machine) byID(name string) string {
	entries, err := os.ReadDir(m.path("dev/disk/by-id"))
	if err != nil {
		return ""
	}
	best := ""
	for _, e := range entries {
		link := filepath.Join("/dev/disk/by-id", e.Name())
		real, err := os.Readlink(m.path(link))
		if err == nil && filepath.Base(real) == name && (best == "" || len(link) < len(best)) {
			best = link
		}
	}
	return best
}
