package isa

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rawOf compiles text and links it to bare bytes, as the kernel's build does
// with what unpacks it: code first, data behind.
func rawOf(t *testing.T, text string, flags ...string) []byte {
	t.Helper()
	object := compileC(t, text, flags...)
	dir := filepath.Dir(object)
	script := filepath.Join(dir, "x.lds")
	if err := os.WriteFile(script, []byte("SECTIONS { . = 0; .text : { *(.text.start) *(.text) } .rodata : { *(.rodata*) } /DISCARD/ : { *(*) } }"), 0o644); err != nil {
		t.Fatal(err)
	}
	linked, raw := filepath.Join(dir, "x.elf"), filepath.Join(dir, "x.bin")
	for _, args := range [][]string{{"ld", "-m", "elf_i386", "-T", script, "-o", linked, object}, {"objcopy", "-O", "binary", linked, raw}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	code, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

const (
	// startRaw calls three functions; the last has a loop and two ways out.
	startRaw = `__attribute__((noinline)) static int first(int a) { asm volatile("FIRST"); return a * 3; }
__attribute__((noinline)) static int last(volatile int *a) { for (int i = 0; i < *a; i++) if (a[i] == 7) return i; asm volatile("LAST"); return 9; }
__attribute__((section(".text.start"))) int start(int *a) { asm volatile("START"); return first(*a) + last(a); }
`
	// dataRaw is what movups xmm0, [eax] would be.
	dataRaw = "const unsigned char table[] = { 0x0f, 0x10, 0x00, 0x0f, 0x10, 0x00, 0x0f, 0x10, 0x00 };\n"
)

func TestScanRaw(t *testing.T) {
	with := func(instruction, where string) string {
		text := startRaw
		for _, place := range []string{"FIRST", "LAST", "START"} {
			put := ""
			if place == where {
				put = instruction
			}
			text = strings.Replace(text, place, put, 1)
		}
		return text
	}
	fence := func(where string) string { return with("lfence", where) }
	for name, tc := range map[string]struct {
		text string
		mode int
		want string // in the only finding; "" for none
		data bool   // something in the data looks like an instruction
	}{
		"nothing":                 {fence(""), 32, "", false},
		"data behind the code":    {fence("") + dataRaw, 32, "", true},
		"where it starts":         {fence("START") + dataRaw, 32, "unpacker at 0x1", true},
		"in a function":           {fence("FIRST") + dataRaw, 32, "unpacker's function 0x", true},
		"at the end of the last":  {fence("LAST") + dataRaw, 32, "unpacker's function 0x", true},
		"x86asm lacks it":         {with("sha1nexte %xmm0, %xmm1", "LAST") + dataRaw, 32, "unpacker's function 0x", true},
		"real mode":               {fence("FIRST"), 16, "unpacker's function 0x", false},
		"real mode, nothing":      {fence(""), 16, "", false},
		"nobody calls a function": {"void start(void) { asm volatile(\"lfence\"); }", 32, "unpacker at 0x1", false},
	} {
		t.Run(name, func(t *testing.T) {
			flags := []string{"-march=i386", "-fno-pic", "-fno-pie", "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-O1"}
			if tc.mode == 16 {
				flags = append(flags, "-m16")
			}
			raw := Raw{Name: "unpacker", Address: 0x1000, Code: rawOf(t, tc.text, flags...)}
			data, err := ScanRaw([]Raw{raw}, tc.mode, all)
			var found Findings
			if err != nil && !errors.As(err, &found) {
				t.Fatalf("ScanRaw = %v, want Findings", err)
			}
			if tc.want == "" && len(found) > 0 || tc.want != "" && (len(found) != 1 || !strings.Contains(found[0].String(), tc.want) || found[0].Group != SSE) {
				t.Errorf("ScanRaw = %v, want one with %q", found, tc.want)
			}
			if (len(data) > 0) != tc.data {
				t.Errorf("ScanRaw took for data: %v", data)
			}
			if list, err := ScanRaw([]Raw{raw}, tc.mode, nil); list != nil || err != nil {
				t.Errorf("ScanRaw for a CPU that lacks nothing = %v, %v", list, err)
			}
		})
	}
}

// One stretch may call functions of another: both are code up to there.
func TestScanRawAcrossStretches(t *testing.T) {
	head := Raw{Name: "head", Address: 0x100, Code: []byte{0xe8, 0xfb, 0x0e, 0, 0, 0xc3}} // call 0x1000; ret
	tail := Raw{Name: "tail", Address: 0xff0, Code: append(make([]byte, 16), 0x0f, 0xae, 0xe8, 0xc3, 0x0f, 0xae, 0xe8)}
	data, err := ScanRaw([]Raw{head, tail}, 32, all)
	if err == nil || !strings.Contains(err.Error(), "tail's function 0x1000 at 0x1000: lfence (sse)") {
		t.Errorf("ScanRaw = %v, want the function that head calls", err)
	}
	if len(data) != 1 || data[0].Address != 0x1004 {
		t.Errorf("ScanRaw took for data: %v, want what is behind the return", data)
	}
}

func FuzzScanRaw(f *testing.F) {
	f.Add([]byte{0xe8, 1, 0, 0, 0, 0xc3, 0x0f, 0xae, 0xe8, 0xc3}, []byte{0x0f, 0x1f, 0x44, 0, 0, 0xeb, 0xfe}, 32)
	f.Add([]byte{0x66, 0xe8, 0, 0}, []byte{}, 16)
	f.Fuzz(func(t *testing.T, a, b []byte, mode int) {
		if mode != 16 && mode != 32 && mode != 64 {
			mode = 32
		}
		stretches := []Raw{{"a", 0x200, a}, {"b", 0x200 + uint64(len(a)) + 7, b}}
		data, err := ScanRaw(stretches, mode, all)
		var found Findings
		if err != nil && !errors.As(err, &found) {
			t.Fatal(err)
		}
		for _, g := range data {
			found = append(found, g.Finding)
		}
		for _, finding := range found {
			if finding.Address < 0x200 || finding.Address >= stretches[1].end() {
				t.Errorf("%v is outside of the code", finding)
			}
		}
	})
}
