package isa

// prefixes are the bytes before an opcode that make it another one, as a set.
type prefixes uint8

const (
	none prefixes = 1 << iota
	x66
	xF3
	xF2
	every = none | x66 | xF3 | xF2
)

// opcodes are those from first to last, with one of some prefixes.
type opcodes struct {
	first, last byte
	with        prefixes
	group       Group
}

// opcodeMap is the group of each opcode of a map, by its prefix.
type opcodeMap map[prefixes]*[256]Group

func (m opcodeMap) group(op byte, with prefixes) Group { return m[with][op] }

func mapOf(list []opcodes) opcodeMap {
	m := opcodeMap{none: {}, x66: {}, xF3: {}, xF2: {}}
	for _, row := range list {
		for prefix, groups := range m {
			for op := int(row.first); op <= int(row.last) && row.with&prefix != 0; op++ {
				groups[op] = row.group
			}
		}
	}
	return m
}

// The maps (Intel SDM, volume 2, appendix A; AMD64 APM, volume 3, appendix A).
// Only what is defined is in them, so that data is rarely taken for code.
//
// SSE's additions to MMX are MMXExt: AMD has had them since the Athlon, with its
// prefetches and SFENCE, and so has a Geode LX; gcc uses them for it. SSE2's are
// SSE. F3 BC, TZCNT, is not here: older CPUs take it for the BSF that compilers
// mean by it. F3 BD, LZCNT, is: they take it for BSR, which is another number.
var (
	map0F = mapOf([]opcodes{
		{0x10, 0x12, every, SSE},
		{0x13, 0x17, none | x66, SSE},
		{0x16, 0x16, xF3, SSE},
		{0x19, 0x1F, every, NOPL},
		{0x28, 0x29, none | x66, SSE},
		{0x2A, 0x2D, every, SSE},
		{0x2E, 0x2F, none | x66, SSE},
		{0x37, 0x37, none, SSE}, // GETSEC, the only one here without a ModRM
		{0x50, 0x50, none | x66, SSE},
		{0x51, 0x51, every, SSE},
		{0x52, 0x53, none | xF3, SSE},
		{0x54, 0x57, none | x66, SSE},
		{0x58, 0x5A, every, SSE},
		{0x5B, 0x5B, none | x66 | xF3, SSE},
		{0x5C, 0x5F, every, SSE},
		{0x60, 0x6F, x66, SSE},
		{0x6F, 0x6F, xF3, SSE},
		{0x70, 0x70, none, MMXExt}, // PSHUFW
		{0x70, 0x70, x66 | xF3 | xF2, SSE},
		{0x71, 0x76, x66, SSE},
		{0x78, 0x79, none | x66 | xF2, SSE}, // VMREAD, VMWRITE, EXTRQ, INSERTQ
		{0x7C, 0x7D, x66 | xF2, SSE},
		{0x7E, 0x7F, x66 | xF3, SSE},
		{0xB8, 0xB8, xF3, SSE}, // POPCNT
		{0xBD, 0xBD, xF3, SSE}, // LZCNT
		{0xC2, 0xC2, every, SSE},
		{0xC3, 0xC3, none, SSE},    // MOVNTI
		{0xC4, 0xC5, none, MMXExt}, // PINSRW, PEXTRW
		{0xC4, 0xC5, x66, SSE},
		{0xC6, 0xC6, none | x66, SSE},
		{0xD0, 0xD0, x66 | xF2, SSE},
		{0xD1, 0xEF, x66, SSE},
		{0xD4, 0xD4, none, SSE}, // PADDQ
		{0xD6, 0xD6, xF3 | xF2, SSE},
		{0xD7, 0xD7, none, MMXExt},   // PMOVMSKB
		{0xDA, 0xDA, none, MMXExt},   // PMINUB
		{0xDE, 0xDE, none, MMXExt},   // PMAXUB
		{0xE0, 0xE0, none, MMXExt},   // PAVGB
		{0xE3, 0xE4, none, MMXExt},   // PAVGW, PMULHUW
		{0xE6, 0xE6, xF3 | xF2, SSE}, // conversions
		{0xE7, 0xE7, none, MMXExt},   // MOVNTQ
		{0xEA, 0xEA, none, MMXExt},   // PMINSW
		{0xEE, 0xEE, none, MMXExt},   // PMAXSW
		{0xF0, 0xF0, xF2, SSE},       // LDDQU
		{0xF1, 0xFE, x66, SSE},
		{0xF4, 0xF4, none, SSE},    // PMULUDQ
		{0xF6, 0xF7, none, MMXExt}, // PSADBW, MASKMOVQ
		{0xFB, 0xFB, none, SSE},    // PSUBQ
	})

	// Opcodes of map0F that are defined with memory alone, and with registers alone.
	memoryOnly   = map[byte]bool{0x13: true, 0x17: true, 0x2B: true, 0xC3: true, 0xE7: true, 0xF0: true}
	registerOnly = map[byte]bool{0x50: true, 0xC5: true, 0xD7: true, 0xF7: true}

	map0F38 = mapOf([]opcodes{
		{0x00, 0x0B, none | x66, SSE}, // SSSE3
		{0x10, 0x10, x66, SSE},        // SSE4.1 up to 41
		{0x14, 0x15, x66, SSE},
		{0x17, 0x17, x66, SSE},
		{0x1C, 0x1E, none | x66, SSE}, // SSSE3
		{0x20, 0x25, x66, SSE},
		{0x28, 0x2B, x66, SSE},
		{0x30, 0x35, x66, SSE},
		{0x37, 0x41, x66, SSE},
		{0x80, 0x82, x66, SSE},              // INVEPT, INVVPID, INVPCID
		{0xC8, 0xCD, none, SSE},             // SHA
		{0xCF, 0xCF, x66, SSE},              // GFNI
		{0xD8, 0xD8, xF3, SSE},              // Key Locker
		{0xDB, 0xDF, x66, SSE},              // AES
		{0xDC, 0xDF, xF3, SSE},              // Key Locker
		{0xF0, 0xF1, none | x66 | xF2, SSE}, // MOVBE, CRC32
		{0xF5, 0xF5, x66, SSE},              // CET
		{0xF6, 0xF6, none | x66 | xF3, SSE}, // CET, ADX
		{0xF8, 0xF8, x66 | xF3 | xF2, SSE},  // MOVDIR64B, ENQCMD
		{0xF9, 0xF9, none, SSE},             // MOVDIRI
		{0xFA, 0xFB, xF3, SSE},              // Key Locker
		{0xFC, 0xFC, every, SSE},            // RAO-INT
	})

	map0F3A = mapOf([]opcodes{
		{0x08, 0x0F, x66, SSE},  // SSE4.1
		{0x0F, 0x0F, none, SSE}, // PALIGNR
		{0x14, 0x17, x66, SSE},
		{0x20, 0x22, x66, SSE},
		{0x40, 0x42, x66, SSE},
		{0x44, 0x44, x66, SSE},  // PCLMULQDQ
		{0x60, 0x63, x66, SSE},  // SSE4.2
		{0xCC, 0xCC, none, SSE}, // SHA
		{0xCE, 0xCF, x66, SSE},  // GFNI
		{0xDF, 0xDF, x66, SSE},  // AES
		{0xF0, 0xF0, xF3, SSE},  // HRESET
	})
)
