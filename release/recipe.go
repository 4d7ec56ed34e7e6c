// Package release says what a build consists of: which sources, from where, with
// which patches, under which name. Host and box both read it; it does nothing
// but read and write files.
//
//	recipe.go    recipes/NAME/recipe.toml: files and their hashes
//	location.go  where a file can be had from
//	signature.go who vouches for a file
//	steps.go     its [build]: how a program or library is made
//	series.go    recipes/NAME/patches/series
//	quilt.go     its [quilt]: patches of Debian's source package
//	release.go   release.toml: name, epoch and recipes; several releases side by side
//	lock.go      release.lock: the hashes and versions that a release is held to
//	manifest.go  manifest.json of a board's build
//	index.go     manifest.json of a release's directory
//	sums.go      SHA256
//	layout.go    the names of all files
//
// A build leaves in out/BOARD:
//
//	tench-BOARD.img       the stick image
//	tench-BOARD.slot      what an update writes into a slot of it
//	tench-BOARD.vmlinuz   the kernel and …
//	tench-BOARD.initrd    the initramfs of its slots, to boot from the network
//	tench-BOARD.cdx.json  what the image consists of: CycloneDX 1.6
//	tench-BOARD.config    the kernel's configuration
//	tench-BOARD.mtree     the files of the root file system: mtree(5)
//	manifest.json         Manifest: inputs, products, steps
//	SHA256                of the products
//
// A release's directory (package release/dist writes it) is flat, holds nothing
// else, and has, for each board, the same files but two:
//
//	tench-BOARD.img.zst   the image, packed; its manifest has the hash of the unpacked one
//	tench-BOARD.json      the board's Manifest, without what differs between two
//	                      machines that build the same: Steps, and From of the inputs
//
// and once:
//
//	NOTES.md              for people: versions, sizes, differences to the last release
//	manifest.json         Index: the boards, and all files above with size and hash
//	index.txt             lines as of ls -l, for installers that list a directory:
//	                      all files above and manifest.json
//	SHA256                of all files above, in BSD's format, sorted
//	SHA256.sig            signify's signature with SHA256 embedded (signify -S -e); absent
//	                      from a release made with --unsigned
//
// `signify -C -p KEY.pub -x SHA256.sig` checks the signature and every file;
// `signify -V -p KEY.pub -m SHA256 -x SHA256.sig` the signature alone; sha256sum
// --check reads SHA256. Whatever lies in the directory and not in SHA256, these
// two files aside, is no part of the release. All files have the release's epoch
// as their time, and equal builds give equal bytes, SHA256.sig included.
package release

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tench/internal/tomlfile"
)

// Recipe says where one source comes from, what it must be, and which patches
// of ours belong to it.
type Recipe struct {
	Name    string // folder name, e.g. "linux"
	Version string // upstream's version that is pinned, e.g. "6.12.117"
	Series  string // versions that may stand in for it, e.g. "6.12"
	Licence string // SPDX expression
	Files   []File
	Patches []Patch // in the order of patches/series
	Quilt   Quilt   // somebody else's patches, of a file; zero for none
	Build   Build   // how a program or library in C is made of it; zero for other sources
	Dir     string  // the folder that holds recipe.toml
}

// File is one file to download. Files with the same Part are alternative
// packagings of it, best first: any one of them will do. One with Dir is no
// file but a folder under development; it is alone in its part and has nothing
// else that describes a file.
type File struct {
	Part      string // e.g. "source"
	Name      string // file name, e.g. "linux-source-6.12_6.12.117-1~deb12u1_all.deb"
	Size      int64  // bytes
	SHA256    string // lower-case hex
	Unpack    Unpack
	Locations []Location // in the order they are tried
	Signature *Signature // nil: the hash alone vouches for it
	Dir       string     // the tree of files as it is; absolute or below the recipe's folder
	Line      int        // of its [[file]] in recipe.toml
}

// Unpack says how a file becomes a tree of files. The zero value is a tar
// archive, compressed or not, whose one top folder is left out of the tree.
type Unpack struct {
	Deb   bool   // a Debian package: its data tree
	Inner string // with Deb: the tar archive at this path inside the package instead
}

func (u Unpack) String() string {
	switch {
	case u.Inner != "":
		return "deb:" + u.Inner
	case u.Deb:
		return "deb"
	}
	return "tar"
}

// Patch is one patch of a series.
type Patch struct {
	Name   string // e.g. "0001-say-what-it-is.patch"
	Path   string
	SHA256 string // lower-case hex
	Part   string // of the recipe's file that it is from; "" for the recipe's own
}

// Part returns the packagings of one part, best first.
func (r Recipe) Part(name string) []File {
	var files []File
	for _, f := range r.Files {
		if f.Part == name {
			files = append(files, f)
		}
	}
	return files
}

// Develop is the recipe with the folder dir in place of its part "source".
func (r Recipe) Develop(dir string) (Recipe, error) {
	if len(r.Part("source")) == 0 {
		return Recipe{}, fmt.Errorf("recipe %s: it has no part \"source\" that %s could stand in for", r.Name, dir)
	}
	files := slices.DeleteFunc(slices.Clone(r.Files), func(f File) bool { return f.Part == "source" })
	r.Files = append(files, File{Part: "source", Dir: dir})
	return r, nil
}

// InSeries reports whether an upstream version may stand in for the pinned one.
func (r Recipe) InSeries(version string) bool {
	return version == r.Series || strings.HasPrefix(version, r.Series+".")
}

// RecipeFile is the recipe below its folder.
const RecipeFile = "recipe.toml"

// Load reads the recipe called name from dir, the recipes folder, with its
// patches. The error of a bad recipe is a tomlfile.Problems.
func Load(dir, name string) (Recipe, error) {
	path := filepath.Join(dir, name, RecipeFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	r, err := Parse(path, name, data)
	if err != nil {
		return Recipe{}, err
	}
	r.Dir = filepath.Dir(path)
	r.Patches, err = loadSeries(filepath.Join(r.Dir, "patches"))
	return r, err
}

// rawRecipe is recipe.toml as written; see release/recipes/linux/recipe.toml.
type rawRecipe struct {
	Name    string    `toml:"name"`
	Version string    `toml:"version"`
	Series  string    `toml:"series"`
	Licence string    `toml:"licence"`
	File    []rawFile `toml:"file"`
	Quilt   rawQuilt  `toml:"quilt"`
	Build   rawBuild  `toml:"build"`
}

type rawFile struct {
	Part      string        `toml:"part"`
	File      string        `toml:"file"`
	Size      int64         `toml:"size"`
	SHA256    string        `toml:"sha256"`
	Unpack    string        `toml:"unpack"`
	Locations []rawLocation `toml:"locations"`
	Signature rawSignature  `toml:"signature"`
	Dir       string        `toml:"dir"`
}

// Parse decodes the recipe called name; file is its name in errors.
func Parse(file, name string, data []byte) (Recipe, error) {
	var raw rawRecipe
	f, err := tomlfile.Decode(file, data, &raw)
	if err != nil {
		return Recipe{}, err
	}
	c := checker{f: f}
	r := Recipe{Name: raw.Name, Version: raw.Version, Series: raw.Series, Licence: raw.Licence}
	c.require(r.Name == name, fmt.Sprintf("name: %q is in the folder %q; the two must be the same", r.Name, name), "name")
	c.require(r.Version != "", "version: a recipe needs one, e.g. \"6.12.117\"", "version")
	c.require(r.Series != "", "series: a recipe needs one, e.g. \"6.12\"", "series")
	c.require(r.Series == "" || r.InSeries(r.Version), fmt.Sprintf("version: %q is not of the series %q", r.Version, r.Series), "version")
	c.require(r.Licence != "", "licence: a recipe needs an SPDX expression, e.g. \"GPL-2.0-only\"", "licence")
	c.require(len(raw.File) > 0, "file: a recipe needs at least one", "file")
	for i, rf := range raw.File {
		r.Files = append(r.Files, c.file(rf, "file", fmt.Sprint(i)))
	}
	c.distinct(r.Files)
	r.Quilt = c.quilt(raw.Quilt, r.Files)
	r.Build = c.build(raw.Build, f.Has("build"))
	return r, c.problems.OrNil()
}

// checker collects what is wrong with a decoded recipe.
type checker struct {
	f        *tomlfile.File
	problems tomlfile.Problems
}

func (c *checker) require(ok bool, text string, path ...string) {
	if !ok {
		c.problems = append(c.problems, tomlfile.Problem{File: c.f.Name, Line: c.f.Line(path...), Text: text})
	}
}

// distinct refuses files that are the same, and a folder under development
// beside other packagings of its part.
func (c *checker) distinct(files []File) {
	for i, a := range files {
		at := []string{"file", fmt.Sprint(i)}
		same := func(b File) bool { return a.Dir == "" && b.Dir == "" && (b.Name == a.Name || b.SHA256 == a.SHA256) }
		c.require(!slices.ContainsFunc(files[:i], same), fmt.Sprintf("file %q: another [[file]] has the same name or hash", a.Name), at...)
		alone := len(Recipe{Files: files}.Part(a.Part)) == 1
		c.require(a.Dir == "" || alone, fmt.Sprintf("dir: the part %q has another [[file]]; a folder under development is the only one", a.Part), at...)
	}
}

var (
	sha256RE = regexp.MustCompile(`^[0-9a-f]{64}$`)
	partRE   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	fileRE   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]*$`)
)

func (c *checker) file(rf rawFile, at ...string) File {
	key := func(k string) []string { return append(slices.Clone(at), k) }
	f := File{Part: rf.Part, Line: c.f.Line(at...)}
	c.require(partRE.MatchString(f.Part), fmt.Sprintf("part: %q is not a name such as \"source\"", f.Part), key("part")...)
	if c.f.Has(key("dir")...) {
		f.Dir = rf.Dir
		c.path("dir", f.Dir, key("dir")...)
		for _, k := range []string{"file", "size", "sha256", "unpack", "locations", "signature"} {
			c.require(!c.f.Has(key(k)...), k+": it does not belong to a [[file]] with dir, which is taken as it is", key(k)...)
		}
		return f
	}
	f.Name, f.Size, f.SHA256 = rf.File, rf.Size, rf.SHA256
	c.content(f.Name, f.Size, f.SHA256, at...)
	f.Unpack = c.unpack(rf.Unpack, key("unpack")...)
	f.Locations = c.locations(rf.Locations, key("locations")...)
	if c.f.Has(key("signature")...) {
		f.Signature = c.signature(rf.Signature, key("signature")...)
	}
	return f
}

// content checks what pins a file.
func (c *checker) content(name string, size int64, sum string, at ...string) {
	key := func(k string) []string { return append(slices.Clone(at), k) }
	c.require(fileRE.MatchString(name), fmt.Sprintf("file: %q is not a file name", name), key("file")...)
	c.require(size > 0, fmt.Sprintf("size: %d is not a number of bytes above 0", size), key("size")...)
	c.require(sha256RE.MatchString(sum), fmt.Sprintf("sha256: %q is not 64 digits of lower-case hex", sum), key("sha256")...)
}

func (c *checker) unpack(s string, path ...string) Unpack {
	inner, isInner := strings.CutPrefix(s, "deb:")
	switch {
	case s == "tar":
		return Unpack{}
	case s == "deb":
		return Unpack{Deb: true}
	case isInner && fs.ValidPath(inner) && inner != ".":
		return Unpack{Deb: true, Inner: inner}
	}
	c.require(false, fmt.Sprintf("unpack: %q is not one of \"tar\", \"deb\", \"deb:PATH/OF/ARCHIVE\"", s), path...)
	return Unpack{}
}
