package isa

import (
	"fmt"
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

// Raw is machine code that no table tells about: where its functions are is seen
// from who calls them. Data may lie behind the code.
type Raw struct {
	Name    string // e.g. "unpacker"
	Address uint64 // of the first byte
	Code    []byte
}

// asData is why a finding behind the last function that anybody calls is none.
const asData = "data: it lies behind the last function that is called"

// ScanRaw returns Findings when stretches of code for one CPU mode (16, 32 or 64
// bits) have instructions of the groups that it lacks. They may call each other.
//
// Of a stretch in which functions are called, the code ends with the last of
// them. What looks like an instruction behind it is returned instead: among
// addresses, numbers and texts something does. A function that is only reached
// by its address and lies behind all others would be taken for data, too.
func ScanRaw(stretches []Raw, mode int, lacks []string) ([]Guarded, error) {
	if len(lacks) == 0 {
		return nil, nil
	}
	called := calls(stretches, mode)
	var found Findings
	var data []Guarded
	for _, s := range stretches {
		functions, end := s.functions(called, mode)
		for _, fn := range functions {
			for _, f := range firsts(fn.scan(mode, lacks)) {
				if f.Address >= end {
					data = append(data, Guarded{f, asData})
					continue
				}
				found = append(found, f)
			}
		}
	}
	if len(found) > 0 {
		return data, found
	}
	return data, nil
}

// calls lists where functions of the stretches begin that one of them calls by a
// distance. That data looks like such a call and hits a stretch is as good as
// impossible with distances of 32 bits, and rare with 16.
func calls(stretches []Raw, mode int) []uint64 {
	var list []uint64
	for _, s := range stretches {
		for at := 0; at < len(s.Code); {
			inst, err := x86asm.Decode(s.Code[at:], mode)
			if err != nil || inst.Len == 0 {
				at++
				continue
			}
			at += inst.Len
			rel, ok := inst.Args[0].(x86asm.Rel)
			if inst.Op != x86asm.CALL || !ok || rel == 0 { // a call of what comes next asks where it is
				continue
			}
			target := s.Address + uint64(at) + uint64(int64(rel))
			if slices.ContainsFunc(stretches, func(o Raw) bool { return target >= o.Address && target < o.end() }) {
				list = append(list, target)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (s Raw) end() uint64 { return s.Address + uint64(len(s.Code)) }

// functions cuts the stretch where functions begin that are called, and where
// the last of them ends. It returns that end, too.
func (s Raw) functions(called []uint64, mode int) ([]function, uint64) {
	var starts []Symbol
	for _, address := range called {
		if address >= s.Address && address < s.end() {
			starts = append(starts, Symbol{fmt.Sprintf("%s's function %#x", s.Name, address), address})
		}
	}
	end := s.end()
	if len(starts) > 0 {
		last := starts[len(starts)-1].Address
		end = last + uint64(length(s.Code[last-s.Address:], mode))
		starts = append(starts, Symbol{s.Name, end})
	}
	functions := cut(s.Address, s.Code, starts)
	if functions[0].name == "" {
		functions[0].name = s.Name
	}
	return functions, end
}

// length is how many bytes the function at the start of code has: up to a return
// or a jump away behind which no branch of it leads.
func length(code []byte, mode int) int {
	farthest := 0
	for at := 0; at < len(code); {
		inst, err := x86asm.Decode(code[at:], mode)
		if err != nil || inst.Len == 0 {
			if classify(code[at:], mode) == "" {
				return max(at, farthest)
			}
			at++ // an instruction, though the disassembler does not know it
			continue
		}
		at += inst.Len
		rel, branches := inst.Args[0].(x86asm.Rel)
		if branches && inst.Op != x86asm.CALL {
			farthest = max(farthest, min(at+int(rel), len(code)))
		}
		if ends[inst.Op] && at >= farthest {
			return at
		}
	}
	return len(code)
}

// ends are the instructions that the next one does not come after.
var ends = map[x86asm.Op]bool{x86asm.RET: true, x86asm.LRET: true, x86asm.IRET: true, x86asm.IRETD: true, x86asm.JMP: true, x86asm.LJMP: true, x86asm.UD2: true}
