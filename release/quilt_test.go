package release

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const quiltRecipe = goodRecipe + `
[[file]]
part = "debian"
file = "linux_6.12.117-1~deb12u1.debian.tar.xz"
size = 72332
sha256 = "` + sum2 + `"
unpack = "tar"
locations = [{ debian-source = "linux", version = "6.12.117-1~deb12u1" }]

[quilt]
part = "debian"
order = "after"
skip = ["debian/*", "tests-*"]

[quilt.sha256]
"CVE-2026-1.patch" = "` + sum1 + `"
"tests-that-matter.patch" = "` + sum2 + `"

[build]
steps = [["make"]]
`

func TestParseQuilt(t *testing.T) {
	r, err := Parse("recipe.toml", "linux", []byte(quiltRecipe))
	if err != nil {
		t.Fatal(err)
	}
	want := Quilt{Part: "debian", After: true, Skip: []string{"debian/*", "tests-*"},
		SHA256: map[string]string{"CVE-2026-1.patch": sum1, "tests-that-matter.patch": sum2}}
	if diff := cmp.Diff(want, r.Quilt); diff != "" {
		t.Errorf("Quilt (-want +got)\n%s", diff)
	}
	for name, want := range map[string]bool{
		"CVE-2026-1.patch": false, "tests-that-matter.patch": false, "tests-more.patch": true,
		"debian/version.patch": true, "debian/a/b.patch": false, "new.patch": false,
	} {
		if got := r.Quilt.Skips(name); got != want {
			t.Errorf("Skips(%s) = %v, want %v", name, got, want)
		}
	}
	if got := r.Quilt.Unused([]string{"debian/a.patch", "b.patch"}); !cmp.Equal(got, []string{"tests-*"}) {
		t.Errorf("Unused = %q", got)
	}
}

func TestParseQuiltErrors(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"no such part":       {"[quilt]\npart = \"debian\"", "[quilt]\npart = \"debain\"", `r.toml:26: part: "debain" is not the part of one [[file]] beside the source`},
		"the source itself":  {"[quilt]\npart = \"debian\"", "[quilt]\npart = \"source\"", `r.toml:26: part: "source" is not the part`},
		"order":              {`"after"`, `"first"`, `r.toml:27: order: "first" is not "before" or "after"`},
		"no order":           {"order = \"after\"\n", "", `r.toml:25: order: "" is not "before" or "after"`},
		"pattern":            {`"tests-*"`, `"tests-["`, `r.toml:28: skip: "tests-[" is not the name of a patch`},
		"no patch":           {quiltRecipe[strings.Index(quiltRecipe, "[quilt.sha256]"):strings.Index(quiltRecipe, "[build]")], "", `r.toml:25: sha256: a series of which no patch is applied`},
		"hash":               {"\"CVE-2026-1.patch\" = \"" + sum1, "\"CVE-2026-1.patch\" = \"" + sum1[1:], `r.toml:31: sha256: "849`},
		"outside the series": {`"CVE-2026-1.patch"`, `"../CVE-2026-1.patch"`, `r.toml:31: sha256: "../CVE-2026-1.patch" is not the name of a patch`},
		"no program":         {"\n[build]\nsteps = [[\"make\"]]\n", "", `r.toml:25: quilt: only sources with [build] are patched so`},
		"misspelt":           {"order =", "oder =", `r.toml:27: unknown key "quilt.oder"`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(quiltRecipe, tc.old, tc.new, 1)
			if text == quiltRecipe {
				t.Fatalf("%q is not in the recipe", tc.old)
			}
			_, err := Parse("r.toml", "linux", []byte(text))
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("Parse = %v\nwant %s…", err, tc.want)
			}
		})
	}
}

func TestPatchName(t *testing.T) {
	for name, want := range map[string]bool{
		"CVE-2026-1.patch": true, "debian/a.diff": true, "a+b~c": true,
		"": false, ".": false, "..": false, "/etc/passwd": false, "../a": false, "a/../../b": false, "-R": false, "a b": false, "a\tb": false, `a\b`: false,
	} {
		if got := PatchName(name); got != want {
			t.Errorf("PatchName(%q) = %v, want %v", name, got, want)
		}
	}
}
