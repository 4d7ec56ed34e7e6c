package isa

import (
	"bytes"

	"golang.org/x/arch/x86/x86asm"
)

var (
	endbr32 = []byte{0xF3, 0x0F, 0x1E, 0xFB}
	endbr64 = []byte{0xF3, 0x0F, 0x1E, 0xFA}
)

// opGroups are the groups of instructions that no register tells of. AMD had the
// prefetches and SFENCE before SSE, as extensions of MMX: a Geode LX has them, and
// gcc uses them for it.
var opGroups = map[x86asm.Op]Group{
	x86asm.PREFETCHT0: MMXExt, x86asm.PREFETCHT1: MMXExt, x86asm.PREFETCHT2: MMXExt, x86asm.PREFETCHNTA: MMXExt,
	x86asm.SFENCE: MMXExt, x86asm.CLFLUSH: CLFlush,
	x86asm.LFENCE: SSE, x86asm.MFENCE: SSE, x86asm.LDMXCSR: SSE, x86asm.STMXCSR: SSE, x86asm.MOVNTI: SSE,
}

// classify names the group of the instruction at the start of code, "" for one
// that every 586 has; inst is what the disassembler made of it.
func classify(code []byte, inst x86asm.Inst, err error, mode int) Group {
	switch {
	case bytes.HasPrefix(code, endbr32), bytes.HasPrefix(code, endbr64):
		return ENDBR
	case mode == 32 && len(code) > 1 && (code[0] == 0xC4 || code[0] == 0xC5) && code[1] >= 0xC0:
		return SSE // VEX: as LES and LDS it would have a register where memory must be
	case err != nil:
		return ""
	case inst.Op == x86asm.NOP && inst.Opcode>>16 == 0x0F1F:
		return NOPL
	case opGroups[inst.Op] != "":
		return opGroups[inst.Op]
	}
	for _, arg := range inst.Args {
		if reg, ok := arg.(x86asm.Reg); ok && reg >= x86asm.X0 && reg <= x86asm.X15 {
			return SSE
		}
	}
	return ""
}
