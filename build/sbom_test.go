package build

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/build/cache"
	"tench/build/source"
	"tench/release"
	"tench/release/sbom"
)

// product is a product with files of the given content.
func product(t *testing.T, step string, files map[string][]byte) cache.Product {
	t.Helper()
	p := cache.Product{Step: step, Key: step, Dir: t.TempDir()}
	for name, data := range files {
		if err := os.WriteFile(p.Path(name), data, 0o644); err != nil {
			t.Fatal(err)
		}
		p.Files = append(p.Files, cache.ProductFile{Name: name, SHA256: cache.HashBytes(data)})
	}
	return p
}

func TestSBOM(t *testing.T) {
	p, _ := newTestPlan(t)
	for _, s := range [][2]string{{"linux", "source"}, {"grub", grubTools}, {"grub", "bios"}, {"grub", "efi-amd64"}, {"musl", "source"}, {"bird", "source"}, {"u-boot-sunxi", "loader"}} {
		r, err := p.recipe(s[0])
		if err != nil {
			t.Fatal(err)
		}
		p.noteSource(r, s[1], source.Fetched{Name: s[1] + ".tar", Version: r.Version, SHA256: cache.HashBytes([]byte(s[1]))})
	}
	modules, err := json.Marshal([]debug.Module{{Path: uroot, Version: "v0.16.0", Sum: "h1:x="}})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.sbom(product(t, "commands", map[string][]byte{"bb": []byte("bb"), commandModules: modules}),
		product(t, "tenchd", map[string][]byte{"tenchd": program}))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sbom.json")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := sbom.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
	}
	want := []string{"bird", uroot, "grub", "linux", "musl", "stdlib", "tenchd", "u-boot-sunxi", "u-root"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("components (-want +got)\n%s", diff)
	}
	if strings.Contains(string(data), cache.HashBytes([]byte(grubTools))) {
		t.Error("GRUB's tools, which stay on this machine, are in the bill of materials of the image")
	}
}

func TestComponentType(t *testing.T) {
	p, _ := newTestPlan(t)
	p.b.UBoot.Recipe = "u-boot-sunxi"
	for name, want := range map[string]sbom.Type{
		"linux": sbom.OperatingSystem, "u-boot-sunxi": sbom.Firmware, "musl": sbom.Library,
		"bird": sbom.Application, "grub": sbom.Application,
	} {
		r, err := p.recipe(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.componentType(r); got != want {
			t.Errorf("componentType(%s) = %s, want %s", name, got, want)
		}
	}
}

func TestFilesBesideTheImage(t *testing.T) {
	p, _ := newTestPlan(t)
	dir := t.TempDir()
	list, err := p.beside(parts{
		kernel: product(t, "kernel", map[string][]byte{"vmlinuz": []byte("k"), "config": []byte("CONFIG_X=y\n")}),
		initrd: product(t, "initrd", map[string][]byte{"initrd": []byte("i"), "root.mtree": []byte("#mtree\n"), sbomFile: []byte(`{"a":1}`)}),
		slot:   product(t, "slot", map[string][]byte{slotName: append([]byte("FAT"), make([]byte, 9000)...)}),
	}, dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, product := range list {
		data, err := os.ReadFile(filepath.Join(dir, product.File))
		if err != nil {
			t.Fatal(err)
		}
		if cache.HashBytes(data) != product.SHA256 || int64(len(data)) != product.Size {
			t.Errorf("%s has another hash or size than the manifest says", product.File)
		}
		got[product.File] = string(data)
	}
	want := map[string]string{
		release.SlotName(p.b.Name):   "FAT" + strings.Repeat("\x00", 4096-3),
		release.KernelName(p.b.Name): "k", release.InitrdName(p.b.Name): "i", release.ConfigName(p.b.Name): "CONFIG_X=y\n",
		release.FilesName(p.b.Name): "#mtree\n", release.SBOMName(p.b.Name): "{\n  \"a\": 1\n}",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got)\n%s", diff)
	}
	if _, err := p.beside(parts{}, dir); err == nil {
		t.Error("products without files give no error")
	}
}
