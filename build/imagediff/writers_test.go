package imagediff

import (
	"bytes"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/internal/lab"
)

// made runs a program of Debian's and returns its output.
func made(t *testing.T, dir string, input []byte, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(input)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PATH="+os.Getenv("PATH")+":/usr/sbin")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	return out
}

// contents reads all files of a tree.
func contents(t *testing.T, files tree) map[string]string {
	t.Helper()
	got := map[string]string{}
	for path, e := range files {
		if e.read == nil {
			continue
		}
		data, err := e.read()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got[path] = string(data)
	}
	return got
}

func TestFATOfDosfstoolsAndMtools(t *testing.T) {
	lab.Require(t, "mkfs.vfat", "mcopy", "mmd")
	want := map[string]string{
		"UPPER.TXT": "upper", "lower.txt": "lower", "Mixed.Txt": "mixed", "noext": "", "DIR/long name of a file.config": strings.Repeat("x", 100_000),
		"DIR/sub/größere Datei": "umlauts",
	}
	for size, bits := range map[string]string{"16384": "16", "66560": "32"} {
		dir := t.TempDir()
		made(t, dir, nil, "mkfs.vfat", "-C", "-F", bits, "-n", "LABEL", "volume", size)
		made(t, dir, nil, "mmd", "-i", "volume", "::DIR", "::DIR/sub")
		for _, path := range slices.Sorted(maps.Keys(want)) {
			put(t, filepath.Join(dir, "file"), []byte(want[path]))
			made(t, dir, nil, "mcopy", "-i", "volume", "file", "::"+path)
		}
		f, err := os.Open(filepath.Join(dir, "volume"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		files, err := fatTree(io.NewSectionReader(f, 0, info.Size()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, contents(t, files)); diff != "" {
			t.Errorf("FAT%s (-want +got):\n%s", bits, diff)
		}
	}
}

func TestInitrdOfCpioAndZstd(t *testing.T) {
	lab.Require(t, "cpio", "zstd")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "bin/program"), []byte("text"))
	if err := os.Symlink("bin/program", filepath.Join(dir, "init")); err != nil {
		t.Fatal(err)
	}
	archive := made(t, dir, []byte("bin\nbin/program\ninit\n"), "cpio", "--quiet", "-o", "-H", "newc")
	put(t, filepath.Join(dir, "first"), []byte("words"))
	first := made(t, dir, []byte("first\n"), "cpio", "--quiet", "-o", "-H", "newc") // with zeros behind it
	files, err := initrdTree(append(first, made(t, dir, archive, "zstd", "-19", "--single-thread", "-q", "-c")...))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"first": "words", "bin": "", "bin/program": "text", "init": "bin/program"}
	if diff := cmp.Diff(want, contents(t, files)); diff != "" {
		t.Errorf("initrd (-want +got):\n%s", diff)
	}
}

// Linux packs itself with "zstd -22 --ultra", whose window is the largest.
func TestKernelOfZstd(t *testing.T) {
	lab.Require(t, "zstd", "gzip")
	dir := t.TempDir()
	config := made(t, dir, []byte("CONFIG_A=y\n"), "gzip", "-9", "-c")
	plain := bytes.Join([][]byte{make([]byte, 1<<20), configMark, config, []byte("IKCFG_ED")}, nil)
	packed := made(t, dir, plain, "zstd", "-22", "--ultra", "-q", "-c")
	got, err := kernelConfig(append(append([]byte("MZ"), packed...), 1, 2, 3, 4))
	if string(got) != "CONFIG_A=y\n" || err != nil {
		t.Errorf("kernelConfig = %q, %v", got, err)
	}
}
