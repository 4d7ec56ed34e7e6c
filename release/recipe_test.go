package release

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The recipes of the tree must load, and their parts be what the build asks for.
func TestOwnRecipes(t *testing.T) {
	for name, parts := range map[string][]string{
		"linux":        {"source"},
		"grub":         {"tools", "bios", "efi-amd64", "efi-arm64", "efi-armhf"},
		"grub-ia32":    {"efi-i386"},
		"ipxe":         {"loaders"},
		"syslinux":     {"pxelinux", "modules"},
		"u-boot-sunxi": {"loader"},
		"musl":         {"source"}, "gmp": {"source"}, "openssl": {"source", "debian"},
		"bird": {"source", "debian"}, "strongswan": {"source", "debian"}, "openvpn": {"source", "debian"}, "libcap-ng": {"source"},
	} {
		r, err := Load("recipes", name)
		if err != nil {
			t.Errorf("Load(%s) = %v", name, err)
			continue
		}
		for _, part := range parts {
			if len(r.Part(part)) == 0 {
				t.Errorf("recipe %s has no part %s", name, part)
			}
		}
	}
}

const sum1 = "e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703"

const goodRecipe = `name = "linux"
version = "6.12.117"
series = "6.12"
licence = "GPL-2.0-only"

[[file]]
part = "source"
file = "linux-source-6.12_6.12.117-1~deb12u1_all.deb"
size = 153476148
sha256 = "` + sum1 + `"
unpack = "deb:usr/src/linux.tar.xz"
locations = [
  { debian = "linux-source-6.12", version = "6.12.117-1~deb12u1", arch = "all" },
  { url = "https://deb.debian.org/x.deb" },
]
`

func TestParse(t *testing.T) {
	got, err := Parse("recipe.toml", "linux", []byte(goodRecipe))
	if err != nil {
		t.Fatal(err)
	}
	want := Recipe{Name: "linux", Version: "6.12.117", Series: "6.12", Licence: "GPL-2.0-only", Files: []File{{
		Part: "source", Name: "linux-source-6.12_6.12.117-1~deb12u1_all.deb", Size: 153476148, SHA256: sum1,
		Unpack: Unpack{Deb: true, Inner: "usr/src/linux.tar.xz"}, Line: 6,
		Locations: []Location{
			{Debian: &DebianPackage{"linux-source-6.12", "6.12.117-1~deb12u1", "all"}},
			{URL: "https://deb.debian.org/x.deb"},
		},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got)\n%s", diff)
	}
}

func TestParseErrors(t *testing.T) {
	second := goodRecipe[strings.Index(goodRecipe, "[[file]]"):]
	for name, tc := range map[string]struct{ old, new, want string }{
		"unknown key":          {"licence =", "license =", `r.toml:4: unknown key "license"`},
		"another name":         {`name = "linux"`, `name = "lynx"`, `r.toml:1: name: "lynx" is in the folder "linux"`},
		"version not a series": {`"6.12.117"`, `"6.1.117"`, `r.toml:2: version: "6.1.117" is not of the series "6.12"`},
		"series by half":       {`"6.12.117"`, `"6.121"`, `r.toml:2: version: "6.121" is not of the series "6.12"`},
		"no licence":           {"licence = \"GPL-2.0-only\"\n", "", `r.toml: licence: a recipe needs`},
		"part":                 {`"source"`, `"../source"`, `r.toml:7: part: "../source" is not a name`},
		"file with a folder":   {`file = "linux`, `file = "a/linux`, `r.toml:8: file: "a/linux`},
		"no size":              {"size = 153476148\n", "", `r.toml:6: size: 0 is not a number of bytes above 0`},
		"hash too short":       {sum1, sum1[1:], `r.toml:10: sha256: "849`},
		"hash in capitals":     {sum1, strings.ToUpper(sum1), `r.toml:10: sha256: "E849`},
		"unpack":               {"deb:usr/src", "rpm:usr/src", `r.toml:11: unpack: "rpm:usr/src/linux.tar.xz" is not one of`},
		"unpack outside":       {"deb:usr/src", "deb:../src", `r.toml:11: unpack: "deb:../src/linux.tar.xz" is not one of`},
		"another scheme":       {"https:", "gopher:", `r.toml:14: url: "gopher://deb.debian.org/x.deb" does not begin with https://`},
		"package is an option": {`debian = "linux-source-6.12"`, `debian = "-oX=Y"`, `r.toml:13: debian: "-oX=Y" is not the name`},
		"version is an option": {`version = "6.12.117-1~deb12u1"`, `version = "$(id)"`, `r.toml:13: version: "$(id)" is not`},
		"no arch":              {`, arch = "all"`, ``, `r.toml:13: arch: "" is not a Debian architecture`},
		"both kinds":           {`{ url =`, `{ debian = "x", url =`, `r.toml:14: a location has one of url, git, debian, debian-source, path; 2 are given: debian, url`},
		"no locations":         {goodRecipe[strings.Index(goodRecipe, "locations"):], "locations = []\n", `r.toml:12: locations: a file needs at least one`},
		"the same file twice":  {second, second + second, `r.toml:16: file "linux-source-6.12_6.12.117-1~deb12u1_all.deb": another [[file]]`},
		"no file":              {second, "", `r.toml: file: a recipe needs at least one`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(goodRecipe, tc.old, tc.new, 1)
			if text == goodRecipe {
				t.Fatalf("%q is not in the recipe", tc.old)
			}
			_, err := Parse("r.toml", "linux", []byte(text))
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("Parse = %v\nwant %s…", err, tc.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(goodRecipe))
	f.Add([]byte(everyLocation))
	f.Add([]byte(developedRecipe))
	f.Add([]byte(quiltRecipe))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse("r.toml", "linux", data)
		if err != nil {
			return
		}
		for name, sum := range r.Quilt.SHA256 {
			if !fs.ValidPath(name) || name[0] == '-' || len(sum) != 64 || len(r.Part(r.Quilt.Part)) != 1 {
				t.Errorf("Parse lets through %+v", r.Quilt)
			}
		}
		for _, file := range r.Files {
			if file.Dir != "" {
				if file.Size != 0 || file.Locations != nil || len(r.Part(file.Part)) != 1 {
					t.Errorf("Parse lets through %+v", file)
				}
				continue
			}
			pinned(t, file)
			if file.Signature != nil {
				pinned(t, file.Signature.File(file.Part))
				if !fs.ValidPath(file.Signature.Key) {
					t.Errorf("Parse lets through the key %q", file.Signature.Key)
				}
			}
		}
	})
}

// pinned checks that nothing in a file could be an option, another folder or
// two lines of something.
func pinned(t *testing.T, f File) {
	t.Helper()
	if len(f.SHA256) != 64 || f.Size <= 0 || strings.Contains(f.Name, "/") || len(f.Locations) == 0 {
		t.Errorf("Parse lets through %+v", f)
	}
	for _, l := range f.Locations {
		text := l.String()
		if text == "" || strings.ContainsAny(text, "\n\x00") {
			t.Errorf("Parse lets through the location %q", text)
		}
		if g := l.Git; g != nil && (g.Repository[0] == '-' || g.Tag[0] == '-' || len(g.Commit) != 40 || g.Local() && strings.Contains(g.Repository, ":")) {
			t.Errorf("Parse lets through %+v", g)
		}
	}
}

func TestSeries(t *testing.T) {
	hello := "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // sha256 of "hello"
	for name, tc := range map[string]struct {
		series string // "" for no file
		files  []string
		want   []string
		err    string
	}{
		"none":             {"", nil, nil, ""},
		"in order":         {"# why\n0001-a.patch\n\n0003-b.patch # speed\n", []string{"0001-a.patch", "0003-b.patch"}, []string{"0001-a.patch", "0003-b.patch"}, ""},
		"empty":            {"# nothing\n", nil, nil, ""},
		"not in order":     {"0003-b.patch\n0001-a.patch\n", []string{"0001-a.patch", "0003-b.patch"}, nil, "series:2: 0001-a.patch does not come after number 0003"},
		"number twice":     {"0001-a.patch\n0001-b.patch\n", []string{"0001-a.patch", "0001-b.patch"}, nil, "series:2: 0001-b.patch does not come after number 0001"},
		"not a name":       {"../0001-a.patch\n", nil, nil, `series:1: "../0001-a.patch" is not a patch name`},
		"not there":        {"0001-a.patch\n", nil, nil, "series:1: open "},
		"forgotten":        {"0001-a.patch\n", []string{"0001-a.patch", "0002-b.patch"}, nil, "series: 0002-b.patch is in the folder but not in the series"},
		"no series at all": {"", []string{"0001-a.patch"}, nil, "patches: open "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, f), []byte("hello"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if tc.series != "" {
				if err := os.WriteFile(filepath.Join(dir, "series"), []byte(tc.series), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := loadSeries(dir)
			if (err != nil) != (tc.err != "") || err != nil && !strings.HasPrefix(strings.TrimPrefix(err.Error(), dir+"/"), tc.err) {
				t.Fatalf("loadSeries = %v, want %q", err, tc.err)
			}
			if err != nil {
				return
			}
			var names []string
			for _, p := range got {
				names = append(names, p.Name)
				if p.SHA256 != hello || p.Path != filepath.Join(dir, p.Name) {
					t.Errorf("patch %+v has another hash or path", p)
				}
			}
			if diff := cmp.Diff(tc.want, names); diff != "" {
				t.Errorf("patches (-want +got)\n%s", diff)
			}
		})
	}
}
