package isa

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var all = []string{"sse", "nopl", "endbr"}

// compileC compiles text with the C compiler, an independent writer of what
// Scan reads.
func compileC(t *testing.T, text string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	source, object := filepath.Join(dir, "x.c"), filepath.Join(dir, "x.o")
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-m32", "-O2", "-ffreestanding", "-c", "-o", object, source}, flags...)
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc %v: %v\n%s", args, err, out)
	}
	return object
}

const (
	plainC = "int plain(int a, int b) { return a / b; }"
	floatC = "float scale(float a, float b) { return a * b; }\n" + plainC
	nopC   = "void pad(void) { asm volatile(\".byte 0x0f, 0x1f, 0x44, 0, 0\"); }"
	fenceC = "void fence(void) { asm volatile(\"lfence\"); }"
	sseC   = "void more(void) { asm volatile(\"INSTRUCTION\"); }"
	vexC   = "void wide(void) { asm volatile(\"vzeroupper\"); }"
	tableC = "void table(void) { asm volatile(\"jmp 1f; .byte 0xff, 0xff, 0xf1, 0x0f; 1: lfence\"); }"
)

var geode = []string{"-march=geode", "-fcf-protection=none"}

func TestScanC(t *testing.T) {
	for name, tc := range map[string]struct {
		text  string
		flags []string
		want  string // function and group of the only finding; "" for none
	}{
		"Geode":            {floatC, []string{"-march=geode", "-mno-sse", "-fcf-protection=none"}, ""},
		"xmm register":     {floatC, []string{"-march=pentium3", "-mfpmath=sse", "-fcf-protection=none"}, "scale sse"},
		"endbr":            {plainC, []string{"-march=i686", "-fcf-protection=branch"}, "plain endbr"},
		"long NOP":         {nopC, geode, "pad nopl"},
		"no xmm register":  {strings.Replace(sseC, "INSTRUCTION", "paddq %mm0, %mm1", 1), geode, "more sse"},
		"FXSAVE":           {strings.Replace(sseC, "INSTRUCTION", "fxsave (%eax)", 1), geode, "more sse"},
		"FISTTP":           {strings.Replace(sseC, "INSTRUCTION", "fisttpl (%eax)", 1), geode, "more sse"},
		"x86asm lacks it":  {strings.Replace(sseC, "INSTRUCTION", "sha1nexte %xmm0, %xmm1", 1), geode, "more sse"},
		"EVEX":             {strings.Replace(sseC, "INSTRUCTION", "vpaddq %zmm0, %zmm1, %zmm2", 1), geode, "more sse"},
		"BSF with REP":     {strings.Replace(sseC, "INSTRUCTION", "rep bsf %eax, %eax", 1), geode, ""},
		"Athlon's MMX":     {strings.Replace(sseC, "INSTRUCTION", "pshufw $1, %mm0, %mm1", 1), geode, ""},
		"fence":            {fenceC, geode, "fence sse"},
		"VEX":              {vexC, geode, "wide sse"},
		"behind a table":   {tableC, geode, "table sse"},
		"nothing lacking":  {plainC, []string{"-march=i586", "-fcf-protection=none"}, ""},
		"LDS is not a VEX": {"void lds(void) { asm volatile(\"lds (%eax), %ebx\"); }", geode, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := compileC(t, tc.text, tc.flags...)
			got := describe(t, path)
			if want := strings.Fields(tc.want); len(want) == 0 && len(got) > 0 || len(want) > 0 && !slices.Equal(got, []string{tc.want}) {
				t.Errorf("Scan found %q, want %q", got, tc.want)
			}
		})
	}
}

func scan(t *testing.T, path string, lacks []string) error {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return Scan(f, lacks)
}

// describe is what Scan finds in a file as "FUNCTION GROUP".
func describe(t *testing.T, path string) []string {
	t.Helper()
	err := scan(t, path, all)
	var found Findings
	if err != nil && !errors.As(err, &found) {
		t.Fatalf("Scan = %v, want Findings", err)
	}
	var list []string
	for _, f := range found {
		list = append(list, f.Function+" "+string(f.Group))
	}
	return list
}

func TestOnlyWhatTheCPULacks(t *testing.T) {
	path := compileC(t, floatC, "-march=pentium3", "-mfpmath=sse", "-fcf-protection=none")
	if err := scan(t, path, []string{"endbr"}); err != nil {
		t.Errorf("Scan for endbr = %v, want nothing", err)
	}
	if err := scan(t, path, nil); err != nil {
		t.Errorf("Scan for a CPU that lacks nothing = %v", err)
	}
}

// TestScanGo builds a program whose arithmetic needs SSE2 or a soft float, and
// strips it as the builder does.
func TestScanGo(t *testing.T) {
	dir := t.TempDir()
	source := "package main\n\nimport \"os\"\n\n//go:noinline\nfunc half(a float64) float64 { return a / 2 }\n\n" +
		"func main() { os.Exit(int(half(float64(len(os.Args))))) }\n"
	for name, text := range map[string]string{"main.go": source, "go.mod": "module x\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for variant, want := range map[string]bool{"softfloat": false, "sse2": true} {
		out := filepath.Join(dir, variant)
		cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", out, ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=386", "GO386="+variant, "CGO_ENABLED=0", "GOFLAGS=")
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, msg)
		}
		got := describe(t, out)
		if slices.Contains(got, "main.half sse") != want || !want && len(got) > 0 {
			t.Errorf("GO386=%s: Scan found %q; want main.half among them: %v", variant, got, want)
		}
	}
}

func TestErrorNamesTheFunction(t *testing.T) {
	path := compileC(t, fenceC, "-march=geode", "-fcf-protection=none")
	err := scan(t, path, all)
	if err == nil {
		t.Fatal("Scan found nothing")
	}
	for _, want := range []string{"1 functions have", "fence at 0x0: lfence (sse)", "\nhint: compile it with"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
