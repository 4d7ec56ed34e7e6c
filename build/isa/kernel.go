package isa

import (
	"debug/elf"
	"errors"
	"fmt"
)

// kernelGuarded are functions of Linux that have such instructions but run them
// only on a CPU that has them, with how they know (Linux 6.12). They are what
// is left when the alternatives are taken away; look at the source before you
// add one.
var kernelGuarded = map[string]string{
	"kernel_fpu_begin_mask": "LDMXCSR behind boot_cpu_has(X86_FEATURE_XMM) (arch/x86/kernel/fpu/core.c)",
	"lapic_next_deadline":   "set as the timer's function only with X86_FEATURE_TSC_DEADLINE_TIMER (arch/x86/kernel/apic/apic.c)",
	"__setup_APIC_LVTT":     "MFENCE only in the mode that X86_FEATURE_TSC_DEADLINE_TIMER allows (arch/x86/kernel/apic/apic.c)",
}

// alternatives is the section with instructions that Linux copies over others
// while it starts, each only on a CPU with the feature it is noted for.
const alternatives = ".altinstr_replacement"

// Guarded is a function of the kernel that asks the CPU first.
type Guarded struct {
	Finding
	Why string
}

// ScanKernel returns Findings when the code of vmlinux has instructions of the
// groups that a CPU lacks. The alternatives are left out, and functions that
// ask the CPU are returned instead. symbols are the functions of System.map: the
// file in a bzImage is stripped.
func ScanKernel(vmlinux *elf.File, symbols []Symbol, lacks []string) ([]Guarded, error) {
	mode := modes[vmlinux.Machine]
	if mode == 0 || len(lacks) == 0 {
		return nil, nil
	}
	functions, err := cutAll(vmlinux, symbols, alternatives)
	if err != nil {
		return nil, fmt.Errorf("look for instructions: %w", err)
	}
	if len(functions) == 0 {
		return nil, errors.New("look for instructions: there is no code in it")
	}
	var found Findings
	var guarded []Guarded
	for _, fn := range functions {
		for _, finding := range fn.scan(mode, lacks) {
			if why := kernelGuarded[fn.name]; why != "" {
				guarded = append(guarded, Guarded{finding, why})
				continue
			}
			found = append(found, finding)
		}
	}
	if len(found) > 0 {
		return guarded, fmt.Errorf("%w\nhint: switch off what brings it in, or, where the source asks the CPU first, name it in build/isa/kernel.go", found)
	}
	return guarded, nil
}
