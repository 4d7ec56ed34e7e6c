package release

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// writeTree writes files below a new folder.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func recipeText(name, version string) string {
	return fmt.Sprintf("name = %q\nversion = %q\nseries = %q\nlicence = \"MIT\"\n[[file]]\npart = \"source\"\nfile = \"%s-%s.tar\"\n"+
		"size = 1\nsha256 = %q\nunpack = \"tar\"\nlocations = [{ url = \"https://x.test/a.tar\" }]\n", name, version, version, name, version, sum1)
}

func releaseText(name, recipes string) string {
	return fmt.Sprintf("name = %q\nepoch = 2026-11-21T00:00:00Z\n\n[recipes]\n%s", name, recipes)
}

// twoReleases differ in the version of one recipe.
func twoReleases() map[string]string {
	return map[string]string{
		"release.toml":                   releaseText("2026.11", "linux = \"6.12.117\"\nbird = \"2.0.12\"\n"),
		"recipes/linux/recipe.toml":      recipeText("linux", "6.12.117"),
		"recipes/bird/recipe.toml":       recipeText("bird", "2.0.12"),
		"next/release.toml":              releaseText("next", "linux = \"6.12.117\"\nbird = \"2.17.1\"\n"),
		"next/recipes/bird/recipe.toml":  recipeText("bird", "2.17.1"),
		"publish/is-a-package-of-ours":   "",
		"recipes/no-recipe-but-a-folder": "",
	}
}

// A checkout may lie where its path looks like a pattern.
func TestPathThatLooksLikeAPattern(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[1]*?")
	if err := os.CopyFS(dir, os.DirFS(writeTree(t, twoReleases()))); err != nil {
		t.Fatal(err)
	}
	if list, err := List(dir); err != nil || len(list) != 2 {
		t.Errorf("List = %v, %v, want two releases", list, err)
	}
}

func TestTwoReleasesSideBySide(t *testing.T) {
	dir := writeTree(t, twoReleases())
	list, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list {
		if want := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC); !r.Epoch.Equal(want) {
			t.Errorf("release %s: epoch %v, want %v", r.Name, r.Epoch, want)
		}
		for _, name := range []string{"bird", "linux"} {
			recipe, err := r.Recipe(name)
			if err != nil {
				t.Fatal(err)
			}
			place, _ := filepath.Rel(dir, recipe.Dir)
			got = append(got, fmt.Sprintf("%s %v: %s %s in %s", r.Name, r.Default, name, recipe.Version, place))
		}
	}
	want := []string{
		"2026.11 true: bird 2.0.12 in recipes/bird",
		"2026.11 true: linux 6.12.117 in recipes/linux",
		"next false: bird 2.17.1 in next/recipes/bird",
		"next false: linux 6.12.117 in recipes/linux",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recipes (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"2026.11", "next"}, Names(dir)); diff != "" {
		t.Errorf("Names (-want +got)\n%s", diff)
	}
	for _, name := range []string{"", "2026.11", "next"} {
		r, err := LoadRelease(dir, name)
		if err != nil || r.Default != (name != "next") {
			t.Errorf("LoadRelease(%q) = %s, default %v, %v", name, r.Name, r.Default, err)
		}
	}
	_, err = LoadRelease(dir, "nexd")
	if want := "release nexd: there is no such release\nhint: did you mean \"next\"? releases: 2026.11, next"; err == nil || err.Error() != want {
		t.Errorf("LoadRelease of an unknown one = %v, want %s", err, want)
	}
}

func TestReleaseErrors(t *testing.T) {
	for name, tc := range map[string]struct{ file, text, want string }{
		"no name":              {"release.toml", "epoch = 2026-11-21T00:00:00Z\n", `release.toml: name: "" is no name for a release`},
		"name with a slash":    {"release.toml", releaseText("a/b", ""), `release.toml:1: name: "a/b" is no name for a release`},
		"no epoch":             {"release.toml", "name = \"x\"\n", "release.toml: epoch: a time since 2020 is needed"},
		"epoch without a zone": {"release.toml", "name = \"x\"\nepoch = 2026-11-21T00:00:00\n", "release.toml:2: epoch: a time since 2020 is needed, with its zone"},
		"epoch of a day":       {"release.toml", "name = \"x\"\nepoch = 2026-11-21\n", "release.toml:2: epoch: a time since 2020 is needed, with its zone"},
		"unknown key":          {"release.toml", "nam = \"x\"\n", "release.toml:1: unknown key \"nam\"\n  hint: did you mean \"name\"?"},
		"unknown recipe": {"release.toml", releaseText("2026.11", "birt = \"2.0.12\"\n"),
			"release.toml:5: recipes.birt: there is no such recipe in DIR/recipes\n  hint: did you mean \"bird\"?"},
		"version that no recipe has": {"release.toml", releaseText("2026.11", "bird = \"2.0.13\"\n"),
			"release.toml:5: recipes.bird: no recipe has version \"2.0.13\"; DIR/recipes/bird/recipe.toml has \"2.0.12\""},
		"version of the default release's recipe": {"next/release.toml", releaseText("next", "linux = \"6.12.118\"\n"),
			"next/release.toml:5: recipes.linux: no recipe has version \"6.12.118\"; DIR/recipes/linux/recipe.toml has \"6.12.117\""},
		"broken recipe":       {"recipes/bird/recipe.toml", "name = 1\n", "recipes/bird/recipe.toml:1: name: is an integer, not a string"},
		"name is another":     {"next/release.toml", releaseText("nex", ""), `next/release.toml:1: name: "nex" is in the folder "next"; the two must be the same`},
		"name of the default": {"2026.11/release.toml", releaseText("2026.11", ""), `2026.11/release.toml: name: "2026.11" is the default release's already`},
		"reserved":            {"recipes/release.toml", releaseText("recipes", ""), `recipes/release.toml:1: name: "recipes" is the folder of the recipes`},
	} {
		t.Run(name, func(t *testing.T) {
			files := twoReleases()
			files[tc.file] = tc.text
			dir := writeTree(t, files)
			_, err := List(dir)
			want := dir + "/" + strings.ReplaceAll(tc.want, "DIR", dir)
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("List = %v\nwant %s…", err, want)
			}
		})
	}
}

func TestRecipeThatTheReleaseDoesNotName(t *testing.T) {
	files := twoReleases()
	files["release.toml"] = releaseText("2026.11", "linux = \"6.12.117\"\n")
	r, err := LoadRelease(writeTree(t, files), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"bird": "release.toml:4: recipes: \"bird\" is called for, but release 2026.11 does not name it\n  hint: add bird = \"VERSION\" to its [recipes]",
		"linx": "release.toml:4: recipes: \"linx\" is called for, but release 2026.11 does not name it\n  hint: did you mean \"linux\"? otherwise add linx",
	} {
		_, err := r.Recipe(name)
		if err == nil || !strings.HasPrefix(err.Error(), r.Dir+"/"+want) {
			t.Errorf("Recipe(%q) = %v\nwant %s…", name, err, want)
		}
	}
}
