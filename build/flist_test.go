package build

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"

	"tench/boards"
	"tench/build/cache"
)

// program is the head of a static ELF file for the board: enough for the checks
// of the root file system.
func program(b boards.Board) []byte {
	machine := map[string]uint16{"EM_386": 3, "EM_ARM": 40, "EM_X86_64": 62, "EM_AARCH64": 183}[b.Arch.ELF]
	class, size, sizeAt := byte(2), 64, 52
	if b.Arch.Bits == 32 {
		class, size, sizeAt = 1, 52, 40
	}
	head := make([]byte, size)
	copy(head, "\x7fELF")
	head[4], head[5], head[6] = class, 1, 1
	binary.LittleEndian.PutUint16(head[16:], 2) // ET_EXEC
	binary.LittleEndian.PutUint16(head[18:], machine)
	binary.LittleEndian.PutUint32(head[20:], 1)
	binary.LittleEndian.PutUint16(head[sizeAt:], uint16(size))
	return head
}

// fake makes a product of these files without building them.
func fake(t *testing.T, p *plan, step string, files map[string][]byte) cache.Product {
	t.Helper()
	product, err := p.run(t.Context(), cache.Step{Name: step, Build: func(_ context.Context, w cache.Work) error {
		for name, data := range files {
			file := filepath.Join(w.Out, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(file, data, 0o755); err != nil {
				return err
			}
		}
		return nil
	}}, "")
	if err != nil {
		t.Fatal(err)
	}
	return product
}

// fakeRoot packs the board's root file system with empty programs in the place
// of those that take minutes to build.
func fakeRoot(t *testing.T, p *plan) cache.Product {
	t.Helper()
	data, err := os.ReadFile("userland/commands/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range mod.Tool {
		names = append(names, path.Base(tool.Path))
	}
	commands := fake(t, p, "commands", map[string][]byte{"bb": program(p.b), "bb.zst": nil, commandList: []byte(strings.Join(names, "\n"))})
	tenchd := fake(t, p, "tenchd", map[string][]byte{"tenchd": program(p.b)})
	var daemons []cache.Product
	for _, name := range p.b.Daemons {
		r, err := p.recipe(name)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{}
		for _, f := range r.Build.Programs {
			files[f.To] = program(p.b)
		}
		daemons = append(daemons, fake(t, p, name, files))
	}
	initrd, err := p.initrd(t.Context(), programs{commands: commands, tenchd: tenchd, daemons: daemons, bom: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	return initrd
}

// Every board's root file system is what its lists declare.
func TestOwnLists(t *testing.T) {
	list, err := boards.List("../boards")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		p, err := newPlan(b, Options{Root: "..", Cache: t.TempDir(), Offline: true, Report: &reports{}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.flist(t.Context(), fakeRoot(t, p)); err != nil {
			t.Errorf("board %s: %v", b.Name, err)
		}
	}
}

// Two recipes that install one file are told: which of them the box would get is
// chance otherwise.
func TestOneFileOfTwoPrograms(t *testing.T) {
	p, _ := newTestPlan(t)
	one := fake(t, p, "one", map[string][]byte{"bin/route": program(p.b)})
	two := fake(t, p, "two", map[string][]byte{"bin/route": program(p.b)})
	_, err := p.initrd(t.Context(), programs{daemons: []cache.Product{one, two}})
	if want := fmt.Sprintf("initrd: /bin/route comes from two places: %s and %s", one.Path("bin/route"), two.Path("bin/route")); err == nil || err.Error() != want {
		t.Errorf("initrd = %v, want %s", err, want)
	}
}

// alter replaces old by new in a file of the tree.
func alter(t *testing.T, file, old, new string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s has no %q", file, old)
	}
	writeFile(t, file, strings.Replace(string(data), old, new, 1))
}

// lineOf is the number of the first line with text.
func lineOf(t *testing.T, file, text string) int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(data), text)
	return 1 + strings.Count(before, "\n")
}

func TestDifferentFilesFailAndAreDeclaredByUpdate(t *testing.T) {
	root := copyTree(t)
	writeFile(t, filepath.Join(root, "overlays/alix2d3/etc/led"), "1\n")
	writeFile(t, filepath.Join(root, "overlays/common/etc/motd"), "hello\n")
	alter(t, filepath.Join(root, "build/flist"), "lrwxrwxrwx 0:0 bin/sh -> gosh", "lrwxrwxrwx 0:0 bin/sh -> bash")
	alter(t, filepath.Join(root, "build/flist"), "init -> bin/tenchd\n", "init -> bin/tenchd\n-rw-r--r-- 0:0 licence\n")
	alter(t, filepath.Join(root, "overlays/common.flist"), "-rw-r--r-- 0:0 etc/hosts", "-rw-r--r-- 0:7 etc/hosts")
	alter(t, filepath.Join(root, "release/recipes/openvpn/flist"), "-rwxr-xr-x 0:0 bin/openvpn\n", "")

	b, err := boards.Load(filepath.Join(root, "boards"), "alix2d3")
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(b, Options{Root: root, Cache: t.TempDir(), Offline: true, Report: &reports{}})
	if err != nil {
		t.Fatal(err)
	}
	initrd := fakeRoot(t, p)
	_, err = p.flist(t.Context(), initrd)
	built := filepath.Join(root, "build/flist")
	want := fmt.Sprintf(`flist: 6 files are not as declared (- declared, + in the root file system):
+ -rwxr-xr-x 0:0 bin/openvpn
- lrwxrwxrwx 0:0 bin/sh -> bash  (build/flist:%d)
+ lrwxrwxrwx 0:0 bin/sh -> gosh
- -rw-r--r-- 0:7 etc/hosts  (overlays/common.flist:7)
+ -rw-r--r-- 0:0 etc/hosts
+ -rw-r--r-- 0:0 etc/led
+ -rw-r--r-- 0:0 etc/motd
- -rw-r--r-- 0:0 licence  (build/flist:%d)
hint: if it shall be so, tench flist alix2d3 --update declares it; then look at git diff`,
		lineOf(t, built, "bin/sh -> "), lineOf(t, built, "licence"))
	if err == nil {
		t.Fatal("a root file system that is not as declared is taken")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("the error (-want +got)\n%s", diff)
	}

	files := filesOf(t, p, initrd)
	if diff := cmp.Diff(strings.Split(want, "\n")[1:9], files.Differences); diff != "" {
		t.Errorf("Differences (-want +got)\n%s", diff)
	}
	names, err := files.Update()
	if err != nil {
		t.Fatal(err)
	}
	wantNames := []string{"build/flist", "overlays/alix2d3.flist", "overlays/common.flist", "release/recipes/openvpn/flist"}
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Errorf("rewritten (-want +got)\n%s", diff)
	}
	if again := filesOf(t, p, initrd); len(again.Differences) > 0 {
		t.Errorf("after the update there are still %q", again.Differences)
	}
	if _, err := p.flist(t.Context(), initrd); err != nil {
		t.Errorf("after the update: %v", err)
	}
	// What was as it should be has not changed.
	alter(t, filepath.Join(root, "overlays/common.flist"), "-rw-r--r-- 0:0 etc/motd\n", "")
	for _, name := range []string{"build/flist", "overlays/common.flist", "release/recipes/openvpn/flist"} {
		before, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(before), string(after)); diff != "" {
			t.Errorf("%s (-before +after)\n%s", name, diff)
		}
	}
}

// filesOf compares a finished root file system as FileList does.
func filesOf(t *testing.T, p *plan, initrd cache.Product) Files {
	t.Helper()
	files, err := p.files(t.Context(), initrd)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
