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
	bits := 32
	if f.Machine == elf.EM_X86_64 {
		bits = 64
	}
	if more, err = ScanStart(data, bits, b.CPU.Lacks); err != nil {
		return nil, err
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

// ScanStart looks through the code of a bzImage that runs before Linux itself:
// the real-mode part (arch/x86/boot), and what unpacks vmlinux
// (arch/x86/boot/compressed), whose beginning lies before the packed vmlinux and
// whose rest lies behind it. What is code there and what data is not said
// anywhere; see isa.ScanRaw. Addresses are places in the file; bits are the
// kernel's, 32 or 64.
func ScanStart(image []byte, bits int, lacks []string) ([]isa.Guarded, error) {
	at, err := placesIn(image)
	if err != nil {
		return nil, err
	}
	stretch := func(name string, from, to int64) isa.Raw {
		return isa.Raw{Name: name, Address: uint64(from), Code: image[from:to]}
	}
	// The boot protocol starts at 0x200, with a short jump over its own header.
	entry := int64(entryAt) + 2 + int64(image[entryAt+1])
	inRealMode, err := isa.ScanRaw([]isa.Raw{stretch("real-mode part", min(entry, at.setupEnd), at.setupEnd)}, 16, lacks)
	if err != nil {
		return nil, fmt.Errorf("real-mode part: %w\n%s", err, startHint)
	}
	unpacker, err := isa.ScanRaw([]isa.Raw{
		stretch("unpacker", at.setupEnd, at.payload), stretch("unpacker", at.payloadEnd+payloadTail, int64(len(image))),
	}, bits, lacks)
	if err != nil {
		return nil, fmt.Errorf("unpacker: %w\n%s", err, startHint)
	}
	return append(inRealMode, unpacker...), nil
}

// startHint goes with findings in code that runs before Linux asked the CPU.
const startHint = "hint: nothing asks the CPU that early; look at the flags in arch/x86/boot/Makefile and arch/x86/boot/compressed/Makefile"

// Further places in a bzImage (Documentation/arch/x86/boot.rst of Linux).
const (
	entryAt         = 0x200 // of the real-mode part: a jump, two bytes
	setupSectsAt    = 0x1f1 // sectors of the real-mode part behind the boot sector
	versionAt       = 0x206 // of the boot protocol
	payloadOffsetAt = 0x248 // of the packed vmlinux, from the end of the real-mode part
	payloadLengthAt = 0x24c

	hasPayload  = 0x0208 // the first version with the payload's place
	sectorSize  = 512
	payloadTail = 4 // behind the packed data: its size unpacked
)

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} // RFC 8878, section 3.1.1

// places are where parts of a bzImage are.
type places struct {
	setupEnd   int64 // of the real-mode part
	payload    int64 // packed vmlinux
	payloadEnd int64 // without the size behind it
}

func placesIn(image []byte) (places, error) {
	le := binary.LittleEndian
	if !isBzImage(image) || le.Uint16(image[versionAt:]) < hasPayload {
		return places{}, fmt.Errorf("it is no bzImage that says where vmlinux is")
	}
	sectors := int64(image[setupSectsAt])
	if sectors == 0 {
		sectors = 4 // as boot.rst has it
	}
	setup := (sectors + 1) * sectorSize
	from := setup + int64(le.Uint32(image[payloadOffsetAt:]))
	to := from + int64(le.Uint32(image[payloadLengthAt:])) - payloadTail
	if to > int64(len(image))-payloadTail || to < from {
		return places{}, fmt.Errorf("vmlinux is said to be at bytes %d to %d of %d", from, to, len(image))
	}
	return places{setup, from, to}, nil
}

// vmlinux unpacks the ELF file in a bzImage.
func vmlinux(ctx context.Context, image []byte) ([]byte, error) {
	at, err := placesIn(image)
	if err != nil {
		return nil, err
	}
	packed, size := image[at.payload:at.payloadEnd], binary.LittleEndian.Uint32(image[at.payloadEnd:])
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
