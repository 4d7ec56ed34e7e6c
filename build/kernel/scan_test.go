package kernel

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
)

var geode = boards.Board{Name: "geode", CPU: boards.CPU{Lacks: []string{"sse", "nopl", "endbr"}}}

// fakeKernel compiles text, links and strips it as the kernel is, and packs it
// into a bzImage with its System.map beside it: gcc, ld, nm, objcopy and zstd
// are what a kernel's build uses, too.
func fakeKernel(t *testing.T, text string) (image, systemMap string) {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	run := func(name string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v", name, args, err)
		}
		return out
	}
	// The vDSO is a library that is linked in as data.
	write(t, path("v.c"), fenceC)
	run("gcc", "-m32", "-O2", "-march=geode", "-nostdlib", "-shared", "-fpic", "-fcf-protection=none", "-o", "vdso.so", "v.c")
	run("objcopy", "-S", "vdso.so")
	write(t, path("x.c"), text)
	run("gcc", "-m32", "-O2", "-march=geode", "-ffreestanding", "-fno-pie", "-fcf-protection=none", "-c", "-o", "x.o", "x.c")
	run("ld", "-m", "elf_i386", "-Ttext=0xc1000000", "-e", "start", "-o", "vmlinux", "x.o")
	write(t, path("System.map"), string(run("nm", "-n", "vmlinux")))
	run("objcopy", "-R", ".comment", "-S", "vmlinux", "vmlinux.bin")
	program, err := os.ReadFile(path("vmlinux.bin"))
	if err != nil {
		t.Fatal(err)
	}
	packed := run("zstd", "-q", "-c", "vmlinux.bin")
	write(t, path("vmlinuz"), string(imageOf(packed, len(program))))
	return path("vmlinuz"), path("System.map")
}

// imageOf is a bzImage around packed data.
func imageOf(packed []byte, size int) []byte {
	const setup, offset = 2, 0x100
	image := bzImage(0)[:(setup+1)*sectorSize+offset]
	image[setupSectsAt] = setup
	binary.LittleEndian.PutUint16(image[versionAt:], 0x020f)
	binary.LittleEndian.PutUint32(image[payloadOffsetAt:], offset)
	binary.LittleEndian.PutUint32(image[payloadLengthAt:], uint32(len(packed)+payloadTail))
	image = binary.LittleEndian.AppendUint32(append(image, packed...), uint32(size))
	return append(image, make([]byte, 0x2000)...)
}

const (
	vdsoC     = `asm(".section .rodata; .ascii \"\\x7f\", \"ELF?\"; .balign 4096; .incbin \"vdso.so\"; .text");`
	startC    = "void start(void) { for (;;); }\n"
	fenceC    = "void fence(void) { asm volatile(\"lfence\"); }\n"
	guardedC  = "void kernel_fpu_begin_mask(int *p) { asm volatile(\"ldmxcsr %0\" : : \"m\"(*p)); }\n"
	savingC   = "void save_fpregs_to_fpstate(char *p) { asm volatile(\"fxsave (%0)\" : : \"r\"(p)); }\n"
	halfC     = "void kernel_fpu_begin_mask(int *p) { asm volatile(\"ldmxcsr %0; lfence\" : : \"m\"(*p)); }\n"
	serialC   = "void sync(void) { asm volatile(\".byte 0x0f, 0x01, 0xe8\"); }\n"
	replacedC = "asm(\".section .altinstr_replacement, \\\"ax\\\"; lfence; .text\");\n"
	mmxC      = "void fetch(char *p) { __builtin_prefetch(p); asm volatile(\"clflush (%0)\" : : \"r\"(p)); }\n"
)

func TestScan(t *testing.T) {
	for name, tc := range map[string]struct {
		text      string
		want, err string // the beginning of the only line, a part of the error
	}{
		"nothing":                    {startC, "", ""},
		"fence":                      {startC + fenceC, "", "1 functions have instructions that the board's CPU lacks:\n  fence at 0xc10"},
		"function that asks":         {startC + guardedC, "kernel_fpu_begin_mask at 0xc10", ""},
		"asks for FXSR":              {startC + savingC, "save_fpregs_to_fpstate at 0xc10", ""},
		"FXSAVE elsewhere":           {startC + strings.Replace(savingC, "save_fpregs_to_fpstate", "save", 1), "", "save at 0xc10"},
		"it asks for another":        {startC + halfC, "", "kernel_fpu_begin_mask at 0xc10"},
		"asks in any function":       {startC + serialC, "sync at 0xc10", ""},
		"vDSO":                       {startC + vdsoC, "", "vDSO: 1 functions have instructions that the board's CPU lacks:\n  fence at 0x"},
		"alternative":                {startC + replacedC, "", ""},
		"what a Geode has of SSE":    {startC + mmxC, "", ""},
		"one asks, another does not": {startC + guardedC + fenceC, "", "fence at 0xc10"},
	} {
		t.Run(name, func(t *testing.T) {
			image, systemMap := fakeKernel(t, tc.text)
			lines, err := Scan(t.Context(), geode, image, systemMap)
			checkError(t, err, tc.err)
			got := strings.Join(lines, "\n")
			if tc.want == "" && got != "" || !strings.HasPrefix(got, tc.want) || len(lines) > 1 {
				t.Errorf("Scan = %q, want one line that begins with %q", got, tc.want)
			}
			if err != nil && !strings.Contains(err.Error(), "\nhint: switch off what brings it in") {
				t.Errorf("%v has no hint", err)
			}
		})
	}
}

// TestStartOfARealKernel looks through what `make test` built for a board whose
// CPU lacks instructions, and then through copies with one in each stretch of code.
func TestStartOfARealKernel(t *testing.T) {
	list, err := boards.List("../../boards")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, b := range list {
		image, err := os.ReadFile(filepath.Join("../../out", b.Name, "tench-"+b.Name+".vmlinuz"))
		built := slices.Contains(strings.Fields(os.Getenv("TENCH_BOARDS")), b.Name)
		if len(b.CPU.Lacks) == 0 || err != nil && !built {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		tried++
		data, err := ScanStart(image, 32, b.CPU.Lacks)
		if err != nil {
			t.Errorf("%s: %v", b.Name, err)
		}
		at, err := placesIn(image)
		if err != nil {
			t.Fatal(err)
		}
		// What unpacks has 84 KiB of code behind the packed vmlinux (Linux 6.12).
		for where, place := range map[string]int64{
			"real-mode part's function": at.setupEnd / 2, "unpacker at": at.setupEnd + 4, "unpacker's function": at.payloadEnd + payloadTail + 64<<10,
		} {
			altered := bytes.Clone(image)
			copy(altered[place:], bytes.Repeat([]byte{0x0f, 0x28, 0xc1}, 12)) // movaps xmm0, xmm1
			_, err := ScanStart(altered, 32, b.CPU.Lacks)
			if err == nil || !strings.Contains(err.Error(), where) || !strings.Contains(err.Error(), "movaps xmm0, xmm1 (sse)") {
				t.Errorf("%s: ScanStart of one with SSE at %#x = %v, want it found in %s", b.Name, place, err, where)
			}
		}
		t.Logf("%s: taken for data: %v", b.Name, data)
	}
	if tried == 0 {
		t.Skip("no such board is built; make test builds one")
	}
}

func TestVmlinuxRefuses(t *testing.T) {
	whole := imageOf(append([]byte(nil), zstdMagic...), 9)
	altered := func(at int, data ...byte) []byte {
		image := bytes.Clone(whole)
		copy(image[at:], data)
		return image
	}
	for name, tc := range map[string]struct {
		image []byte
		want  string
	}{
		"text":          {[]byte("hello"), "it is no bzImage"},
		"old protocol":  {altered(versionAt, 7, 2), "it is no bzImage that says where vmlinux is"},
		"behind":        {altered(payloadOffsetAt, 0, 0, 1, 0), "vmlinux is said to be at bytes 67072 to"},
		"beyond":        {altered(payloadLengthAt, 0, 0, 0, 0xff), "vmlinux is said to be at bytes 1792 to"},
		"no length":     {altered(payloadLengthAt, 0, 0, 0, 0), "vmlinux is said to be at bytes 1792 to 1788"},
		"other packing": {altered(1792, 0x1f, 0x8b), "vmlinux is not packed with zstd"},
		"cut":           {whole, "unpack vmlinux: zstd: exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := vmlinux(t.Context(), tc.image)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("vmlinux = %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestMapFunctions(t *testing.T) {
	got, err := mapFunctions("c1000000 T _text\nc1000010 t fence\nc1000020 D data\n         w odd\n")
	if err == nil || !strings.Contains(err.Error(), `line 4: "         w odd" is not an address`) {
		t.Errorf("mapFunctions = %v, %v, want line 4 refused", got, err)
	}
	got, err = mapFunctions("c1000000 T _text\nc1000020 D data\nc1000030 W weak\n")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range got {
		names = append(names, s.Name)
	}
	if diff := cmp.Diff([]string{"_text", "weak"}, names); diff != "" {
		t.Errorf("functions (-want +got)\n%s", diff)
	}
}

func TestScanStart(t *testing.T) {
	const setupEnd, payload = 3 * sectorSize, 3*sectorSize + 0x100
	whole := imageOf(append([]byte(nil), zstdMagic...), 9)
	const behind = payload + 4 + payloadTail
	for name, tc := range map[string]struct {
		at   int
		want string
	}{
		"real mode":          {setupEnd - 8, "real-mode part: 1 functions have"},
		"before vmlinux":     {setupEnd + 16, "unpacker: 1 functions have"},
		"behind vmlinux":     {behind, "unpacker: 1 functions have"},
		"in vmlinux":         {payload, ""},
		"in the header":      {0x230, ""},
		"in the boot sector": {16, ""},
	} {
		image := bytes.Clone(whole)
		image[entryAt], image[entryAt+1] = 0xeb, 0x6a // jmp over the header
		copy(image[tc.at:], []byte{0x0f, 0xae, 0xe8}) // lfence
		_, err := ScanStart(image, 32, geode.CPU.Lacks)
		checkError(t, err, tc.want)
		if err != nil && !strings.Contains(err.Error(), "\nhint: nothing asks the CPU that early") {
			t.Errorf("%s: %v has no hint", name, err)
		}
	}
	if _, err := ScanStart([]byte("hello"), 32, geode.CPU.Lacks); err == nil {
		t.Error("ScanStart of a text gives no error")
	}
}

func FuzzVmlinux(f *testing.F) {
	f.Add(imageOf(zstdMagic, 9)[:0x800])
	f.Fuzz(func(t *testing.T, image []byte) {
		if _, err := vmlinux(t.Context(), image); err == nil && !isBzImage(image) {
			t.Error("vmlinux found one in what is no bzImage")
		}
		_, _ = ScanStart(image, 32, geode.CPU.Lacks)
	})
}

func FuzzMapFunctions(f *testing.F) {
	f.Add("c1000000 T _text\n")
	f.Fuzz(func(t *testing.T, text string) {
		if list, err := mapFunctions(text); err == nil && len(list) > strings.Count(text, "\n")+1 {
			t.Errorf("%d functions in %q", len(list), text)
		}
	})
}
