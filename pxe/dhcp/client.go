package dhcp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"tench/pxe/event"
)

// Firmware is what starts a box, which says what programs it can load.
type Firmware string

// The firmwares. "" is not known: an operating system, or a client that says
// nothing about itself.
const (
	BIOS        Firmware = "x86 BIOS"
	EFIIA32     Firmware = "ia32 UEFI"
	EFIX64      Firmware = "x64 UEFI"
	EFIARM      Firmware = "arm UEFI"
	EFIARM64    Firmware = "arm64 UEFI"
	EFIRISCV64  Firmware = "riscv64 UEFI"
	UBoot       Firmware = "U-Boot"
	RaspberryPi Firmware = "Raspberry Pi ROM"
)

// EFI reports whether it is UEFI.
func (f Firmware) EFI() bool { return strings.HasSuffix(string(f), "UEFI") }

// Client is who asks, as far as the packet says.
type Client struct {
	MAC      event.MAC
	Firmware Firmware
	// Arch is option 93 (RFC 4578) or what option 60 says; valid when HasArch.
	Arch    iana.Arch
	HasArch bool
	// Loader is the program that asks, when it is not the firmware itself:
	// "iPXE", "U-Boot", "FreeBSD", "NetBSD", "u-root", or "".
	Loader string
	// HTTP is set where the file must be a URL: UEFI HTTP boot.
	HTTP bool
	// Boots is set for what wants a boot file; not for an operating system that
	// wants an address.
	Boots bool
	// CPU is what U-Boot, which starts boxes of any, says of the processor: "arm",
	// "arm64", or "" where it does not.
	CPU string
	// UUID is option 97 in the order of its bytes, in which firmware differs
	// about the first three parts; "" where it has none or zeros.
	UUID string
	// Vendor is the vendor class (option 60), at most 64 bytes, and Host the host
	// name (option 12). They are as the network brought them.
	Vendor, Host string
}

// String says who it is, e.g. "iPXE on x86 BIOS".
func (c Client) String() string {
	text := string(c.Firmware)
	switch {
	case c.Loader != "" && text != "" && c.Loader != text:
		text = c.Loader + " on " + text
	case c.Loader != "":
		text = c.Loader
	case text == "" && c.Boots:
		text = "unknown firmware"
	case text == "":
		text = "no boot client"
	}
	if c.HTTP {
		text += ", HTTP boot"
	}
	return text
}

// kind is what an architecture of RFC 4578 (with the registry of IANA) means.
type kind struct {
	firmware Firmware
	http     bool
}

// kinds are the architectures. 7 and 9 are both sent by 64-bit x86 UEFI: the
// RFC's text and its registry had them the other way round.
var kinds = map[iana.Arch]kind{
	iana.INTEL_X86PC: {firmware: BIOS}, iana.INTEL_X86PC_HTTP: {BIOS, true},
	iana.EFI_IA32: {firmware: EFIIA32}, iana.EFI_X86_HTTP: {EFIIA32, true},
	iana.EFI_X86_64: {firmware: EFIX64}, iana.EFI_X86_64_HTTP: {EFIX64, true},
	iana.EFI_BC: {firmware: EFIX64}, iana.EFI_BC_HTTP: {EFIX64, true},
	iana.EFI_ARM32: {firmware: EFIARM}, iana.EFI_ARM32_HTTP: {EFIARM, true},
	iana.EFI_ARM64: {firmware: EFIARM64}, iana.EFI_ARM64_HTTP: {EFIARM64, true},
	iana.EFI_RISCV64: {firmware: EFIRISCV64}, iana.EFI_RISCV64_HTTP: {EFIRISCV64, true},
	iana.UBOOT_ARM32: {firmware: UBoot}, iana.UBOOT_ARM32_HTTP: {UBoot, true},
	iana.UBOOT_ARM64: {firmware: UBoot}, iana.UBOOT_ARM64_HTTP: {UBoot, true},
}

// loaders tell programs by the first letters of their vendor class.
var loaders = []struct{ prefix, loader string }{
	{"U-Boot", "U-Boot"},    // U-Boot.armv8: CONFIG_BOOTP_VCI_STRING
	{"U-boot", "U-Boot"},    // older ones
	{"NetBSD:", "NetBSD"},   // NetBSD:i386:libsa, the second stage
	{"PXE UROOT", "u-root"}, // its DHCP client, also under pxeboot
}

// largestText bounds what we keep of a client's texts, in bytes.
const largestText = 64

// classify tells who sent a message.
func classify(m *dhcpv4.DHCPv4) Client {
	c := Client{MAC: event.MAC(m.ClientHWAddr), Vendor: text(m, dhcpv4.OptionClassIdentifier), Host: text(m, dhcpv4.OptionHostName)}
	c.Arch, c.HasArch = archOf(m, c.Vendor)
	if k, known := kinds[c.Arch]; known && c.HasArch {
		c.Firmware, c.HTTP = k.firmware, k.http
	}
	pxe, http := strings.HasPrefix(c.Vendor, "PXEClient"), strings.HasPrefix(c.Vendor, "HTTPClient")
	c.HTTP = http || c.HTTP && !pxe
	for _, l := range loaders {
		if strings.HasPrefix(c.Vendor, l.prefix) {
			c.Loader = l.loader
		}
	}
	switch class := userClasses(m); {
	case slices.Contains(class, "iPXE") || m.Options.Has(dhcpv4.OptionEtherboot):
		c.Loader = "iPXE"
	case slices.Contains(class, "FreeBSD"):
		c.Loader = "FreeBSD"
	}
	if c.Loader == "U-Boot" {
		c.Firmware = UBoot
	} else if c.Firmware == UBoot {
		c.Loader = "U-Boot"
	}
	if c.Firmware == UBoot {
		c.CPU = ubootCPU(c)
	}
	id := m.Options.Get(dhcpv4.OptionClientMachineIdentifier)
	if pxe && c.Loader == "" && c.Firmware == BIOS && isRaspberryPi(c.MAC, id) {
		c.Firmware = RaspberryPi
	}
	c.UUID = uuid(id)
	c.Boots = pxe || http || c.HasArch || c.Loader != ""
	return c
}

// ubootCPU is the processor that a U-Boot is for, by option 93 or its vendor class:
// U-Boot.armv8, U-Boot.armv7 and U-Boot.arm (CONFIG_BOOTP_VCI_STRING).
func ubootCPU(c Client) string {
	switch _, name, _ := strings.Cut(c.Vendor, "."); {
	case c.HasArch && (c.Arch == iana.UBOOT_ARM64 || c.Arch == iana.UBOOT_ARM64_HTTP), name == "armv8":
		return "arm64"
	case c.HasArch && (c.Arch == iana.UBOOT_ARM32 || c.Arch == iana.UBOOT_ARM32_HTTP), name == "armv7", name == "arm":
		return "arm"
	}
	return ""
}

// archOf is option 93, or else the number in the vendor class: clients differ in
// which of them they send, e.g. "PXEClient:Arch:00007:UNDI:003016".
func archOf(m *dhcpv4.DHCPv4, vendor string) (iana.Arch, bool) {
	if archs := m.ClientArch(); len(archs) > 0 {
		return archs[0], true
	}
	_, rest, found := strings.Cut(vendor, "Client:Arch:")
	var n uint16
	if _, err := fmt.Sscanf(rest, "%5d", &n); !found || err != nil {
		return 0, false
	}
	return iana.Arch(n), true
}

// userClasses are those of option 77. RFC 3004 has a length before each; iPXE
// sends one class without.
func userClasses(m *dhcpv4.DHCPv4) []string {
	raw := m.Options.Get(dhcpv4.OptionUserClassInformation)
	classes := []string{string(raw)}
	var list dhcpv4.Strings
	if len(raw) > 0 && list.FromBytes(raw) == nil {
		classes = append(classes, list...)
	}
	return classes
}

// boardsOfPi are the first three bytes of Raspberry Pi's Ethernet addresses.
var boardsOfPi = []string{"\xb8\x27\xeb", "\xdc\xa6\x32", "\xe4\x5f\x01", "\x28\xcd\xc1", "\xd8\x3a\xdd", "\x2c\xcf\x67"}

// isRaspberryPi tells a Raspberry Pi's ROM, which says of itself that it is an x86
// BIOS: by its address, or by its machine identifier, which begins with "RPi" in
// a Pi 4 or 5 and was all 0x44 in a Pi 3.
func isRaspberryPi(mac event.MAC, id []byte) bool {
	return slices.Contains(boardsOfPi, string(mac[:3])) || len(id) == 17 &&
		(bytes.HasPrefix(id[1:], []byte("RPi")) || bytes.Equal(id[1:], bytes.Repeat([]byte{0x44}, 16)))
}

// uuid is the text of option 97 (RFC 4578, 2.3): a type, which is 0, and 16 bytes.
func uuid(id []byte) string {
	if len(id) != 17 || id[0] != 0 || bytes.Equal(id[1:], make([]byte, 16)) {
		return ""
	}
	h := hex.EncodeToString(id[1:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// text is an option's text, without zeros at its end, bounded.
func text(m *dhcpv4.DHCPv4, code dhcpv4.OptionCode) string {
	b := bytes.TrimRight(m.Options.Get(code), "\x00")
	return string(b[:min(len(b), largestText)])
}
