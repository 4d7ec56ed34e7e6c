// Package boards holds what we know of each piece of hardware that tench builds
// for: boards/NAME/board.toml, with kernel.config and router.toml beside it.
//
//	board.go   Board, the value every build step is handed
//	load.go    reading and checking board.toml
//
// The board's name is read once, in cmd/tench; from there on the Board value is
// passed. The box itself reads the same file from /etc/tench/board.toml.
package boards

// Board is one board: all that a build step, QEMU or the box may ask of it.
type Board struct {
	Name     string   // folder name and the tag in images, e.g. "qemu-amd64"
	Title    string   // e.g. "QEMU pc and q35"
	Arch     Arch     // CPU architecture of kernel and programs
	RAMMiB   int      // smallest memory the board is sold with
	Console  Console  // serial console
	Firmware []string // what starts it: "bios", "uefi"
	Kernel   Kernel
	Layout   Layout
	Ports    []Port // network ports, in the order on the case
	Watchdog Watchdog
	QEMU     QEMU   // the machine that stands in for it
	Notes    string // how to flash and wire it, shown after a build
	Dir      string // the folder with board.toml, kernel.config, router.toml; "" on the box
}

// Arch names a CPU in the words of Go, of the Linux Makefile and of ELF.
type Arch struct {
	Name    string   // "amd64"; GOARCH
	Linux   string   // ARCH= of the kernel's Makefile, e.g. "x86_64"
	Image   string   // kernel image below the build folder, e.g. "arch/x86/boot/bzImage"
	ELF     string   // debug/elf machine name, e.g. "EM_X86_64"
	Bits    int      // 32 or 64
	GoEnv   []string // e.g. "GO386=softfloat"
	Debian  string   // Debian's name for it
	EFIBoot string   // removable-media loader name, e.g. "BOOTX64.EFI"
	GRUBEFI string   // GRUB's platform name, e.g. "x86_64-efi"
}

// Console is the serial console of a board.
type Console struct {
	Device string // "ttyS0"
	Speed  int    // bit/s, 8N1
	Menu   bool   // the physical console is trusted: it shows the menu without asking who is there
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

// Port ties a label on the case to a device.
type Port struct {
	Label string // as printed on the case, e.g. "LAN1"
	Path  string // where the device sits, as udev's ID_PATH, e.g. "pci-0000:00:03.0"
}

// Watchdog is the hardware watchdog that reboots a hung box.
type Watchdog struct {
	Driver  string // kernel's identity prefix, e.g. "i6300ESB"; "" takes the first there is
	Timeout int    // seconds until it bites
}

// QEMU describes the virtual machine that is the board or stands in for it.
type QEMU struct {
	System   string   // "x86_64": qemu-system-x86_64
	Machine  string   // "pc", "q35"
	CPU      string   // "max"; a model that lacks what the board lacks
	NIC      string   // "virtio-net-pci"
	Disk     string   // "virtio-blk-pci", "usb-storage"
	Devices  []string // further -device arguments
	Expected string   // the line that says it is up
}

// TotalMiB is the size of the whole image: the partitions and the first MiB,
// which holds the partition table and the boot loader.
func (l Layout) TotalMiB() int { return 1 + l.BootMiB + 2*l.SlotMiB + l.DataMiB }
