package labs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
)

// tinyTree is a checkout with one small board, "tiny": everything that an image
// is made of is there, but so little of it that it is built in seconds.
type tinyTree struct {
	dir    string // the checkout
	mirror string // its sources
	bin    string // programs that are found before the machine's
}

// tinyNeeds are the programs that its build calls.
var tinyNeeds = []string{"go", "gcc", "make", "tar", "zstd", "patch", "ccache", "grub-mkimage", "sha256sum"}

// newTinyTree writes the checkout. Its kernel is a Makefile that compiles a few
// C files; GRUB is this machine's.
func newTinyTree(t testing.TB) tinyTree {
	t.Helper()
	root, dir := lab.Root(t), t.TempDir()
	tree := tinyTree{dir: filepath.Join(dir, "checkout"), mirror: filepath.Join(dir, "mirror"), bin: filepath.Join(dir, "bin")}
	tree.program(t, "zstd", zstdLines)
	tree.write(t, map[string]string{
		"boards/tiny/board.toml":                            tinyBoard,
		"boards/tiny/router.toml":                           "hostname = \"tiny\"\n",
		"release/release.toml":                              "name = \"1\"\nepoch = 2026-11-01T00:00:00Z\n[recipes]\nlinux = \"1\"\nhello = \"1\"\ngrub = \"1\"\n",
		"release/recipes/linux/fragments/base.config":       "CONFIG_NET=y\n",
		"release/recipes/linux/patches/series":              "0001-one-more.patch\n",
		"release/recipes/linux/patches/0001-one-more.patch": tinyPatch,
		"overlays/common/etc/hosts":                         "127.0.0.1 localhost\n",
		"overlays/common.flist":                             "drwxr-xr-x 0:0 etc\n-rw-r--r-- 0:0 etc/hosts\ndr-xr-xr-x 0:0 proc\n",
		"release/recipes/hello/flist":                       "-rwxr-xr-x 0:0 bin/hello-c\n",
		"build/flist":                                       tinyList,
		"internal/flist/doc.go":                             "package flist\n",
		"build/rootfs/doc.go":                               "package rootfs\n",
		"build/disk/doc.go":                                 "package disk\n",
		"cmd/tenchd/main.go":                                "package main\n\nfunc main() { println(\"tenchd\") }\n",
		"build/userland/commands/go.mod":                    "module tench/commands\n\ngo 1.26.0\n\ntool tench/commands/hello\n",
		"build/userland/commands/go.sum":                    "",
		"build/userland/commands/hello/main.go":             "// hello says so.\npackage main\n\nfunc main() { println(\"hello\") }\n",
	})
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		tree.write(t, map[string]string{name: string(data)})
	}
	tree.recipe(t, "linux", "", archive{"source", tinyLinux(t, root)})
	tree.recipe(t, "hello", helloBuild, archive{"source", tinyHello(t)}, archive{"debian", tinyDebian(t)})
	tree.recipe(t, "grub", "", tinyGRUB(t)...)
	return tree
}

const tinyBoard = `title = "as small as a board can be"
arch = "amd64"
ram-mib = 64
firmware = ["bios"]
media = ["usb"]
daemons = ["hello"]
[console]
device = "ttyS0"
speed = 115200
[kernel]
fragments = ["base"]
require = ["NET"]
[layout]
boot-mib = 65
slot-mib = 16
data-mib = 16
[watchdog]
timeout = 30
`

const tinyPatch = `--- a/unit0.c
+++ b/unit0.c
@@ -1 +1 @@
-int unit0(int a) { return a; }
+int unit0(int a) { return a + 1; }
`

// tinyList is what the build itself puts into the root file system.
const tinyList = `drwxr-xr-x 0:0 bin
lrwxrwxrwx 0:0 bin/bb -> tenchd
-rw-r--r-- 0:0 bin/bb.zst
lrwxrwxrwx 0:0 bin/hello -> bb
lrwxrwxrwx 0:0 bin/sh -> gosh
-rwxr-xr-x 0:0 bin/tenchd
drwxr-xr-x 0:0 dev
crw------- 0:0 dev/console 5,1
crw-rw-rw- 0:0 dev/null 1,3
drwxr-xr-x 0:0 etc/tench
-rw-r--r-- 0:0 etc/tench/board.toml
-rw-r--r-- 0:0 etc/tench/build.json
-rw-r--r-- 0:0 etc/tench/sbom.json
lrwxrwxrwx 0:0 init -> bin/tenchd
`

// helloPatch is in a second archive, as Debian has its patches.
const helloPatch = `--- a/hello.c
+++ b/hello.c
@@ -1,2 +1,2 @@
 #include <stdio.h>
-int main(void) { return puts("hello") < 0; }
+int main(void) { return puts("hello, all") < 0; }
`

var helloBuild = fmt.Sprintf(`[quilt]
part = "debian"
order = "before"
[quilt.sha256]
"all.patch" = "%x"
[build]
steps = [["make"], ["make", "install", "DESTDIR=$OUT"]]
[[build.program]]
from = "bin/hello"
to = "bin/hello-c"
`, sha256.Sum256([]byte(helloPatch)))

// write writes files of the checkout.
func (tree tinyTree) write(t testing.TB, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(tree.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// zstdLines make level 19 another one: it takes longer than everything else
// together.
const zstdLines = `[ "$1" != -19 ] || { shift; set -- -3 "$@"; }`

// program puts a script before one of this machine's programs: it runs the
// lines, and then the program.
func (tree tinyTree) program(t testing.TB, name, lines string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	put(t, tree.bin, name, "#!/bin/sh\n"+lines+"\nexec "+path+" \"$@\"\n", 0o755)
}

// archive is a folder that becomes the source archive of a recipe's part.
type archive struct{ part, dir string }

// recipe packs the archives into the mirror and writes the recipe of them.
func (tree tinyTree) recipe(t testing.TB, name, build string, archives ...archive) {
	t.Helper()
	text := fmt.Sprintf("name = %q\nversion = \"1\"\nseries = \"1\"\nlicence = \"MIT\"\n", name)
	for _, a := range archives {
		file := name + "-" + a.part + ".tar"
		path := filepath.Join(tree.mirror, file)
		if err := os.MkdirAll(tree.mirror, 0o755); err != nil {
			t.Fatal(err)
		}
		tar := exec.Command("tar", "--sort=name", "--mtime=@1700000000", "--owner=0", "--group=0", "-cf", path, "-C", filepath.Dir(a.dir), filepath.Base(a.dir))
		if out, err := tar.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", tar, err, out)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("[[file]]\npart = %q\nfile = %q\nsize = %d\nsha256 = \"%x\"\nunpack = \"tar\"\nlocations = [{url = \"https://tiny.test/%s\"}]\n",
			a.part, file, len(data), sha256.Sum256(data), file)
	}
	tree.write(t, map[string]string{"release/recipes/" + name + "/recipe.toml": text + build})
}

// tinyUnits is how many files the kernel is compiled of.
const tinyUnits = 24

// tinyLinux is the Makefile that stands in for a kernel in package kernel's own
// tests, with C files beside it and the head of an image.
func tinyLinux(t testing.TB, root string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "linux-1")
	for _, from := range []string{"linux", "kconfig"} {
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "build/kernel/testdata", from))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range tinyUnits {
		put(t, dir, fmt.Sprintf("unit%d.c", i), fmt.Sprintf("int unit%d(int a) { return a; }\n", i), 0o644)
	}
	// The marks of a 64-bit bzImage (Documentation/arch/x86/boot.rst of Linux).
	image := make([]byte, 0x2000)
	binary.LittleEndian.PutUint16(image[0x1fe:], 0xaa55)
	copy(image[0x202:], "HdrS")
	image[0x211], image[0x236] = 1, 1
	put(t, dir, "image", string(image), 0o644)
	return dir
}

func tinyHello(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hello-1")
	put(t, dir, "Makefile", "hello: hello.o\n\t$(CC) $(LDFLAGS) $^ -o $@\ninstall:\n\tmkdir -p $(DESTDIR)/bin && cp hello $(DESTDIR)/bin\n", 0o644)
	put(t, dir, "hello.c", "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n", 0o644)
	return dir
}

func tinyDebian(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "debian")
	put(t, dir, "patches/series", "all.patch\n", 0o644)
	put(t, dir, "patches/all.patch", helloPatch, 0o644)
	return dir
}

// tinyGRUB packs the GRUB that is installed here as Debian's packages would.
func tinyGRUB(t testing.TB) []archive {
	t.Helper()
	dir := t.TempDir()
	tools, bios := filepath.Join(dir, "tools"), filepath.Join(dir, "bios")
	program, err := exec.LookPath("grub-mkimage")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	put(t, tools, "usr/bin/grub-mkimage", string(data), 0o755)
	if err := os.CopyFS(filepath.Join(bios, "usr/lib/grub/i386-pc"), os.DirFS("/usr/lib/grub/i386-pc")); err != nil {
		t.Fatal(err)
	}
	return []archive{{"tools", tools}, {"bios", bios}}
}

func put(t testing.TB, dir, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// tinyBuild is one call of tench image.
type tinyBuild struct {
	cache string
	env   []string // over this process's
}

// command is the call.
func (tree tinyTree) command(t testing.TB, b tinyBuild) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	return tree.tench(t, b, "image", "tiny", "--offline")
}

// tench is any call of tench in the checkout; what it says, goes to the buffer.
func (tree tinyTree) tench(t testing.TB, b tinyBuild, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(filepath.Join(lab.Root(t), "bin", "tench"), args...)
	cmd.Dir = tree.dir
	cmd.Env = append(append(os.Environ(), "TENCH_CACHE="+b.cache, "TENCH_MIRROR="+tree.mirror, "GOPROXY=off",
		"PATH="+tree.bin+":"+os.Getenv("PATH")), b.env...)
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// build builds the image, and returns its hash as sha256sum has it.
func (tree tinyTree) build(t testing.TB, b tinyBuild) string {
	t.Helper()
	cmd, out := tree.command(t, b)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return tree.imageHash(t)
}

func (tree tinyTree) out() string { return filepath.Join(tree.dir, "out", "tiny") }

func (tree tinyTree) imageHash(t testing.TB) string {
	t.Helper()
	sums, err := exec.Command("sha256sum", filepath.Join(tree.out(), "tench-tiny.img")).Output()
	if err != nil {
		t.Fatal(err)
	}
	hash, _, _ := strings.Cut(string(sums), " ")
	return hash
}
