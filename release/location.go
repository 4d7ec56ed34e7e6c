package release

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Location is one place a file can be had from: exactly one field is set.
type Location struct {
	URL          string // https, http or ftp
	Git          *GitTag
	Debian       *DebianPackage
	DebianSource *DebianSource
	Path         string // a file of this machine, absolute or below the recipe's folder
}

func (l Location) String() string {
	switch {
	case l.Git != nil:
		return "git tag " + l.Git.String()
	case l.Debian != nil:
		return "Debian package " + l.Debian.String()
	case l.DebianSource != nil:
		return "Debian source package " + l.DebianSource.String()
	case l.Path != "":
		return "file " + l.Path
	}
	return l.URL
}

// GitTag is a tag of a git repository. The file is the tar archive that
// `git archive --prefix=RECIPE-VERSION/` makes of its commit.
type GitTag struct {
	Repository string // an address, or a folder, absolute or below the recipe's folder
	Tag        string // e.g. "v2.0.12"
	Commit     string // that the tag must point at: 40 digits of lower-case hex
}

func (g GitTag) String() string { return g.Tag + " of " + g.Repository }

// Local reports whether the repository is a folder of this machine.
func (g GitTag) Local() bool { return !strings.Contains(g.Repository, "://") }

// DebianPackage is a binary package in Debian's archive.
type DebianPackage struct {
	Package string // e.g. "grub-common"
	Version string // Debian's version, e.g. "2.06-13+deb12u2"
	Arch    string // Debian architecture, e.g. "amd64"; "all" for any
}

func (p DebianPackage) String() string { return p.Package + "=" + p.Version + " (" + p.Arch + ")" }

// DebianSource is a source package in Debian's archive; the file is the one of
// its files that has the same name.
type DebianSource struct {
	Package string // e.g. "bird2"
	Version string // Debian's version, e.g. "2.0.12-7"
}

func (p DebianSource) String() string { return p.Package + "=" + p.Version }

// At is where a path that a recipe names is on this machine.
func (r Recipe) At(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.Dir, filepath.FromSlash(path))
}

type rawLocation struct {
	URL          string `toml:"url"`
	Git          string `toml:"git"`
	Tag          string `toml:"tag"`
	Commit       string `toml:"commit"`
	Debian       string `toml:"debian"`
	DebianSource string `toml:"debian-source"`
	Version      string `toml:"version"`
	Arch         string `toml:"arch"`
	Path         string `toml:"path"`
}

// locationKinds are the keys that say where a file is, each with the keys that
// belong to it.
var locationKinds = map[string][]string{
	"url": nil, "git": {"commit", "tag"}, "debian": {"arch", "version"}, "debian-source": {"version"}, "path": nil,
}

const kindNames = "url, git, debian, debian-source, path"

var (
	packageRE = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]+$`) // Debian Policy 5.6.1
	versionRE = regexp.MustCompile(`^([0-9]+:)?[0-9][A-Za-z0-9.+~-]*$`)
	archRE    = regexp.MustCompile(`^[a-z0-9]+$`)
	tagRE     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*$`)
	commitRE  = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// locations checks the list of places of a file.
func (c *checker) locations(list []rawLocation, path ...string) []Location {
	c.require(len(list) > 0, "locations: a file needs at least one", path...)
	var locations []Location
	for i, rl := range list {
		locations = append(locations, c.location(rl, append(slices.Clone(path), fmt.Sprint(i))...))
	}
	return locations
}

func (c *checker) location(rl rawLocation, path ...string) Location {
	has := func(key string) bool { return c.f.Has(append(slices.Clone(path), key)...) }
	var given []string
	for kind := range locationKinds {
		if has(kind) {
			given = append(given, kind)
		}
	}
	if len(given) != 1 {
		slices.Sort(given)
		c.require(false, fmt.Sprintf("a location has one of %s; %d are given: %s", kindNames, len(given), strings.Join(given, ", ")), path...)
		return Location{}
	}
	kind := given[0]
	for _, key := range []string{"tag", "commit", "version", "arch"} {
		c.require(!has(key) || slices.Contains(locationKinds[kind], key), fmt.Sprintf("%s: it does not belong to a location with %s", key, kind), path...)
	}
	switch kind {
	case "url":
		c.url(rl.URL, path...)
		return Location{URL: rl.URL}
	case "git":
		return Location{Git: c.git(rl, path...)}
	case "debian":
		p := DebianPackage{Package: rl.Debian, Version: rl.Version, Arch: rl.Arch}
		c.debian(kind, p.Package, p.Version, path...)
		c.require(archRE.MatchString(p.Arch) && p.Arch != "source", fmt.Sprintf("arch: %q is not a Debian architecture; give \"all\" or e.g. \"amd64\"", p.Arch), path...)
		return Location{Debian: &p}
	case "debian-source":
		p := DebianSource{Package: rl.DebianSource, Version: rl.Version}
		c.debian(kind, p.Package, p.Version, path...)
		return Location{DebianSource: &p}
	}
	c.path("path", rl.Path, path...)
	return Location{Path: rl.Path}
}

func (c *checker) debian(kind, name, version string, path ...string) {
	c.require(packageRE.MatchString(name), fmt.Sprintf("%s: %q is not the name of a Debian package", kind, name), path...)
	c.require(versionRE.MatchString(version), fmt.Sprintf("version: %q is not a version of a Debian package", version), path...)
}

// url checks an address of a file. Plain http and ftp will do, because the
// file's hash is pinned.
func (c *checker) url(s string, path ...string) {
	u, err := url.Parse(s)
	if err != nil || !slices.Contains([]string{"https", "http", "ftp"}, u.Scheme) || u.Hostname() == "" {
		c.require(false, fmt.Sprintf("url: %q does not begin with https://HOST/, http://HOST/ or ftp://HOST/", s), path...)
		return
	}
	c.require(u.User == nil, fmt.Sprintf("url: %q has a user or password; recipes hold no secrets", s), path...)
	c.require(!strings.ContainsFunc(u.Path, func(r rune) bool { return r < ' ' }), fmt.Sprintf("url: %q has a control character", s), path...)
}

func (c *checker) git(rl rawLocation, path ...string) *GitTag {
	g := GitTag{Repository: rl.Git, Tag: rl.Tag, Commit: rl.Commit}
	if g.Local() {
		c.path("git", g.Repository, path...)
	} else {
		u, err := url.Parse(g.Repository)
		ok := err == nil && (slices.Contains([]string{"https", "http", "git"}, u.Scheme) && u.Hostname() != "" || u.Scheme == "file" && u.Host == "")
		c.require(ok, fmt.Sprintf("git: %q is not https://HOST/…, http://HOST/…, git://HOST/…, file:///… or a folder", g.Repository), path...)
		c.require(err != nil || u.User == nil, fmt.Sprintf("git: %q has a user or password; recipes hold no secrets", g.Repository), path...)
	}
	// git-check-ref-format(1)
	ok := tagRE.MatchString(g.Tag) && !strings.Contains(g.Tag, "..") && !strings.HasSuffix(g.Tag, ".") && !strings.Contains(g.Tag+"/", ".lock/")
	c.require(ok, fmt.Sprintf("tag: %q is not the name of a tag, e.g. \"v1.2\"", g.Tag), path...)
	c.require(commitRE.MatchString(g.Commit), fmt.Sprintf("commit: %q is not 40 digits of lower-case hex", g.Commit), path...)
	return &g
}

// path checks a path of this machine. A colon would make git read a folder's
// name as a host's.
func (c *checker) path(key, s string, path ...string) {
	ok := s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == ':' })
	c.require(ok, fmt.Sprintf("%s: %q is not a path, absolute or below the recipe's folder", key, s), path...)
}
