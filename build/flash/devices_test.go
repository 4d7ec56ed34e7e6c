package flash

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fake is a machine of files: /sys, /proc and /dev as a kernel shows them.
type fake struct {
	t *testing.T
	m Machine
}

// fakeDisk is what a fake's /sys says of a disk.
type fakeDisk struct {
	name, bus string // bus: below /sys/devices, e.g. "pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host0"
	size      int64  // bytes
	files     map[string]string
	parts     []int64 // sizes in bytes
}

const usbPath = "pci0000:00/0000:00:14.0/usb1/1-4/1-4:1.0/host6/target6:0:0/6:0:0:0"

// stick is a USB stick of 16 GB.
func stick(name string) fakeDisk {
	return fakeDisk{name: name, bus: usbPath, size: 16_008_609_792, parts: []int64{1 << 30, 2 << 30}, files: map[string]string{
		"removable": "1", "device/vendor": "SanDisk ", "device/model": "Ultra Fit       ",
		"/pci0000:00/0000:00:14.0/usb1/1-4/idVendor": "0781", "/pci0000:00/0000:00:14.0/usb1/1-4/serial": "4C5300012309\n",
	}}
}

// newFake is a machine with a system disk sda, mounted on / and swap on sda2, and
// a stick sdb.
func newFake(t *testing.T) fake {
	f := fake{t, Machine{Root: t.TempDir()}}
	f.disk(fakeDisk{name: "sda", bus: "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0", size: 256_060_514_304,
		parts: []int64{100 << 30, 8 << 30, 100 << 30},
		files: map[string]string{"device/vendor": "ATA     ", "device/model": "Samsung SSD 850", "device/vpd_pg80": "\x00\x80\x00\x0fS2R5NX0H123456T"}})
	f.disk(stick("sdb"))
	f.put("proc/self/mountinfo", mount("8:1", "/", "/dev/sda1")+mount("0:21", "/proc", "proc"))
	f.put("proc/swaps", "Filename\tType\n/dev/sda2 partition 8 0 -2\n")
	f.link("dev/disk/by-id/usb-SanDisk_Ultra_Fit_4C5300012309-0:0", "../../sdb")
	return f
}

func mount(number, on, source string) string {
	return fmt.Sprintf("22 27 %s / %s rw,relatime shared:1 - ext4 %s rw\n", number, on, source)
}

func (f fake) put(path, text string) {
	f.t.Helper()
	path = filepath.Join(f.m.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	write(f.t, path, []byte(text))
}

func (f fake) link(path, target string) {
	f.t.Helper()
	path = filepath.Join(f.m.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		f.t.Fatal(err)
	}
}

func (f fake) mkdir(path string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Join(f.m.Root, path), 0o755); err != nil {
		f.t.Fatal(err)
	}
}

// minors are given in the order that disks are made in.
var minors = map[string]int{"sda": 0, "sdb": 16, "sdc": 32}

// disk makes a disk with its partitions.
func (f fake) disk(d fakeDisk) {
	major, minor := 8, minors[d.name]
	dir := filepath.Join("sys/devices", d.bus, "block", d.name)
	f.block(dir, fmt.Sprintf("%d:%d", major, minor), d.size)
	f.link("sys/block/"+d.name, "../../"+dir)
	f.put(filepath.Join(dir, "removable"), "0\n")
	f.put(filepath.Join(dir, "queue/logical_block_size"), "512\n")
	at := int64(mib)
	for i, size := range d.parts {
		part := filepath.Join(dir, fmt.Sprintf("%s%d", d.name, i+1))
		f.block(part, fmt.Sprintf("%d:%d", major, minor+i+1), size)
		f.put(filepath.Join(part, "partition"), fmt.Sprintln(i+1))
		f.put(filepath.Join(part, "start"), fmt.Sprintln(at/sector))
		at += size
	}
	for name, text := range d.files {
		if up, ok := strings.CutPrefix(name, "/"); ok {
			f.put(filepath.Join("sys/devices", up), text)
			continue
		}
		f.put(filepath.Join(dir, name), text)
	}
}

// block makes what every block device has.
func (f fake) block(dir, number string, size int64) {
	name := filepath.Base(dir)
	f.put(filepath.Join(dir, "size"), fmt.Sprintln(size/sector))
	f.put(filepath.Join(dir, "dev"), number+"\n")
	f.put(filepath.Join(dir, "ro"), "0\n")
	f.mkdir(filepath.Join(dir, "holders"))
	f.mkdir(filepath.Join(dir, "slaves"))
	f.link("sys/class/block/"+name, "../../../"+dir)
	f.link("sys/dev/block/"+number, "../../../"+dir)
	f.put("dev/"+name, "")
}

// virtual makes a device that is made of others, e.g. a logical volume.
func (f fake) virtual(name, number, given string, of ...string) {
	dir := "sys/devices/virtual/block/" + name
	f.block(dir, number, 1<<30)
	f.link("sys/block/"+name, "../../"+dir)
	if strings.HasPrefix(name, "dm-") {
		f.put(dir+"/dm/name", given+"\n")
		f.link("dev/mapper/"+given, "../"+name)
	} else {
		f.mkdir(dir + "/md")
	}
	for _, below := range of {
		f.link("sys/class/block/"+name+"/slaves/"+below, "../x")
		f.link("sys/class/block/"+below+"/holders/"+name, "../x")
	}
}

func (f fake) find(path string) Device {
	f.t.Helper()
	d, err := f.m.Find(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

func TestDevices(t *testing.T) {
	f := newFake(t)
	f.virtual("dm-0", "253:0", "vg-root", "sda3")
	f.block("sys/devices/virtual/block/loop0", "7:0", 0)
	f.link("sys/block/loop0", "../devices/virtual/block/loop0")
	got, err := f.m.Devices()
	if err != nil {
		t.Fatal(err)
	}
	want := []Device{
		{Name: "sdb", Path: "/dev/sdb", ByID: "/dev/disk/by-id/usb-SanDisk_Ultra_Fit_4C5300012309-0:0", Model: "SanDisk Ultra Fit",
			Serial: "4C5300012309", Bus: "usb", Size: 16_008_609_792, Removable: true, Number: "8:16",
			Partitions: []Partition{{"sdb1", mib, 1 << 30}, {"sdb2", mib + 1<<30, 2 << 30}}},
		{Name: "sda", Path: "/dev/sda", Model: "Samsung SSD 850", Serial: "S2R5NX0H123456T", Bus: "sata", Size: 256_060_514_304, Number: "8:0",
			Partitions: []Partition{{"sda1", mib, 100 << 30}, {"sda2", mib + 100<<30, 8 << 30}, {"sda3", mib + 108<<30, 100 << 30}},
			Uses:       []string{"sda1 is mounted on /", "sda2 is swap", "sda3 is held by dm-0 (vg-root)"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Device{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Devices (-want +got):\n%s", diff)
	}
}

// Each reason not to write to a disk, one by one.
func TestRefusals(t *testing.T) {
	const size = 200 * mib
	for name, tc := range map[string]struct {
		change func(f fake)
		path   string // "" for /dev/sdb
		fixed  string
		want   string // "" for none
	}{
		"a stick":              {},
		"a stick by its id":    {path: "/dev/disk/by-id/usb-SanDisk_Ultra_Fit_4C5300012309-0:0"},
		"a stick by --fixed":   {fixed: "4c5300012309"},
		"the disk of /":        {path: "/dev/sda", want: "/dev/sda: it is in use: sda1 is mounted on /; sda2 is swap"},
		"the disk of /, named": {path: "/dev/sda", fixed: "S2R5NX0H123456T", want: "it is in use: sda1 is mounted on /"},
		"/ on LVM": {path: "/dev/sdb", change: func(f fake) {
			f.virtual("dm-0", "253:0", "vg0-root", "sdb2")
			f.put("proc/self/mountinfo", mount("253:0", "/", "/dev/mapper/vg0-root"))
		}, want: "it is in use: sdb2 > dm-0 (vg0-root) is mounted on /; sdb2 is held by dm-0 (vg0-root)"},
		"/ on LVM on crypt on RAID": {change: func(f fake) {
			f.virtual("md0", "9:0", "", "sdb1", "sda3")
			f.virtual("dm-0", "253:0", "cryptroot", "md0")
			f.virtual("dm-1", "253:1", "vg0-root", "dm-0")
			f.put("proc/self/mountinfo", mount("253:1", "/", "/dev/mapper/vg0-root"))
		}, want: "it is in use: sdb1 > md0 > dm-0 > dm-1 (vg0-root) is mounted on /; sdb1 is held by md0"},
		"/ on a partition of a RAID": {change: func(f fake) {
			f.virtual("md0", "9:0", "", "sdb")
			f.block("sys/devices/virtual/block/md0/md0p1", "259:0", 1<<20)
			f.put("sys/devices/virtual/block/md0/md0p1/partition", "1\n")
			f.put("proc/self/mountinfo", mount("259:0", "/", "/dev/md0p1"))
		}, want: "it is in use: sdb > md0p1 is mounted on /"},
		"a partition is mounted": {change: func(f fake) {
			f.put("proc/self/mountinfo", mount("8:17", `/media/my\040stick`, "/dev/sdb1"))
		}, want: "it is in use: sdb1 is mounted on /media/my stick"},
		"the whole disk is mounted": {change: func(f fake) {
			f.put("proc/self/mountinfo", mount("8:16", "/mnt", "/dev/sdb"))
		}, want: "it is in use: sdb is mounted on /mnt"},
		"btrfs, which has a number of its own": {change: func(f fake) {
			f.put("proc/self/mountinfo", mount("0:40", "/home", "/dev/sdb2"))
		}, want: "it is in use: sdb2 is mounted on /home"},
		"swap": {change: func(f fake) {
			f.put("proc/swaps", "Filename Type\n/dev/sdb2 partition 8 0 -2\n")
		}, want: "it is in use: sdb2 is swap"},
		"swap on LVM": {change: func(f fake) {
			f.virtual("dm-0", "253:0", "vg0-swap", "sdb1")
			f.put("proc/swaps", "Filename Type\n/dev/dm-0 partition 8 0 -2\n")
		}, want: "it is in use: sdb1 > dm-0 (vg0-swap) is swap"},
		"held, not mounted": {change: func(f fake) {
			f.virtual("dm-0", "253:0", "backup", "sdb1")
		}, want: "it is in use: sdb1 is held by dm-0 (backup)"},
		"read-only":            {change: func(f fake) { f.put("sys/class/block/sdb/ro", "1\n") }, want: "it is read-only\nhint: "},
		"a fixed disk":         {change: func(f fake) { f.put("sys/class/block/sdb/removable", "0\n") }, want: "it is a fixed disk\nhint: if it is the right one, name it: --fixed \"4C5300012309\""},
		"a fixed disk, named":  {change: func(f fake) { f.put("sys/class/block/sdb/removable", "0\n") }, fixed: "4C5300012309"},
		"another one is named": {fixed: "S2R5NX0H123456T", want: "--fixed names \"S2R5NX0H123456T\", but this is \"4C5300012309\""},
		"an SD card": {change: func(f fake) {
			f.put("sys/class/block/sdb/removable", "0\n")
			f.put("sys/class/block/sdb/device/type", "SD\n")
		}},
		"too small":             {change: func(f fake) { f.put("sys/class/block/sdb/size", fmt.Sprintln(size/sector-1)) }, want: "is too small for the image of 200 MiB"},
		"just large enough":     {change: func(f fake) { f.put("sys/class/block/sdb/size", fmt.Sprintln(size/sector)) }},
		"somebody's archive":    {change: func(f fake) { f.put("sys/class/block/sdb/size", fmt.Sprintln(large/sector+1)) }, want: "it has 275 GB, which is much for a router\nhint: "},
		"an archive, named":     {change: func(f fake) { f.put("sys/class/block/sdb/size", fmt.Sprintln(large/sector+1)) }, fixed: "4C5300012309"},
		"sectors of 4096 bytes": {change: func(f fake) { f.put("sys/class/block/sdb/queue/logical_block_size", "4096\n") }, want: "its sectors have 4096 bytes"},
		"a reader with no card": {change: func(f fake) { f.put("sys/class/block/sdb/size", "0\n") }, want: "there is no medium in it"},
		"a partition":           {path: "/dev/sdb1", want: "it is a partition of sdb, not a whole disk"},
		"a logical volume":      {path: "/dev/mapper/vg0-x", change: func(f fake) { f.virtual("dm-0", "253:0", "vg0-x", "sda3") }, want: "it is a device-mapper volume (vg0-x), not a whole disk"},
		"a RAID":                {path: "/dev/md0", change: func(f fake) { f.virtual("md0", "9:0", "", "sda3") }, want: "it is a RAID"},
		"an optical drive":      {change: func(f fake) { f.put("sys/class/block/sdb/device/type", "5\n") }, want: "it is an optical drive"},
		"a loop without a file": {path: "/dev/loop0", change: func(f fake) { f.block("sys/devices/virtual/block/loop0", "7:0", 1<<30) }, want: "it is a loop device without a file"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			if tc.change != nil {
				tc.change(f)
			}
			path := tc.path
			if path == "" {
				path = "/dev/sdb"
			}
			err := f.find(path).Refuse(Request{Size: size, Fixed: tc.fixed})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("Refuse = %v, want it taken", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("Refuse = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestFindRefusesWhatIsNoDevice(t *testing.T) {
	f := newFake(t)
	f.put("dev/null", "")
	f.put("mnt/sdb/lost+found", "")
	for path, want := range map[string]string{
		"/dev/sdx":  "/dev/sdx: no such file or directory\nhint: tench flash IMAGE lists",
		"/dev/null": "/dev/null: is no block device\nhint:",
		"/mnt/sdb":  "/mnt/sdb: is no block device\nhint:", // a place to mount it, called like it
	} {
		if _, err := f.m.Find(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Find(%s) = %v, want %q", path, err, want)
		}
	}
}

func TestAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		serial, want string
		right, wrong []string
	}{
		"a serial number":     {"4C5300012309", "2309", []string{"2309", " 2309\n"}, []string{"", "y", "yes", "309", "4C5300012309"}},
		"letters":             {"S2R5NX0H12AB6T", "AB6T", []string{"AB6T", "ab6t"}, []string{"ab6"}},
		"a short one":         {"7", "7", []string{"7"}, []string{"07", ""}},
		"none: name and size": {"", "sdb 16 GB", []string{"sdb 16 GB", "SDB 16 gb"}, []string{"", "sdb", "16 GB", "y"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := Device{Name: "sdb", Size: 16_008_609_792, Serial: tc.serial}
			if got := d.Answer(); got != tc.want {
				t.Errorf("Answer() = %q, want %q", got, tc.want)
			}
			for _, typed := range tc.right {
				if !d.Confirmed(typed) {
					t.Errorf("Confirmed(%q) = false", typed)
				}
			}
			for _, typed := range tc.wrong {
				if d.Confirmed(typed) {
					t.Errorf("Confirmed(%q) = true", typed)
				}
			}
		})
	}
}

func TestSerial(t *testing.T) {
	for name, tc := range map[string]struct {
		d    fakeDisk
		want string
	}{
		"USB, the one of its plug": {stick("sdc"), "4C5300012309"},
		"SCSI":                     {fakeDisk{name: "sdc", bus: "pci0/host1", files: map[string]string{"device/vpd_pg80": "\x00\x80\x00\x06 AB12 "}}, "AB12"},
		"virtio":                   {fakeDisk{name: "sdc", bus: "pci0/virtio1", files: map[string]string{"serial": "vol-1"}}, "vol-1"},
		"NVMe and SD":              {fakeDisk{name: "sdc", bus: "pci0/nvme/nvme0", files: map[string]string{"device/serial": "S4EV \n"}}, "S4EV"},
		"what udev asked for":      {fakeDisk{name: "sdc", bus: "pci0/host1"}, "WD-1"},
		"escapes of a terminal":    {fakeDisk{name: "sdc", bus: "pci0/virtio1", files: map[string]string{"serial": "\x1b[2Jx"}}, "[2Jx"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			tc.d.size = 1 << 30
			f.disk(tc.d)
			f.put("run/udev/data/b8:32", "S:disk/by-id/x\nE:ID_SERIAL_SHORT=WD-1\n")
			if got := f.find("/dev/sdc").Serial; got != tc.want {
				t.Errorf("serial %q, want %q", got, tc.want)
			}
		})
	}
}

func TestRefuseLabel(t *testing.T) {
	image := Label{"apu2", "2026.11"}
	if err := RefuseLabel("/dev/sdb", Label{"apu2", "2026.10"}, image, ""); err != nil {
		t.Errorf("an older stick of the same board: %v", err)
	}
	if err := RefuseLabel("/dev/sdb", Label{"alix2d3", "2026.10"}, image, ""); err == nil ||
		err.Error() != "flash: /dev/sdb: it is a stick of board alix2d3, the image is for apu2\nhint: if it is the right one: --was alix2d3" {
		t.Errorf("another board's stick: %v", err)
	}
	if err := RefuseLabel("/dev/sdb", Label{"alix2d3", "2026.10"}, image, "alix2d3"); err != nil {
		t.Errorf("another board's stick, named: %v", err)
	}
}
