package kernel

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"tench/boards"
	"tench/build/isa"
)

// Scan looks for instructions that the board's CPU lacks in a finished kernel,
// image with its System.map. It returns a line for each function that has one
// but asks the CPU first. Nothing of it is an input of the kernel's own build.
func Scan(ctx context.Context, b boards.Board, image, systemMap string) ([]string, error) {
	lines, err := scan(ctx, b, image, systemMap)
	if err != nil {
		return nil, fmt.Errorf("kernel: scan %s: %w", image, err)
	}
	return lines, nil
}

func scan(ctx context.Context, b boards.Board, image, systemMap string) ([]string, error) {
	data, err := os.ReadFile(image)
	if err != nil {
		return nil, err
	}
	program, err := vmlinux(ctx, data)
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return nil, fmt.Errorf("vmlinux: %w", err)
	}
	defer f.Close()
	text, err := os.ReadFile(systemMap)
	if err != nil {
		return nil, err
	}
	symbols, err := mapFunctions(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", systemMap, err)
	}
	guarded, err := isa.ScanKernel(f, symbols, b.CPU.Lacks)
	if err != nil {
		return nil, err
	}
	more, err := scanVDSO(f, b.CPU.Lacks)
	if err != nil {
		return nil, fmt.Errorf("vDSO: %w", err)
	}
	guarded = append(guarded, more...)
	var lines []string
	for _, g := range guarded {
		lines = append(lines, fmt.Sprintf("%v: %s", g.Finding, g.Why))
	}
	return lines, nil
}

// scanVDSO looks through the vDSO (vdso(7)), the library that the kernel maps
// into every program: an ELF file among its data.
func scanVDSO(vmlinux *elf.File, lacks []string) ([]isa.Guarded, error) {
	var all []isa.Guarded
	for _, s := range vmlinux.Sections {
		if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_EXECINSTR != 0 {
			continue
		}
		data, err := s.Data()
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", s.Name, err)
		}
		magic := []byte(elf.ELFMAG)
		for at := bytes.Index(data, magic); at >= 0; at = bytes.Index(data, magic) {
			data = data[at:]
			if f, err := elf.NewFile(bytes.NewReader(data)); err == nil { // else it is the magic alone
				guarded, err := isa.ScanKernel(f, dynamicFunctions(f), lacks)
				if err != nil {
					return nil, err
				}
				all = append(all, guarded...)
			}
			data = data[len(magic):]
		}
	}
	return all, nil
}

// dynamicFunctions are the functions that a library offers.
func dynamicFunctions(f *elf.File) []isa.Symbol {
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil // it has none, or is damaged: then nothing has a name
	}
	var list []isa.Symbol
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			list = append(list, isa.Symbol{Name: s.Name, Address: s.Value})
		}
	}
	return list
}

// Further places in a bzImage (Documentation/arch/x86/boot.rst of Linux).
const (
	setupSectsAt    = 0x1f1 // sectors of the real-mode part behind the boot sector
	versionAt       = 0x206 // of the boot protocol
	payloadOffsetAt = 0x248 // of the packed vmlinux, from the end of the real-mode part
	payloadLengthAt = 0x24c

	hasPayload  = 0x0208 // the first version with the payload's place
	sectorSize  = 512
	payloadTail = 4 // behind the packed data: its size unpacked
)

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} // RFC 8878, section 3.1.1

// vmlinux unpacks the ELF file in a bzImage.
func vmlinux(ctx context.Context, image []byte) ([]byte, error) {
	le := binary.LittleEndian
	if !isBzImage(image) || le.Uint16(image[versionAt:]) < hasPayload {
		return nil, fmt.Errorf("it is no bzImage that says where vmlinux is")
	}
	sectors := int64(image[setupSectsAt])
	if sectors == 0 {
		sectors = 4 // as boot.rst has it
	}
	from := (sectors+1)*sectorSize + int64(le.Uint32(image[payloadOffsetAt:]))
	to := from + int64(le.Uint32(image[payloadLengthAt:])) - payloadTail
	if to > int64(len(image))-payloadTail || to < from {
		return nil, fmt.Errorf("vmlinux is said to be at bytes %d to %d of %d", from, to, len(image))
	}
	packed, size := image[from:to], le.Uint32(image[to:])
	if !bytes.HasPrefix(packed, zstdMagic) {
		return nil, fmt.Errorf("vmlinux is not packed with zstd\nhint: the kernel's fragments set KERNEL_ZSTD")
	}
	cmd := exec.CommandContext(ctx, "zstd", "-dcq")
	cmd.Stdin = bytes.NewReader(packed)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	program, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("unpack vmlinux: zstd: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	if len(program) != int(size) {
		return nil, fmt.Errorf("vmlinux has %d bytes, not %d", len(program), size)
	}
	return program, nil
}

// mapFunctions reads the functions of a System.map, which is what nm prints:
// address, type, name. T, t, W and w are code.
func mapFunctions(text string) ([]isa.Symbol, error) {
	var list []isa.Symbol
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %d: %q is not an address, a type and a name", i+1, line)
		}
		address, err := strconv.ParseUint(fields[0], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: address %q is not hexadecimal", i+1, fields[0])
		}
		if strings.Contains("TtWw", fields[1]) {
			list = append(list, isa.Symbol{Name: fields[2], Address: address})
		}
	}
	return list, nil
}
