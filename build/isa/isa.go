// Package isa looks for instructions that a board's CPU dies of: a single one
// in a library is an "illegal instruction" in the field, months later.
//
//	isa.go       Scan: which functions of an ELF file hold such instructions
//	functions.go where the functions of a file are, stripped or not
//	classify.go  which instructions belong to which group
//	opcodes.go   the same as tables, of the opcodes that begin with 0F
//	guarded.go   functions of the Go runtime that ask the CPU first
//	kernel.go    ScanKernel: the same for Linux, and what it runs only after asking
//	raw.go       ScanRaw: code without any table, such as what unpacks Linux
package isa

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// Group is a kind of instruction, as board.toml's cpu.lacks names it.
type Group string

// The groups.
const (
	SSE     Group = "sse"     // SSE and later, with xmm registers or without: FXSAVE, PADDQ, MFENCE, MONITOR, POPCNT, AVX
	MMXExt  Group = "mmxext"  // SSE's additions to MMX, prefetches, SFENCE (Athlon, Geode LX, Pentium III)
	CLFlush Group = "clflush" // CLFLUSH (Pentium 4, Geode LX)
	NOPL    Group = "nopl"    // multi-byte NOPs, 0F 18 to 1F (Pentium Pro)
	ENDBR   Group = "endbr"   // endbr32 and endbr64, F3 0F 1E FA/FB
)

// Finding is the first instruction of a group in a function.
type Finding struct {
	Function string // "" where the file is stripped
	Address  uint64
	Group    Group
	Text     string // Intel syntax, e.g. "movaps xmm0, xmm1"
}

func (f Finding) String() string {
	where := fmt.Sprintf("%#x", f.Address)
	if f.Function != "" {
		where = f.Function + " at " + where
	}
	return fmt.Sprintf("%s: %s (%s)", where, f.Text, f.Group)
}

// Findings is what is wrong with a file, as an error.
type Findings []Finding

func (list Findings) Error() string {
	const most = 10
	lines := []string{fmt.Sprintf("%d functions have instructions that the board's CPU lacks:", len(list))}
	for i, f := range list {
		if i == most {
			lines = append(lines, fmt.Sprintf("  and %d more", len(list)-most))
			break
		}
		lines = append(lines, "  "+f.String())
	}
	return strings.Join(lines, "\n")
}

// modes are the bits of an x86 CPU, by the machine of a file.
var modes = map[elf.Machine]int{elf.EM_386: 32, elf.EM_X86_64: 64}

// Scan returns Findings when an x86 file has instructions of the groups that a
// CPU lacks, and nil for files of other CPUs. In Go programs those functions
// may have them that ask the CPU before.
func Scan(f *elf.File, lacks []string) error {
	mode := modes[f.Machine]
	if mode == 0 || len(lacks) == 0 {
		return nil
	}
	functions, err := functionsOf(f)
	if err != nil {
		return fmt.Errorf("look for instructions: %w", err)
	}
	var found Findings
	for _, fn := range functions {
		if !goGuarded[fn.name] {
			found = append(found, firsts(fn.scan(mode, lacks))...)
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("%w\nhint: compile it with the cpu.cflags and cpu.go of board.toml", found)
	}
	return nil
}

// scan disassembles one function. What is no instruction, such as a table in
// the code, is stepped over byte by byte.
func (fn function) scan(mode int, lacks []string) []Finding {
	var found []Finding
	for at := 0; at < len(fn.code); {
		code := fn.code[at:]
		inst, err := x86asm.Decode(code, mode)
		step := max(inst.Len, 1)
		if err != nil {
			step = 1
		}
		group := classify(code, mode)
		if group != "" && slices.Contains(lacks, string(group)) {
			address := fn.address + uint64(at)
			text := strings.ToLower(x86asm.IntelSyntax(inst, address, nil))
			switch {
			case group == ENDBR:
				text = "endbr"
			case err != nil || inst.Op == 0: // the disassembler does not know it
				text = fmt.Sprintf("% x", code[:min(len(code), 6)])
				_, opcode := afterPrefixes(code, mode)
				step = len(code) - len(opcode) + 1 // else it is found again without them
			}
			found = append(found, Finding{fn.name, address, group, text})
		}
		if group == ENDBR {
			step = 4
		}
		at += step
	}
	return found
}

// firsts are the first finding of each group.
func firsts(found []Finding) []Finding {
	seen := map[Group]bool{}
	return slices.DeleteFunc(found, func(f Finding) bool {
		again := seen[f.Group]
		seen[f.Group] = true
		return again
	})
}
