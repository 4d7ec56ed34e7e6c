package kernel

import (
	"debug/elf"
	"debug/pe"
	"encoding/binary"
	"fmt"
	"os"

	"tench/boards"
)

// Places in a bzImage (Documentation/arch/x86/boot.rst of Linux).
const (
	bootFlagAt   = 0x1fe // 0xaa55
	headerAt     = 0x202 // "HdrS"
	loadFlagsAt  = 0x211
	xLoadFlagsAt = 0x236

	loadedHigh = 1 << 0 // loadflags: the protected-mode part goes to 1 MiB, so it is a bzImage
	kernel64   = 1 << 0 // xloadflags: it has a 64-bit entry point
)

// peMachines are the PE machine numbers of Linux images with an EFI stub.
var peMachines = map[uint16]string{
	pe.IMAGE_FILE_MACHINE_AMD64: elf.EM_X86_64.String(),
	pe.IMAGE_FILE_MACHINE_I386:  elf.EM_386.String(),
	pe.IMAGE_FILE_MACHINE_ARM64: elf.EM_AARCH64.String(),
	pe.IMAGE_FILE_MACHINE_THUMB: elf.EM_ARM.String(),
}

// CheckImage returns an error that names the file unless the kernel image in
// path is for the board's CPU. It looks at the bzImage header and at the PE
// header of the EFI stub; an image with neither is refused.
func CheckImage(b boards.Board, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	machine, err := imageMachine(data)
	if err != nil {
		return fmt.Errorf("image %s: %w", path, err)
	}
	if machine != b.Arch.ELF {
		return fmt.Errorf("image %s: is for %s, board %s needs %s", path, machine, b.Name, b.Arch.ELF)
	}
	return nil
}

// imageMachine returns the CPU as debug/elf names it.
func imageMachine(data []byte) (string, error) {
	stub, hasStub := stubMachine(data)
	if hasStub && peMachines[stub] == "" {
		return "", fmt.Errorf("EFI stub is for unknown machine %#x", stub)
	}
	if !isBzImage(data) {
		if !hasStub {
			return "", fmt.Errorf("is neither a bzImage nor an EFI program")
		}
		return peMachines[stub], nil
	}
	machine := elf.EM_386.String()
	if binary.LittleEndian.Uint16(data[xLoadFlagsAt:])&kernel64 != 0 {
		machine = elf.EM_X86_64.String()
	}
	if hasStub && peMachines[stub] != machine {
		return "", fmt.Errorf("boot header is for %s, EFI stub for %s", machine, peMachines[stub])
	}
	return machine, nil
}

// stubMachine returns the machine number of the PE header, if there is one. Its
// place is at 0x3c of the DOS header; the number follows the signature.
func stubMachine(data []byte) (uint16, bool) {
	if len(data) < 0x40 || string(data[:2]) != "MZ" {
		return 0, false
	}
	at := int64(binary.LittleEndian.Uint32(data[0x3c:]))
	if at+6 > int64(len(data)) || string(data[at:at+4]) != "PE\x00\x00" {
		return 0, false
	}
	return binary.LittleEndian.Uint16(data[at+4:]), true
}

func isBzImage(data []byte) bool {
	return len(data) > 0x1000 &&
		binary.LittleEndian.Uint16(data[bootFlagAt:]) == 0xaa55 &&
		string(data[headerAt:headerAt+4]) == "HdrS" &&
		data[loadFlagsAt]&loadedHigh != 0
}
