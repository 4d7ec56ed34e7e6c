package boards

// Arch names a CPU in the words of Go, of the Linux Makefile, of ELF, of
// Debian, of GRUB and of the C compiler.
type Arch struct {
	Name    string // "amd64"; GOARCH
	Linux   string // ARCH= of the kernel's Makefile, e.g. "x86_64"
	Image   string // kernel image below the build folder, e.g. "arch/x86/boot/bzImage"
	ELF     string // debug/elf machine name, e.g. "EM_X86_64"
	Bits    int    // 32 or 64
	Debian  string // Debian's name for it
	EFIBoot string // removable-media loader name (UEFI 2.10, section 3.5.1.1), e.g. "BOOTX64.EFI"
	GRUBEFI string // GRUB's platform name, e.g. "x86_64-efi"
	Triplet string // GNU triplet of its compiler for programs, e.g. "x86_64-linux-gnu"
	OpenSSL string // OpenSSL's name of it, e.g. "linux-x86_64"
	Cross   string // CROSS_COMPILE= of the kernel on an amd64 machine; "" where plain gcc will do
}

// arches are the CPUs that tench can build for.
var arches = map[string]Arch{
	"amd64": {
		Name: "amd64", Linux: "x86_64", Image: "arch/x86/boot/bzImage", ELF: "EM_X86_64", Bits: 64,
		Debian: "amd64", EFIBoot: "BOOTX64.EFI", GRUBEFI: "x86_64-efi", Triplet: "x86_64-linux-gnu", OpenSSL: "linux-x86_64",
	},
	// The kernel needs no 32-bit library, so that plain gcc compiles it.
	"386": {
		Name: "386", Linux: "i386", Image: "arch/x86/boot/bzImage", ELF: "EM_386", Bits: 32,
		Debian: "i386", EFIBoot: "BOOTIA32.EFI", GRUBEFI: "i386-efi", Triplet: "i686-linux-gnu", OpenSSL: "linux-x86",
	},
	"arm64": {
		Name: "arm64", Linux: "arm64", Image: "arch/arm64/boot/vmlinuz.efi", ELF: "EM_AARCH64", Bits: 64,
		Debian: "arm64", EFIBoot: "BOOTAA64.EFI", GRUBEFI: "arm64-efi", Triplet: "aarch64-linux-gnu", OpenSSL: "linux-aarch64",
		Cross: "aarch64-linux-gnu-",
	},
	"arm": {
		Name: "arm", Linux: "arm", Image: "arch/arm/boot/zImage", ELF: "EM_ARM", Bits: 32,
		Debian: "armhf", EFIBoot: "BOOTARM.EFI", GRUBEFI: "arm-efi", Triplet: "arm-linux-gnueabihf", OpenSSL: "linux-armv4",
		Cross: "arm-linux-gnueabihf-",
	},
}
