package release

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
)

// Quilt is a series of patches in one of the recipe's files, as Debian's source
// packages have it in NAME_VERSION.debian.tar.xz: patches/series names them, and
// the recipe says which of them are applied. The zero value is none.
type Quilt struct {
	Part   string            // of the file; "" for none
	After  bool              // they are applied after the recipe's own patches/series, not before
	SHA256 map[string]string // name in the series: hash in lower-case hex, of those that are applied
	Skip   []string          // names of the others; a * stands for any letters but a slash
}

// Skips reports whether the patch called name is left out: it is one of the
// names in Skip, and has no hash.
func (q Quilt) Skips(name string) bool {
	if q.SHA256[name] != "" {
		return false
	}
	return slices.ContainsFunc(q.Skip, func(pattern string) bool { return matches(pattern, name) })
}

// matches reports whether name is one that a pattern of Skip means. A bad
// pattern is refused where the recipe is read.
func matches(pattern, name string) bool {
	ok, _ := path.Match(pattern, name)
	return ok
}

// Unused lists the patterns of Skip that mean none of the names.
func (q Quilt) Unused(names []string) []string {
	var unused []string
	for _, pattern := range q.Skip {
		if !slices.ContainsFunc(names, func(name string) bool { return matches(pattern, name) }) {
			unused = append(unused, pattern)
		}
	}
	return unused
}

type rawQuilt struct {
	Part   string            `toml:"part"`
	Order  string            `toml:"order"`
	Skip   []string          `toml:"skip"`
	SHA256 map[string]string `toml:"sha256"`
}

// quilt checks [quilt], whose file must be one of files.
func (c *checker) quilt(raw rawQuilt, files []File) Quilt {
	if !c.f.Has("quilt") {
		return Quilt{}
	}
	c.require(c.f.Has("build"), "quilt: only sources with [build] are patched so", "quilt")
	q := Quilt{Part: raw.Part, After: raw.Order == "after", SHA256: raw.SHA256, Skip: raw.Skip}
	of := Recipe{Files: files}.Part(q.Part)
	one := len(of) == 1 && of[0].Dir == "" && q.Part != "source"
	c.require(one, fmt.Sprintf("part: %q is not the part of one [[file]] beside the source, e.g. \"debian\"", q.Part), "quilt", "part")
	c.require(slices.Contains([]string{"before", "after"}, raw.Order),
		fmt.Sprintf("order: %q is not \"before\" or \"after\" (the recipe's own patches)", raw.Order), "quilt", "order")
	c.require(len(q.SHA256) > 0, "sha256: a series of which no patch is applied is none", "quilt")
	for _, name := range slices.Sorted(maps.Keys(q.SHA256)) {
		c.require(PatchName(name), fmt.Sprintf("sha256: %q is not the name of a patch", name), "quilt", "sha256", name)
		c.require(sha256RE.MatchString(q.SHA256[name]), fmt.Sprintf("sha256: %q is not 64 digits of lower-case hex", q.SHA256[name]), "quilt", "sha256", name)
	}
	for i, pattern := range q.Skip {
		_, err := path.Match(pattern, "")
		c.require(err == nil && pattern != "", fmt.Sprintf("skip: %q is not the name of a patch, or one with a * in it", pattern), "quilt", "skip", fmt.Sprint(i))
	}
	return q
}

// PatchName reports whether a line of a quilt series may be the name of a file
// below the folder that the series is in.
func PatchName(name string) bool {
	hidden := func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }
	return fs.ValidPath(name) && name != "." && name[0] != '-' && !slices.ContainsFunc([]rune(name), hidden)
}
