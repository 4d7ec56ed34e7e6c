package disk

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGRUBIsLookedThrough puts an instruction that a Geode lacks into each kind
// of file that GRUB is made of.
func TestGRUBIsLookedThrough(t *testing.T) {
	object := filepath.Join(t.TempDir(), "fence.o")
	cmd := exec.Command("gcc", "-m32", "-c", "-x", "assembler", "-o", object, "-")
	cmd.Stdin = strings.NewReader(".globl fence\n.type fence, @function\nfence: mfence\nret\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	program := string(readFile(t, object))
	const raw = "\x0F\xAE\xF0\xC3" // MFENCE, RET
	for name, tc := range map[string]struct {
		file, text string // replaced in GRUB's folder
		lacks      []string
		want       string // in the error; "" for none
	}{
		"Debian's own":             {"", "", []string{"sse", "nopl", "endbr"}, ""},
		"kernel":                   {"kernel.img", program, []string{"sse"}, "grub: scan kernel.img: 1 functions have"},
		"module":                   {"linux16.mod", program, []string{"sse"}, "fence at 0x0: mfence (sse)\nhint: Debian compiled it"},
		"what a module needs":      {"relocator.mod", program, []string{"sse"}, "grub: scan relocator.mod: 1 functions have"},
		"module left out":          {"xfs.mod", program, []string{"sse"}, ""},
		"boot sector":              {"boot.img", raw, []string{"sse"}, "grub: scan boot.img: 1 functions have"},
		"unpacker":                 {"lzma_decompress.img", raw, []string{"sse"}, "grub: scan lzma_decompress.img: 1 functions have"},
		"the CPU lacks no such":    {"lzma_decompress.img", raw, []string{"endbr"}, ""},
		"no program":               {"linux16.mod", strings.Repeat("text", 100), []string{"sse"}, "grub: scan linux16.mod: bad magic number"},
		"list of needs damaged":    {"moddep.lst", "linux16 relocator\n", []string{"sse"}, "moddep.lst: line \"linux16 relocator\" has no colon"},
		"board that lacks nothing": {"boot.img", raw, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bios, out := t.TempDir(), t.TempDir()
			lib := filepath.Join(bios, "usr/lib/grub/i386-pc")
			if err := os.CopyFS(lib, os.DirFS("/usr/lib/grub/i386-pc")); err != nil {
				t.Fatal(err)
			}
			if tc.file != "" {
				write(t, filepath.Join(lib, tc.file), []byte(tc.text))
			}
			b := testBoard()
			b.Firmware, b.CPU.Lacks = []string{"bios"}, tc.lacks
			_, err := BuildGRUB(context.Background(), b, GRUBParts{Tools: "/", BIOS: bios, EFI: "/"}, out, io.Discard)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("BuildGRUB = %v, want %q in it", err, tc.want)
			}
			if err != nil {
				checkEmpty(t, out)
			}
		})
	}
}
