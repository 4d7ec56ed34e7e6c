// Package boards holds what we know of each piece of hardware that tench builds
// for: boards/NAME/board.toml, with kernel.config and router.toml beside it.
//
//	board.go   Board, the value every build step is handed
//	arch.go    the CPU architectures, in everybody's words
//	hardware.go what firmware calls a machine, and whether that is the board
//	load.go    finding and reading board.toml
//	check.go   what must be so in it
//
// The board's name is read once, in cmd/tench; from there on the Board value is
// passed. The box itself reads the same file from /etc/tench/board.toml.
package boards

// Board is one board: all that a build step, QEMU or the box may ask of it.
type Board struct {
	Name     string // folder name and the tag in images, e.g. "qemu-amd64"
	Title    string // e.g. "QEMU pc and q35"
	Arch     Arch   // CPU architecture of kernel and programs
	CPU      CPU
	Hardware Hardware // what its firmware calls it; where nobody has read that, empty
	RAMMiB   int      // smallest memory the board is sold with
	Console  Console  // serial console
	Firmware []string // what starts it: "bios", "uefi", "u-boot"
	UBoot    UBoot    // set when the firmware is "u-boot"
	Media    []string // what it boots from, e.g. "usb", "cf", "sd"
	Kernel   Kernel
	Daemons  []string // recipes of programs in C that go into its images, e.g. "bird"
	Layout   Layout
	Ports    []Port   // network ports, in the order on the case
	LEDs     []Signal // lights on the case that Linux can switch
	Buttons  []Signal // buttons that Linux can read
	Watchdog Watchdog
	Quirks   []Quirk
	QEMU     QEMU   // the machine that stands in for it; System is "" where there is none
	Flashing string // how the image gets onto the board, shown after a build
	Notes    string // what else to know, e.g. how to wire it
	Dir      string // the folder with board.toml, kernel.config, router.toml; "" on the box
}

// CPU narrows the architecture down to the board's processor.
type CPU struct {
	Model  string   // e.g. "AMD Geode LX800, 500 MHz"
	GoEnv  []string // e.g. "GO386=softfloat"
	CFlags []string // of C programs, e.g. "-march=geode"
	// Lacks are groups of instructions that the processor dies of, so that none
	// may be in a file of the image: "sse", "mmxext", "clflush", "nopl",
	// "endbr" (see build/isa).
	Lacks []string
}

// Console is the serial console of a board.
type Console struct {
	Device string // "ttyS0"
	Speed  int    // bit/s, 8N1
	Menu   bool   // the physical console is trusted: it shows the menu without asking who is there
}

// UBoot is the loader that the board's ROM reads from a fixed place before the
// first partition. It starts GRUB as UEFI firmware would, and gives the
// kernel its device tree.
type UBoot struct {
	Recipe string // below release/recipes, e.g. "u-boot-sunxi"
	File   string // in the recipe's tree, e.g. "usr/lib/u-boot/nanopi_neo/u-boot-sunxi-with-spl.bin"
	AtKiB  int    // where the ROM looks for it, KiB from the start of the medium
}

// Kernel is how the board's kernel is configured and started.
type Kernel struct {
	Fragments []string // names below release/recipes/linux/fragments, in order
	Args      []string // further words of the command line
	Require   []string // symbols, without CONFIG_, that must be =y in the result
	Forbid    []string // symbols that must not be set
}

// Layout gives the sizes of the four partitions, in MiB.
type Layout struct {
	BootMiB  int // p1, FAT32, at least 65 (below that FAT32 has too few clusters)
	SlotMiB  int // p2 and p3, FAT16
	DataMiB  int // p4, ext4
	BootWait int // seconds in which ESC on the console opens the boot menu; 0 for none
}

// Port ties a label on the case to a device. Path or Name says which.
type Port struct {
	Label  string // as printed on the case, e.g. "LAN1"
	Path   string // where the device sits, as udev's ID_PATH, e.g. "pci-0000:00:03.0"
	Name   string // the kernel's name, where the device tree gives it, as for the ports of a switch
	Driver string // of Linux, e.g. "igb"
}

// Signal is an LED or a button.
type Signal struct {
	Label  string // as printed on the case, or its place
	Device string // LED: its name in /sys/class/leds; button: its name among the input devices
}

// Watchdog is the hardware watchdog that reboots a hung box.
type Watchdog struct {
	Driver  string // kernel's identity prefix, e.g. "i6300ESB"; "" takes the first there is
	Timeout int    // seconds until it bites
}

// Quirk is something the board does wrong, what is done about it, and how the
// running box proves that this is in force.
type Quirk struct {
	Name   string
	Why    string
	Args   []string          // words of the kernel's command line
	Sysctl map[string]string // e.g. "kernel.panic": "30"
	Check  []Check
}

// Check reads a file on the box back.
type Check struct {
	File string   // e.g. "/sys/devices/system/clocksource/clocksource0/current_clocksource"
	Want []string // any of these is right
}

// QEMU describes the virtual machine that is the board or stands in for it.
type QEMU struct {
	System   string   // "x86_64": qemu-system-x86_64
	Machine  string   // "pc", "q35"
	CPU      string   // "max"; a model that lacks what the board lacks; "" for the machine's own
	RAMMiB   int      // where the machine has a size of its own; 0 for the board's
	NIC      string   // "virtio-net-pci"; "onboard" where the machine has its own
	Disk     string   // "virtio-blk-pci", "usb-storage"; "sd" for a slot of the machine
	UEFIDisk string   // instead of Disk under UEFI, whose QEMU build may know fewer; "" for Disk
	Devices  []string // further -device arguments
	Expected string   // the line that says it is up
}

// KernelArgs are the words that the board adds to the kernel's command line:
// its own, then those of its quirks.
func (b Board) KernelArgs() []string {
	args := append([]string(nil), b.Kernel.Args...)
	for _, q := range b.Quirks {
		args = append(args, q.Args...)
	}
	return args
}

// TotalMiB is the size of the whole image: the partitions and the first MiB,
// which holds the partition table and the boot loader.
func (l Layout) TotalMiB() int { return 1 + l.BootMiB + 2*l.SlotMiB + l.DataMiB }
