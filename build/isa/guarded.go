package isa

// goGuarded are functions of the Go runtime and its helpers that use SSE on a
// 386 only after asking the CPU, whatever GO386 says (Go 1.26, runtime/asm_386.s,
// memmove_386.s, memclr_386.s, internal/bytealg/*_386.s). Go's tests run them
// on processors without, and so does ours: the board's stand-in has no SSE.
var goGuarded = map[string]bool{
	"aeshashbody":                  true, // entered only when useAeshash
	"runtime.memhash":              true,
	"runtime.memhash32":            true,
	"runtime.memhash64":            true,
	"runtime.strhash":              true,
	"runtime.memmove":              true,
	"runtime.memclrNoHeapPointers": true,
	"runtime.cputicks":             true, // fences only with SSE2
	"internal/cpu.xgetbv":          true, // called only when CPUID tells of OSXSAVE
	"memeqbody":                    true,
	"cmpbody":                      true,
}
