package isa

import (
	"debug/elf"
	"errors"
	"fmt"
	"strings"
)

// guard is an instruction that Linux runs only on a CPU that has it.
type guard struct {
	function    string // that it is in; "" for any, where it is in an inline function
	instruction string // how the text of a Finding begins
	why         string // how Linux knows
}

// kernelGuards is what is left when the alternatives are taken away (Linux 6.12,
// below arch/x86). Look at the source before you add one.
var kernelGuards = []guard{
	{"", "0f 01 e8", "SERIALIZE of sync_core, behind X86_FEATURE_SERIALIZE (include/asm/sync_core.h)"},
	{"kernel_fpu_begin_mask", "ldmxcsr", "behind X86_FEATURE_XMM (kernel/fpu/core.c)"},

	{"save_fpregs_to_fpstate", "fxsave", useFXSR},
	{"save_fsave_header", "fxsave", useFXSR},
	{"copy_fpstate_to_sigframe", "fxsave", useFXSR},
	{"fxrstor", "fxrstor", useFXSR},
	{"fxrstor_from_user_sigframe", "fxrstor", useFXSR},
	{"__fpu_restore_sig", "fxrstor", "only with ia32_fxstate, which fpu__restore_sig sets behind use_fxsr (kernel/fpu/signal.c)"},
	{"fpu__init_system", "fxsave", "behind X86_FEATURE_FXSR, in fpu__init_system_mxcsr (kernel/fpu/init.c)"},
	{"fpu__init_system_xstate", "fxsave", "behind X86_FEATURE_XSAVE, which includes FXSR, in setup_init_fpu_buf (kernel/fpu/xstate.c)"},

	{"os_xrstor", "xrstor", useXSave},
	{"save_fpregs_to_fpstate", "xsave", useXSave},
	{"fpu__clear_user_states", "xrstor", useXSave},
	{"__fpu_restore_sig", "xrstor", useXSave},
	{"__fpu_restore_sig", "xsave", useXSave},
	{"copy_fpstate_to_sigframe", "xsave", useXSave},
	{"fpu__init_cpu_xstate", "xsetbv", "behind X86_FEATURE_XSAVE (kernel/fpu/xstate.c)"},
	{"fpu__resume_cpu", "xsetbv", "behind X86_FEATURE_XSAVE (kernel/fpu/xstate.c)"},
	{"fpu__init_system_xstate", "xrstor", "behind X86_FEATURE_XSAVE (kernel/fpu/xstate.c)"},
	{"xsaves", "xsaves", "behind X86_FEATURE_XSAVES, in validate_independent_components (kernel/fpu/xstate.c)"},
	{"xrstors", "xrstors", "behind X86_FEATURE_XSAVES, in validate_independent_components (kernel/fpu/xstate.c)"},
	{"fpu_idle_fpregs", "xgetbv", "behind X86_FEATURE_AMX_TILE (kernel/fpu/core.c)"},

	{"x86_init_rdrand", "rdrand", "behind X86_FEATURE_RDRAND (kernel/cpu/rdrand.c)"},
	{"arch_get_random_longs", "rdrand", "behind X86_FEATURE_RDRAND (include/asm/archrandom.h)"},
	{"arch_get_random_seed_longs", "0f c7", "RDSEED, behind X86_FEATURE_RDSEED (include/asm/archrandom.h)"},

	{"lapic_next_deadline", "mfence", deadlineTimer},
	{"lapic_next_deadline", "lfence", deadlineTimer},
	{"__setup_APIC_LVTT", "mfence", "only in the mode that X86_FEATURE_TSC_DEADLINE_TIMER allows (kernel/apic/apic.c)"},
	{"__flush_tlb_all", "invpcid", "behind X86_FEATURE_INVPCID, in __flush_tlb_global (mm/tlb.c)"},
	{"native_flush_tlb_one_user", "invpcid", "behind X86_FEATURE_PTI and X86_FEATURE_INVPCID (mm/tlb.c)"},

	{"delay_halt_tpause", "66 0f ae f1", "TPAUSE, set as the delay's function only with X86_FEATURE_WAITPKG (kernel/time.c)"},
	{"delay_halt_mwaitx", "0f 01 fa", "MONITORX, set as the delay's function only with X86_FEATURE_MWAITX (kernel/cpu/amd.c, hygon.c)"},
	{"delay_halt_mwaitx", "0f 01 fb", "MWAITX, as MONITORX"},
	{"mwait_idle", "monitor", mwaitIdle},
	{"mwait_idle", "mwait", mwaitIdle},
	{"acpi_processor_ffh_cstate_enter", "monitor", mwaitCState},
	{"acpi_processor_ffh_cstate_enter", "mwait", mwaitCState},
}

const (
	useFXSR       = "behind use_fxsr or use_xsave, here or in who calls it: X86_FEATURE_FXSR (kernel/fpu/core.c, signal.c)"
	useXSave      = "behind use_xsave, here or in who calls it: X86_FEATURE_XSAVE (kernel/fpu/core.c, signal.c)"
	deadlineTimer = "set as the timer's function only with X86_FEATURE_TSC_DEADLINE_TIMER (kernel/apic/apic.c)"
	mwaitIdle     = "set as the idle function only with X86_FEATURE_MWAIT (kernel/process.c)"
	mwaitCState   = "only after acpi_processor_ffh_cstate_probe found CPUID's leaf of MWAIT (kernel/acpi/cstate.c)"
)

// guarded is why a finding is none, "" for one that stands.
func guarded(f Finding) string {
	for _, g := range kernelGuards {
		if (g.function == "" || g.function == f.Function) && strings.HasPrefix(f.Text, g.instruction) {
			return g.why
		}
	}
	return ""
}

// alternatives is the section with instructions that Linux copies over others
// while it starts, each only on a CPU with the feature it is noted for.
const alternatives = ".altinstr_replacement"

// Guarded is an instruction that does no harm.
type Guarded struct {
	Finding
	Why string
}

// ScanKernel returns Findings when the code of vmlinux has instructions of the
// groups that a CPU lacks. The alternatives are left out, and those that are run
// only after asking the CPU are returned instead. symbols are the functions of
// System.map: the file in a bzImage is stripped.
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
	var asked []Guarded
	for _, fn := range functions {
		var stands []Finding
		for _, finding := range fn.scan(mode, lacks) {
			if why := guarded(finding); why != "" {
				asked = append(asked, Guarded{finding, why})
				continue
			}
			stands = append(stands, finding)
		}
		found = append(found, firsts(stands)...)
	}
	if len(found) > 0 {
		return asked, fmt.Errorf("%w\nhint: switch off what brings it in, or, where the source asks the CPU first, name it in build/isa/kernel.go", found)
	}
	return asked, nil
}
