package release

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"tench/internal/nearest"
	"tench/internal/tomlfile"
)

// Release names what is built: its name goes into images and crash reports,
// its epoch is the time of every file in them.
type Release struct {
	Name    string    // e.g. "2026.11"
	Epoch   time.Time // UTC
	Recipes []Recipe  // what it is made of, by name
	Default bool      // release/release.toml, which is built when none is named
	Dir     string    // the folder that holds release.toml
	line    int       // of [recipes] in it
}

// Names of a release's files below its folder.
const (
	releaseFile = "release.toml"
	recipesDir  = "recipes"
)

// nameRE is what FAT, ext4 and the kernel's command line can hold (see package
// build/disk), and what is a folder's name.
var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$`)

// LoadRelease reads the release called name: dir/release.toml, the default
// one, when name is "" or its name, and dir/NAME/release.toml otherwise. Its
// recipes are those that it names. One is in dir/NAME/recipes where it differs
// from that of the default release, and else in dir/recipes.
func LoadRelease(dir, name string) (Release, error) {
	first, err := load(dir, "")
	if err != nil || name == "" || name == first.Name {
		return first, err
	}
	others := folders(dir)
	if !slices.Contains(others, name) {
		known := append([]string{first.Name}, others...)
		hint := "releases: " + strings.Join(known, ", ")
		if near := nearest.Of(name, known); near != "" {
			hint = fmt.Sprintf("did you mean %q? %s", near, hint)
		}
		return Release{}, fmt.Errorf("release %s: there is no such release\nhint: %s", name, hint)
	}
	return load(dir, name)
}

// List reads all releases below dir, the default one first.
func List(dir string) ([]Release, error) {
	first, err := load(dir, "")
	if err != nil {
		return nil, err
	}
	list := []Release{first}
	for _, name := range folders(dir) {
		r, err := load(dir, name)
		if err != nil {
			return nil, err
		}
		if r.Name == first.Name {
			return nil, tomlfile.Problems{{File: r.file(), Text: fmt.Sprintf("name: %q is the default release's already", r.Name)}}
		}
		list = append(list, r)
	}
	return list, nil
}

// Names lists the releases below dir without reading more than it must; it is
// for completion, so that what cannot be read is left out.
func Names(dir string) []string {
	names := folders(dir)
	if first, err := load(dir, ""); err == nil {
		names = append([]string{first.Name}, names...)
	}
	return names
}

// folders are the folders below dir that hold a release.
func folders(dir string) []string { return holders(dir, releaseFile) }

// holders are the folders below dir that hold a file of this name. The path of dir
// may have characters that Glob takes for a pattern.
func holders(dir, file string) []string {
	files, _ := fs.Glob(os.DirFS(dir), "*/"+file)
	var names []string
	for _, f := range files {
		names = append(names, filepath.Dir(f))
	}
	return names
}

// rawRelease is release.toml as written.
type rawRelease struct {
	Name    string            `toml:"name"`
	Epoch   any               `toml:"epoch"`   // into a time.Time go-toml takes what has no zone as this machine's
	Recipes map[string]string `toml:"recipes"` // name -> version
}

// load reads the release in the folder below dir, or that of dir itself.
func load(dir, folder string) (Release, error) {
	r := Release{Dir: filepath.Join(dir, folder), Default: folder == ""}
	data, err := os.ReadFile(r.file())
	if err != nil {
		return Release{}, fmt.Errorf("release: %w", err)
	}
	var raw rawRelease
	f, err := tomlfile.Decode(r.file(), data, &raw)
	if err != nil {
		return Release{}, err
	}
	epoch, _ := raw.Epoch.(time.Time)
	r.Name, r.Epoch, r.line = raw.Name, epoch.UTC(), f.Line("recipes")
	c := checker{f: f}
	c.require(nameRE.MatchString(r.Name), fmt.Sprintf("name: %q is no name for a release: up to 64 of letters, digits and . _ + ~ - are allowed", r.Name), "name")
	c.require(r.Default || r.Name == folder, fmt.Sprintf("name: %q is in the folder %q; the two must be the same", r.Name, folder), "name")
	c.require(r.Name != recipesDir, fmt.Sprintf("name: %q is the folder of the recipes", r.Name), "name")
	c.require(r.Epoch.Year() >= 2020, "epoch: a time since 2020 is needed, with its zone, e.g. 2026-11-01T00:00:00Z", "epoch")
	for _, name := range slices.Sorted(maps.Keys(raw.Recipes)) {
		recipe, ok, err := c.recipe(r.recipeDirs(dir), name, raw.Recipes[name])
		if err != nil {
			return Release{}, err
		}
		if ok {
			r.Recipes = append(r.Recipes, recipe)
		}
	}
	return r, c.problems.OrNil()
}

func (r Release) file() string { return filepath.Join(r.Dir, releaseFile) }

// recipeDirs are the folders with the release's recipes, its own first.
func (r Release) recipeDirs(top string) []string {
	dirs := []string{filepath.Join(r.Dir, recipesDir)}
	if !r.Default {
		dirs = append(dirs, filepath.Join(top, recipesDir))
	}
	return dirs
}

// recipe loads the recipe out of the first of the folders that has it. What is
// wrong with the line of release.toml is noted as a problem; an error is one of
// the recipe itself.
func (c *checker) recipe(dirs []string, name, version string) (Recipe, bool, error) {
	var known []string
	for _, dir := range dirs {
		present := recipeNames(dir)
		if !slices.Contains(present, name) {
			known = append(known, present...)
			continue
		}
		r, err := Load(dir, name)
		if err != nil {
			return Recipe{}, false, err
		}
		c.require(r.Version == version, fmt.Sprintf("recipes.%s: no recipe has version %q; %s has %q", name, version, filepath.Join(r.Dir, RecipeFile), r.Version), recipesDir, name)
		return r, true, nil
	}
	text := fmt.Sprintf("recipes.%s: there is no such recipe in %s", name, strings.Join(dirs, " or "))
	p := tomlfile.Problem{File: c.f.Name, Line: c.f.Line(recipesDir, name), Text: text}
	if near := nearest.Of(name, known); near != "" {
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	c.problems = append(c.problems, p)
	return Recipe{}, false, nil
}

// recipeNames lists the recipes in a folder.
func recipeNames(dir string) []string { return holders(dir, RecipeFile) }

// Recipe returns the recipe called name. One that the release does not name is
// an error: nothing gets into an image that its release does not say.
func (r Release) Recipe(name string) (Recipe, error) {
	var known []string
	for _, recipe := range r.Recipes {
		if recipe.Name == name {
			return recipe, nil
		}
		known = append(known, recipe.Name)
	}
	hint := fmt.Sprintf("add %s = \"VERSION\" to its [recipes]", name)
	if near := nearest.Of(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %q? otherwise %s", near, hint)
	}
	return Recipe{}, tomlfile.Problems{{File: r.file(), Line: r.line,
		Text: fmt.Sprintf("recipes: %q is called for, but release %s does not name it", name, r.Name), Hint: hint}}
}

// Option is how a command names the release, with a space before it: nothing
// for the default one.
func (r Release) Option() string {
	if r.Default {
		return ""
	}
	return " --release " + r.Name
}
