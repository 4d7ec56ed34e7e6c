package rootfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/overlays"
)

var board = boards.Board{
	Name: "small", RAMMiB: 64,
	Arch: boards.Arch{Name: "amd64", ELF: "EM_X86_64", Bits: 64},
}

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// program is the head of a static ELF file: enough for debug/elf.
func program(class byte, machine uint16) []byte {
	head := make([]byte, 64)
	copy(head, "\x7fELF")
	head[4], head[5], head[6] = class, 1, 1
	binary.LittleEndian.PutUint16(head[16:], 2) // ET_EXEC
	binary.LittleEndian.PutUint16(head[18:], machine)
	binary.LittleEndian.PutUint32(head[20:], 1)
	size := map[byte]int{1: 52, 2: 64}[class]
	binary.LittleEndian.PutUint16(head[map[byte]int{1: 40, 2: 52}[class]:], uint16(size))
	return head[:size]
}

const (
	class32, class64      = 1, 2
	em386, emARM, emAMD64 = 3, 40, 62
)

// dynamic is a 64-bit program that asks for a loader.
func dynamic(interpreter string) []byte {
	p := program(class64, emAMD64)
	binary.LittleEndian.PutUint64(p[32:], 64) // program headers follow
	binary.LittleEndian.PutUint16(p[54:], 56)
	binary.LittleEndian.PutUint16(p[56:], 1)
	ph := make([]byte, 56)
	binary.LittleEndian.PutUint32(ph, 3) // PT_INTERP
	binary.LittleEndian.PutUint64(ph[8:], 120)
	binary.LittleEndian.PutUint64(ph[32:], uint64(len(interpreter)+1))
	return append(append(append(p, ph...), interpreter...), 0)
}

func testFiles(t *testing.T, overlay ...overlays.Entry) Files {
	t.Helper()
	dir := t.TempDir()
	f := Files{
		Tenchd: filepath.Join(dir, "tenchd"), Busybox: filepath.Join(dir, "bb"), Packed: filepath.Join(dir, "bb.zst"),
		Commands: []string{"gosh", "ls"},
		Etc:      map[string][]byte{"board.toml": []byte("title\n"), "build.json": []byte("{}\n")},
		Overlays: overlay,
	}
	for _, name := range []string{f.Tenchd, f.Busybox} {
		if err := os.WriteFile(name, program(class64, emAMD64), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, nil, "zstd", "-q", f.Busybox, "-o", f.Packed)
	return f
}

// archives unpacks an initramfs as the kernel does: the first archive is as it
// is, the second in zstd and at the next multiple of alignment that it begins at.
func archives(t *testing.T, file string) (first, second string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for !bytes.HasPrefix(data[at:], []byte("\x28\xb5\x2f\xfd")) {
		if at += alignment; at >= len(data) {
			t.Fatalf("%s: no zstd at a multiple of %d", file, alignment)
		}
	}
	return string(data[:at]), run(t, data[at:], "zstd", "-dcq")
}

func file(path string, data []byte) overlays.Entry {
	return overlays.Entry{Path: path, Mode: 0o644, Data: data, From: "overlay/" + path}
}

func run(t *testing.T, stdin []byte, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestArchiveAsOthersReadIt lets zstd and GNU cpio read what we wrote.
func TestArchiveAsOthersReadIt(t *testing.T) {
	f := testFiles(t,
		overlays.Entry{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777, From: "o"},
		overlays.Entry{Path: "etc", Mode: fs.ModeDir | 0o750, From: "o"},
		overlays.Entry{Path: "etc/localtime", Mode: fs.ModeSymlink | 0o777, Link: "/usr/UTC", From: "o"},
		file("etc/empty", nil), file("etc/hosts", []byte("localhost\n")))
	rd, err := Build(t.Context(), board, f, Options{Out: t.TempDir(), Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(rd.Path); err != nil || info.Size() != rd.Size {
		t.Errorf("%s has %v bytes (%v), Build said %d", rd.Path, info.Size(), err, rd.Size)
	}
	first, archive := archives(t, rd.Path)
	var got []string
	for _, part := range []string{first, archive} {
		for _, line := range strings.Split(strings.TrimSpace(run(t, []byte(part), "cpio", "-tvn", "--quiet")), "\n") {
			got = append(got, strings.Join(strings.Fields(line), " "))
		}
	}
	packed, err := os.Stat(f.Packed)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"drwxr-xr-x 2 0 0 0 Nov 1 12:00 bin",
		fmt.Sprintf("-rw-r--r-- 1 0 0 %d Nov 1 12:00 bin/bb.zst", packed.Size()),
		"lrwxrwxrwx 1 0 0 6 Nov 1 12:00 bin/bb -> tenchd",
		"lrwxrwxrwx 1 0 0 2 Nov 1 12:00 bin/gosh -> bb",
		"lrwxrwxrwx 1 0 0 2 Nov 1 12:00 bin/ls -> bb",
		"lrwxrwxrwx 1 0 0 4 Nov 1 12:00 bin/sh -> gosh",
		"-rwxr-xr-x 1 0 0 64 Nov 1 12:00 bin/tenchd",
		"drwxr-xr-x 2 0 0 0 Nov 1 12:00 dev",
		"crw------- 1 0 0 5, 1 Nov 1 12:00 dev/console",
		"crw-rw-rw- 1 0 0 1, 3 Nov 1 12:00 dev/null",
		"drwxr-x--- 2 0 0 0 Nov 1 12:00 etc",
		"-rw-r--r-- 1 0 0 0 Nov 1 12:00 etc/empty",
		"-rw-r--r-- 1 0 0 10 Nov 1 12:00 etc/hosts",
		"lrwxrwxrwx 1 0 0 8 Nov 1 12:00 etc/localtime -> /usr/UTC",
		"drwxr-xr-x 2 0 0 0 Nov 1 12:00 etc/tench",
		"-rw-r--r-- 1 0 0 6 Nov 1 12:00 etc/tench/board.toml",
		"-rw-r--r-- 1 0 0 3 Nov 1 12:00 etc/tench/build.json",
		"lrwxrwxrwx 1 0 0 10 Nov 1 12:00 init -> bin/tenchd",
		"drwxrwxrwt 2 0 0 0 Nov 1 12:00 tmp",
	}
	// cpio prints the year for dates that are long ago.
	for i := range got {
		got[i] = strings.Replace(got[i], "Nov 1 2026 ", "Nov 1 12:00 ", 1)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cpio -tv (-want +got)\n%s", diff)
	}
	bb := run(t, []byte(run(t, []byte(first), "cpio", "-i", "--quiet", "--to-stdout", "bin/bb.zst")), "zstd", "-dcq")
	if bb != string(program(class64, emAMD64)) {
		t.Error("bin/bb.zst is not the busybox")
	}
	hosts := run(t, []byte(archive), "cpio", "-i", "--quiet", "--to-stdout", "etc/hosts")
	if hosts != "localhost\n" {
		t.Errorf("etc/hosts = %q", hosts)
	}
}

// TestListAsOthersReadIt lets GNU cpio unpack the archive and NetBSD's mtree
// compare the tree with the list.
func TestListAsOthersReadIt(t *testing.T) {
	f := testFiles(t,
		overlays.Entry{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777, From: "o"},
		overlays.Entry{Path: "etc/localtime", Mode: fs.ModeSymlink | 0o777, Link: "/usr/a b", From: "o"},
		file("etc/empty", nil), file("etc/a #1 \\[x]=é", []byte("strange\n")))
	rd, err := Build(t.Context(), board, f, Options{Out: t.TempDir(), Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	if err := os.Chmod(tree, 0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	first, second := archives(t, rd.Path)
	for _, part := range []string{first, second} {
		unpack := exec.Command("cpio", "-id", "--quiet", "-f", "dev/*") // making devices needs root
		unpack.Dir, unpack.Stdin = tree, strings.NewReader(part)
		if out, err := unpack.CombinedOutput(); err != nil {
			t.Fatalf("cpio: %v\n%s", err, out)
		}
	}
	compare := func() string {
		out, _ := exec.Command("mtree", "-f", rd.List, "-p", tree, "-k", "type,mode,size,link,sha256").CombinedOutput()
		return strings.TrimSpace(string(out))
	}
	if got, want := compare(), "missing: ./dev/console\nmissing: ./dev/null"; got != want {
		t.Errorf("mtree says:\n%s\nwant:\n%s", got, want)
	}
	if err := os.WriteFile(filepath.Join(tree, "etc/tench/build.json"), []byte("{]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := compare(); !strings.Contains(got, "build.json") {
		t.Errorf("mtree does not see another content of the same size:\n%s", got)
	}
}

func TestBuildTwiceIsTheSame(t *testing.T) {
	var images [2][]byte
	for i := range images {
		f := testFiles(t, file("etc/hosts", []byte("localhost\n")))
		rd, err := Build(t.Context(), board, f, Options{Out: t.TempDir(), Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		if images[i], err = os.ReadFile(rd.Path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("two builds of the same files differ")
	}
}

// The commands are where they were when tenchd is another: an update does not
// send them again.
func TestPackedCommandsStayInPlace(t *testing.T) {
	var heads [2][]byte
	for i, host := range []string{"localhost\n", "another, and longer\n"} {
		rd, err := Build(t.Context(), board, testFiles(t, file("bin/a", []byte(host)), file("etc/hosts", []byte(host))), Options{Out: t.TempDir(), Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		first, _ := archives(t, rd.Path)
		heads[i] = []byte(first)
	}
	if !bytes.Equal(heads[0], heads[1]) {
		t.Error("the first archives of two initramfs with the same commands differ")
	}
}

func TestBuildRefuses(t *testing.T) {
	tests := []struct {
		name    string
		overlay []overlays.Entry
		want    string
	}{
		{"program for another CPU", []overlays.Entry{file("opt/tool", program(class32, emARM))},
			"/opt/tool (overlay/opt/tool): is for EM_ARM with 32 bits, board small needs EM_X86_64 with 64"},
		{"32-bit program on a 64-bit board", []overlays.Entry{file("opt/tool", program(class32, em386))}, "is for EM_386 with 32 bits"},
		{"x32 program", []overlays.Entry{file("opt/tool", program(class32, emAMD64))}, "is for EM_X86_64 with 32 bits"},
		{"damaged program", []overlays.Entry{file("opt/tool", program(class64, emAMD64)[:20])}, "/opt/tool (overlay/opt/tool): damaged program"},
		{"loader that is not there", []overlays.Entry{file("opt/tool", dynamic("/lib64/ld-linux-x86-64.so.2"))},
			"needs the loader /lib64/ld-linux-x86-64.so.2, which is not in the tree"},
		{"overlay over a program of ours", []overlays.Entry{file("bin/ls", []byte("#!/bin/sh"))},
			"/bin/ls comes from two places: the build and overlay/bin/ls"},
		{"file below a file", []overlays.Entry{file("init/x", nil)}, "is below /init, which is no folder"},
		{"path that leaves the tree", []overlays.Entry{file("../x", nil)}, "is not a path below the root"},
		{"commands for another CPU", nil, "/bin/bb (BUSYBOX): is for EM_386 with 32 bits"},
		{"too large for the board", []overlays.Entry{file("big", make([]byte, 26<<20))},
			"unpacked it takes 26.1 MiB, and board small with 64 MiB of RAM has 25.6 MiB for it (40 %)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := t.TempDir()
			f := testFiles(t, tt.overlay...)
			if tt.overlay == nil {
				if err := os.WriteFile(f.Busybox, program(class32, em386), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Build(t.Context(), board, f, Options{Out: out, Epoch: epoch})
			if err == nil || !strings.Contains(err.Error(), strings.Replace(tt.want, "BUSYBOX", f.Busybox, 1)) {
				t.Errorf("Build = %v, want an error with %q", err, tt.want)
			}
			if left, _ := os.ReadDir(out); len(left) > 0 {
				t.Errorf("Build left %v behind", left)
			}
		})
	}
}

// A program in C that took the place of tenchd would be PID 1.
func TestProgramOverTenchd(t *testing.T) {
	f := testFiles(t)
	f.Programs = map[string]string{"bin/tenchd": f.Busybox}
	_, err := Build(t.Context(), board, f, Options{Out: t.TempDir(), Epoch: epoch})
	if want := "rootfs: /bin/tenchd comes from two places: " + f.Tenchd + " and " + f.Busybox; err == nil || err.Error() != want {
		t.Errorf("Build = %v, want %s", err, want)
	}
}

func TestLoaderInTheTreeIsFine(t *testing.T) {
	f := testFiles(t, file("opt/tool", dynamic("/lib/ld.so")), file("lib/ld.so", program(class64, emAMD64)))
	if _, err := Build(t.Context(), board, f, Options{Out: t.TempDir(), Epoch: epoch, Log: io.Discard}); err != nil {
		t.Error(err)
	}
}

// TestLinkedProgram takes a real dynamic program of the build machine.
func TestLinkedProgram(t *testing.T) {
	data, err := os.ReadFile("/bin/ls")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Build(t.Context(), board, testFiles(t, file("opt/ls", data)), Options{Out: t.TempDir(), Epoch: epoch})
	if err == nil || !strings.Contains(err.Error(), "/opt/ls") {
		t.Errorf("Build = %v, want an error that names /opt/ls", err)
	}
	loader := file("lib64/ld-linux-x86-64.so.2", program(class64, emAMD64))
	_, err = Build(t.Context(), board, testFiles(t, file("opt/ls", data), loader), Options{Out: t.TempDir(), Epoch: epoch})
	if err == nil || !strings.Contains(err.Error(), "needs the library lib") {
		t.Errorf("Build = %v, want an error that names a library", err)
	}
}
