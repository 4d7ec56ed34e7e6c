package isa

import "bytes"

var (
	endbr32 = []byte{0xF3, 0x0F, 0x1E, 0xFB}
	endbr64 = []byte{0xF3, 0x0F, 0x1E, 0xFA}
)

// classify names the group of the instruction at the start of code, "" for one
// that every 586 has or that belongs to none of our groups, and for what is no
// instruction.
//
// It reads the opcode itself: the disassembler knows no SHA, SSE4A, VEX or EVEX,
// and what it does not know may be an instruction as well as data.
func classify(code []byte, mode int) Group {
	if bytes.HasPrefix(code, endbr32) || bytes.HasPrefix(code, endbr64) {
		return ENDBR
	}
	with, code := afterPrefixes(code, mode)
	if len(code) < 2 {
		return ""
	}
	switch op, next := code[0], code[1]; op {
	case 0x0F:
		return twoBytes(with, code[1:])
	case 0xC4, 0xC5, 0x62, 0x8F:
		return wide(code, mode)
	case 0xDB, 0xDD, 0xDF: // FISTTP
		if modRM(next).reg() == 1 && !modRM(next).register() {
			return SSE
		}
	case 0xC6, 0xC7: // XABORT, XBEGIN
		if next == 0xF8 {
			return SSE
		}
	}
	return ""
}

// wide is SSE for the beginnings of VEX, EVEX and XOP (AVX and later). Without
// 64 bits they are LES, LDS, BOUND and POP with a register where memory must be.
func wide(code []byte, mode int) Group {
	next := code[1]
	if mode == 16 || mode == 32 && next < 0xC0 {
		return ""
	}
	switch selected := next & 0x1F; code[0] {
	case 0xC4:
		if selected < 1 || selected > 3 {
			return ""
		}
	case 0x62:
		if selected&7 == 0 || selected&8 != 0 || len(code) < 3 || code[2]&4 == 0 {
			return ""
		}
	case 0x8F:
		if selected < 8 || selected > 10 {
			return ""
		}
	}
	return SSE
}

// afterPrefixes skips the prefixes of an instruction, and returns the one that
// selects among opcodes.
func afterPrefixes(code []byte, mode int) (prefixes, []byte) {
	with := none
	for len(code) > 0 {
		switch b := code[0]; {
		case b == 0xF3:
			with = xF3
		case b == 0xF2:
			with = xF2
		case b == 0x66:
			if with == none {
				with = x66
			}
		case b == 0xF0, b == 0x67, b&0xE7 == 0x26, b == 0x64, b == 0x65: // LOCK, address size, segments
		case mode == 64 && b&0xF0 == 0x40: // REX
		default:
			return with, code
		}
		code = code[1:]
	}
	return with, nil
}

// modRM is the byte that says which registers and which memory (Intel SDM,
// volume 2, section 2.1.3).
type modRM byte

func (m modRM) reg() int       { return int(m) >> 3 & 7 }
func (m modRM) register() bool { return m >= 0xC0 } // not memory

// twoBytes is the group of an opcode behind 0F.
func twoBytes(with prefixes, code []byte) Group {
	op := code[0]
	if len(code) < 2 {
		return "" // cut off: a ModRM follows each of them
	}
	next := code[1]
	switch op {
	case 0x01:
		return systemGroup(modRM(next), with)
	case 0x18:
		if modRM(next).reg() < 4 && !modRM(next).register() {
			return MMXExt // PREFETCHNTA, PREFETCHT0 to T2
		}
		return NOPL
	case 0x38:
		return map0F38.group(next, with)
	case 0x3A:
		return map0F3A.group(next, with)
	case 0xAE:
		return stateGroup(modRM(next), with)
	case 0xC7:
		if m := modRM(next); m.reg() > 5 || m.reg() > 2 && !m.register() {
			return SSE // RDRAND, RDSEED, RDPID, VMX, XSAVEC and XSAVES; not CMPXCHG8B
		}
		return ""
	}
	register := modRM(next).register()
	if register && memoryOnly[op] || !register && registerOnly[op] {
		return "" // not defined
	}
	return map0F.group(op, with)
}

// systemGroup is the group of an instruction 0F 01: with memory those of the 386
// and RSTORSSP, with a register SMSW, LMSW and whatever came later: MONITOR,
// MWAIT, VMX, XGETBV.
func systemGroup(m modRM, with prefixes) Group {
	if m.register() && m.reg() != 4 && m.reg() != 6 || !m.register() && m.reg() == 5 && with == xF3 {
		return SSE
	}
	return ""
}

// stateGroup is the group of an instruction 0F AE. FXSAVE and FXRSTOR are of the
// Pentium II already, but whatever lacks them lacks SSE too, as a Geode LX does.
func stateGroup(m modRM, with prefixes) Group {
	switch {
	case m.register() && with == none && m.reg() == 7:
		return MMXExt // SFENCE
	case m.register() && with == none && m.reg() < 5:
		return ""
	case m.register():
		return SSE // LFENCE, MFENCE, RDFSBASE, UMWAIT and others
	case with == none && m.reg() == 7:
		return CLFlush
	case with == xF2:
		return ""
	}
	return SSE // FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, XSAVE, CLWB and others
}
