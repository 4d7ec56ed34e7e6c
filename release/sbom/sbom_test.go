package sbom

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xeipuuv/gojsonschema"

	"tench/release"
)

const sum = "e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703"

// sumDebian is another hash.
const sumDebian = "b96011aadbb6bff168fbbcfe31c3e104a20be1616f63a980888ce96ac2595b01"

// testImage has one of everything.
func testImage() Image {
	linux := release.Recipe{Name: "linux", Version: "6.12.117", Licence: "GPL-2.0-only WITH Linux-syscall-note",
		Patches: []release.Patch{{Name: "0001-say-what-it-is.patch", SHA256: sum}}}
	musl := release.Recipe{Name: "musl", Version: "1.2.3", Licence: "MIT", Files: []release.File{
		{SHA256: sum, Locations: []release.Location{{Debian: &release.DebianPackage{}}, {URL: "https://musl.libc.org/releases/musl-1.2.3.tar.gz"}}}}}
	bird := release.Recipe{Name: "bird", Version: "2.0.12", Licence: "GPL-2.0-or-later", Build: release.Build{Needs: []string{"musl", "linux"}},
		Files:   []release.File{{SHA256: sumDebian, Locations: []release.Location{{URL: "https://deb.debian.org/bird2_2.0.12-7.debian.tar.xz"}}}},
		Patches: []release.Patch{{Name: "sub/fix#1.patch", SHA256: sum, Part: "debian"}}}
	return Image{Board: "alix2d3", Release: "2026.11",
		Sources: []Source{
			{linux, OperatingSystem, []SourceFile{{"linux-source-6.12_6.12.118-1~deb12u1_all.deb", "6.12.118", sum, "source"}}},
			{musl, Library, []SourceFile{{"musl_1.2.3.orig.tar.gz", "1.2.3", sum, "source"}}},
			{bird, Application, []SourceFile{{"bird2_2.0.12+x.tar.gz", "2.0.12", sum, "source"}, {"bird2_2.0.12-7.debian.tar.xz", "2.0.12", sumDebian, "debian"}}},
		},
		Programs: []Program{
			{Name: "tenchd", Version: "2026.11", Licence: "BSD-3-Clause", SHA256: sum, Go: "go1.26.8", Modules: []debug.Module{
				{Path: "github.com/Some/Thing/v4", Version: "v4.1.0+incompatible", Sum: "h1:c/Cqfb0r+Yi+JtIEq73FWXVkRonBlf0CRNYc8Zttxdo="},
				{Path: "golang.org/x/net", Version: "v0.59.0", Sum: "h1:a="}}},
			{Name: "u-root", Version: "v0.16.0", Licence: "BSD-3-Clause", SHA256: sum, Go: "go1.26.8", Modules: []debug.Module{
				{Path: "golang.org/x/net", Version: "v0.47.0", Sum: "h1:b="},
				{Path: "old.test/x", Version: "v1.0.0", Replace: &debug.Module{Path: "new.test/x", Version: "v1.0.1", Sum: "h1:c="}}}},
		}}
}

func write(t *testing.T, img Image) []byte {
	t.Helper()
	data, err := Write(img)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// unpack reads one of the schemas of testdata.
func unpack(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".SNAPSHOT.schema.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// problems validates a document by the schema of CycloneDX 1.6.
func problems(t *testing.T, data []byte) []string {
	t.Helper()
	loader := gojsonschema.NewSchemaLoader()
	loader.Draft = gojsonschema.Draft7
	for _, name := range []string{"spdx", "jsf-0.82"} {
		url := "http://cyclonedx.org/schema/" + name + ".SNAPSHOT.schema.json"
		if err := loader.AddSchema(url, gojsonschema.NewBytesLoader(unpack(t, name))); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := loader.Compile(gojsonschema.NewBytesLoader(unpack(t, "bom-1.6")))
	if err != nil {
		t.Fatal(err)
	}
	result, err := schema.Validate(gojsonschema.NewBytesLoader(data))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range result.Errors() {
		list = append(list, e.String())
	}
	return list
}

func TestDocumentIsValid(t *testing.T) {
	data := write(t, testImage())
	if list := problems(t, data); len(list) > 0 {
		t.Errorf("the schema says:\n%s\nof %s", strings.Join(list, "\n"), data)
	}
	indented, err := Indent(data)
	if err != nil {
		t.Fatal(err)
	}
	if list := problems(t, indented); len(list) > 0 {
		t.Errorf("the schema says of the indented one:\n%s", strings.Join(list, "\n"))
	}
	for name, change := range map[string][2]string{
		"unknown key":    {`"bomFormat"`, `"bomFormatt"`},
		"component type": {`"firmware"`, `"hardware"`},
		"hash":           {sum, sum[1:]},
		"serial number":  {"urn:uuid:", "uuid:"},
	} {
		if len(problems(t, bytes.ReplaceAll(data, []byte(change[0]), []byte(change[1])))) == 0 {
			t.Errorf("%s: the schema finds nothing, so the test proves nothing", name)
		}
	}
}

func TestOwnRecipesGiveAValidDocument(t *testing.T) {
	folders, err := filepath.Glob("../recipes/*/recipe.toml")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no recipes (%v)", err)
	}
	spdx := string(unpack(t, "spdx"))
	img := Image{Board: "all", Release: "2026.11"}
	for _, f := range folders {
		r, err := release.Load("../recipes", filepath.Base(filepath.Dir(f)))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range strings.Fields(r.Licence) {
			if !slices.Contains([]string{"AND", "OR", "WITH"}, word) && !strings.Contains(spdx, `"`+word+`"`) {
				t.Errorf("recipe %s: licence: %q is not in SPDX's lists", r.Name, word)
			}
		}
		for name, sum := range r.Quilt.SHA256 {
			r.Patches = append(r.Patches, release.Patch{Name: name, SHA256: sum, Part: r.Quilt.Part})
		}
		s := Source{Recipe: r, Type: Application}
		for _, file := range r.Files {
			s.Files = append(s.Files, SourceFile{file.Name, r.Version, file.SHA256, file.Part})
		}
		img.Sources = append(img.Sources, s)
	}
	if list := problems(t, write(t, img)); len(list) > 0 {
		t.Errorf("the schema says:\n%s", strings.Join(list, "\n"))
	}
}

func TestEqualImagesGiveEqualBytes(t *testing.T) {
	first := write(t, testImage())
	other := testImage()
	slices.Reverse(other.Sources)
	slices.Reverse(other.Programs)
	if !bytes.Equal(first, write(t, other)) {
		t.Error("the order of sources and programs changes the document")
	}
	other.Programs[0].SHA256 = strings.Repeat("0", 64)
	changed := write(t, other)
	serial := func(data []byte) string {
		var d document
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatal(err)
		}
		return d.Serial
	}
	if serial(first) == serial(changed) {
		t.Error("another program has the same serial number")
	}
}

func TestDocument(t *testing.T) {
	var d document
	if err := json.Unmarshal(write(t, testImage()), &d); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range d.Components {
		got[c.Ref] = c.PURL
		for _, r := range c.References {
			got[c.Ref] += " " + r.URL
		}
		if c.Pedigree != nil {
			got[c.Ref] += " " + c.Pedigree.Patches[0].Diff.URL
		}
	}
	want := map[string]string{
		"linux": "pkg:deb/debian/linux-source-6.12@6.12.118-1~deb12u1?arch=all linux-source-6.12_6.12.118-1~deb12u1_all.deb" +
			" release/recipes/linux/patches/0001-say-what-it-is.patch#sha256=" + sum,
		"musl": "pkg:generic/musl@1.2.3 https://musl.libc.org/releases/musl-1.2.3.tar.gz",
		"bird": "pkg:generic/bird@2.0.12 bird2_2.0.12+x.tar.gz https://deb.debian.org/bird2_2.0.12-7.debian.tar.xz" +
			" https://deb.debian.org/bird2_2.0.12-7.debian.tar.xz#patches/sub/fix%231.patch&sha256=" + sum,
		"tenchd": "pkg:generic/tenchd@2026.11",
		"u-root": "pkg:generic/u-root@v0.16.0",
		"github.com/Some/Thing/v4@v4.1.0+incompatible": "pkg:golang/github.com/some/thing/v4@v4.1.0%2Bincompatible",
		"golang.org/x/net@v0.47.0":                     "pkg:golang/golang.org/x/net@v0.47.0",
		"golang.org/x/net@v0.59.0":                     "pkg:golang/golang.org/x/net@v0.59.0",
		"new.test/x@v1.0.1":                            "pkg:golang/new.test/x@v1.0.1",
		"stdlib@1.26.8":                                "pkg:golang/stdlib@1.26.8",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("components (-want +got)\n%s", diff)
	}
	on := map[string]string{}
	for _, dep := range d.Dependencies {
		on[dep.Ref] = strings.Join(dep.On, " ")
	}
	wantOn := map[string]string{
		"image": "bird linux musl tenchd u-root", "bird": "linux musl", "linux": "", "musl": "",
		"tenchd": "github.com/Some/Thing/v4@v4.1.0+incompatible golang.org/x/net@v0.59.0 stdlib@1.26.8",
		"u-root": "golang.org/x/net@v0.47.0 new.test/x@v1.0.1 stdlib@1.26.8",
	}
	if diff := cmp.Diff(wantOn, on); diff != "" {
		t.Errorf("dependencies (-want +got)\n%s", diff)
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Image)
		want   string
	}{
		"need that is not there": {func(i *Image) { i.Sources = i.Sources[2:] }, "sbom: bird depends on linux, which is no component"},
		"one name for two":       {func(i *Image) { i.Programs[1].Name = "bird" }, `sbom: two different components are called "bird"`},
	} {
		img := testImage()
		tc.change(&img)
		if _, err := Write(img); err == nil || err.Error() != tc.want {
			t.Errorf("%s: Write = %v, want %s", name, err, tc.want)
		}
	}
}

func TestModules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tenchd")
	if out, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", path, "tench/cmd/tenchd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	version, modules, err := Modules(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version, "go1.") {
		t.Errorf("Modules says Go is %q", version)
	}
	if !slices.ContainsFunc(modules, func(m debug.Module) bool {
		return m.Path == "github.com/vishvananda/netlink" && strings.HasPrefix(m.Sum, "h1:")
	}) {
		t.Errorf("Modules does not list netlink: %v", modules)
	}
	if _, _, err := Modules("sbom.go"); err == nil {
		t.Error("Modules of a file that is no program has no error")
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.cdx.json")
	if err := os.WriteFile(path, write(t, testImage()), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 10 {
		t.Errorf("Read gives %d components, want 10", len(got))
	}
	if diff := cmp.Diff(Component{Name: "bird", Version: "2.0.12", Licence: "GPL-2.0-or-later"}, got[0]); diff != "" {
		t.Errorf("the first one (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(Component{Name: "golang.org/x/net", Version: "v0.47.0", Module: true}, got[2]); diff != "" {
		t.Errorf("the third one (-want +got)\n%s", diff)
	}
	if err := os.WriteFile(path, []byte(`{"spdxVersion": "SPDX-2.3"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), `has bomFormat ""`) {
		t.Errorf("Read of something else = %v", err)
	}
}
