package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"

	"tench/release"
)

// followed notes which file stands in for pins that are gone, so that later
// builds, and builds without the network, use the same one.
type followed struct {
	pin
	Version string         `json:"version"` // upstream's
	Debian  string         `json:"debian"`  // Debian's
	From    string         `json:"from"`
	Pins    []string       `json:"pins"` // hashes of the recipe's packagings at the time
	Unpack  release.Unpack `json:"unpack"`
}

// followedPath is where the note for files is. Two releases may pin different
// files of one part.
func (s *Store) followedPath(r release.Recipe, files []release.File) string {
	return filepath.Join(s.dir, "followed", r.Name+"-"+files[0].Part+"-"+files[0].SHA256[:12])
}

// readFollowed returns the note for files, if it was made for the same pins.
func (s *Store) readFollowed(r release.Recipe, files []release.File) (followed, bool) {
	var n followed
	data, err := os.ReadFile(s.followedPath(r, files))
	if err != nil || json.Unmarshal(data, &n) != nil {
		return followed{}, false
	}
	return n, len(n.SHA256) == 64 && slices.Equal(n.Pins, hashes(files))
}

func hashes(files []release.File) []string {
	var list []string
	for _, f := range files {
		list = append(list, f.SHA256)
	}
	return list
}

func (n followed) fetched(path string) Fetched {
	return Fetched{Path: path, Name: n.Name, SHA256: n.SHA256, Version: n.Version, Debian: n.Debian, From: n.From,
		Size: n.Size, Followed: true, Unpack: n.Unpack}
}

func (s *Store) followedEarlier(ctx context.Context, r release.Recipe, files []release.File, o Options) (Fetched, bool, error) {
	n, ok := s.readFollowed(r, files)
	if !ok || o.Follow != "" && o.Follow != n.Debian {
		return Fetched{}, false, nil
	}
	_, ok, err := s.verified(ctx, n.pin, o)
	if ok {
		warnFollowed(r, n, o)
	}
	return n.fetched(s.path(n.pin)), ok, err
}

func warnFollowed(r release.Recipe, n followed, o Options) {
	o.logf("warning: %s %s is pinned, %s is used (%s): its pin is gone, so the archive's own signature is what vouches for it",
		r.Name, r.Version, n.Version, n.Name)
}

// standIn is a version of a pinned file that the archive has.
type standIn struct {
	pin
	version string // Debian's
	from    release.Location
}

// follow fetches the newest version of the first packaging that is a Debian
// package, or a file of a source package, and is in the recipe's series. What it
// must be comes from the index that apt verified. Where the index lists a file
// that the archive no longer has, an older version will do, down to the pinned
// one. With o.Follow only that version is taken.
func (s *Store) follow(ctx context.Context, r release.Recipe, files []release.File, tried []attempt, o Options) (Fetched, error) {
	gone := func(err error) error {
		if o.Follow != "" {
			return fmt.Errorf("the archive's version %s, which another file of it calls for, cannot be had: %w", o.Follow, err)
		}
		return fmt.Errorf("no location has the pinned version %s:%s\nand series %s cannot be followed: %w\n"+
			"hint: is the network up? otherwise put the file into a folder named in TENCH_MIRROR",
			r.Version, listed(tried), r.Series, err)
	}
	file, l := followable(files)
	if l == nil {
		return Fetched{}, gone(errors.New("it has no Debian package"))
	}
	list, err := s.standIns(ctx, r, file, *l, o)
	if err != nil {
		return Fetched{}, gone(err)
	}
	var failed error
	for _, in := range list {
		if in.version == versionOf(*l) && in.SHA256 != file.SHA256 {
			return Fetched{}, gone(fmt.Errorf("the archive's %s has SHA-256 %s, the recipe says %s: one of the two was tampered with", in.from, in.SHA256, file.SHA256))
		}
		err := s.fromStandIn(ctx, in, o)
		if err == nil {
			return s.standing(r, files, file, in, o)
		}
		if ctx.Err() != nil || isFull(err) {
			return Fetched{}, s.diskFull(err, in.Size)
		}
		o.logf("%s: not from %s: %v", in.Name, in.from, err)
		failed = errors.Join(failed, err)
	}
	return Fetched{}, gone(failed)
}

func (s *Store) fromStandIn(ctx context.Context, in standIn, o Options) error {
	if in.from.Debian != nil {
		return s.fromArchive(ctx, *in.from.Debian, in.pin, o)
	}
	return s.fromSources(ctx, *in.from.DebianSource, in.pin, o)
}

// standing notes which file stands in for the pinned one from now on. A newer
// version of a source package may have the pinned file itself.
func (s *Store) standing(r release.Recipe, files []release.File, file release.File, in standIn, o Options) (Fetched, error) {
	if in.SHA256 == file.SHA256 {
		return s.pinned(r, file, in.from.String()), nil
	}
	n := followed{pin: in.pin, Version: upstream(in.version), Debian: in.version, From: in.from.String(), Pins: hashes(files), Unpack: file.Unpack}
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return Fetched{}, err
	}
	if err := renameio.WriteFile(s.followedPath(r, files), append(data, '\n'), 0o644); err != nil {
		return Fetched{}, err
	}
	warnFollowed(r, n, o)
	return n.fetched(s.path(in.pin)), nil
}

// followable returns the first packaging that Debian's archive has, and where in it.
func followable(files []release.File) (release.File, *release.Location) {
	for _, f := range files {
		for _, l := range f.Locations {
			if l.Debian != nil || l.DebianSource != nil {
				return f, &l
			}
		}
	}
	return release.File{}, nil
}

func versionOf(l release.Location) string {
	if l.Debian != nil {
		return l.Debian.Version
	}
	return l.DebianSource.Version
}

// standIns lists what the signed index has in place of a file: the newest
// version of the recipe's series, then older ones, none older than the pinned.
func (s *Store) standIns(ctx context.Context, r release.Recipe, file release.File, l release.Location, o Options) ([]standIn, error) {
	name, arch, read := "", sourceArch, apt.sourcesOf
	if l.Debian != nil {
		name, arch, read = l.Debian.Package, l.Debian.Arch, apt.packagesOf
	} else {
		name = l.DebianSource.Package
	}
	a, unlock, err := s.openApt(ctx, arch, o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	all, err := read(a, ctx, file, l)
	if err != nil {
		return nil, err
	}
	var list []standIn
	for _, in := range all {
		known := slices.ContainsFunc(list, func(b standIn) bool { return b.version == in.version }) // in two suites
		wanted := o.Follow == "" || o.Follow == in.version
		if wanted && !known && r.InSeries(upstream(in.version)) {
			list = append(list, in)
		}
	}
	slices.SortFunc(list, func(a, b standIn) int {
		if newer(ctx, a.version, b.version) {
			return -1
		}
		return 1
	})
	if len(list) == 0 {
		return nil, fmt.Errorf("the archive has no %s of series %s", name, r.Series)
	}
	newest := list[0].version
	list = slices.DeleteFunc(list, func(in standIn) bool { return newer(ctx, versionOf(l), in.version) })
	if len(list) == 0 {
		return nil, fmt.Errorf("the archive's newest %s is %s, older than the pinned %s", name, newest, versionOf(l))
	}
	return list, nil
}

// packagesOf lists the versions of a binary package.
func (a apt) packagesOf(ctx context.Context, _ release.File, l release.Location) ([]standIn, error) {
	stanzas, err := a.versions(ctx, *l.Debian)
	if err != nil {
		return nil, err
	}
	var list []standIn
	for _, s := range stanzas {
		pkg := *l.Debian
		pkg.Version = s["Version"]
		p, ok := pinFrom(s["SHA256"], s["Size"], filepath.Base(s["Filename"]))
		if !ok {
			return nil, fmt.Errorf("the archive's index has no size or SHA-256 for %s %s", pkg.Package, pkg.Version)
		}
		list = append(list, standIn{p, pkg.Version, release.Location{Debian: &pkg}})
	}
	return list, nil
}

// sourcesOf lists the versions of a source package with the file of each that
// is what the pinned one is in its own.
func (a apt) sourcesOf(ctx context.Context, file release.File, l release.Location) ([]standIn, error) {
	out, err := a.run(ctx, nil, "apt-cache", "showsrc", "--only-source", l.DebianSource.Package)
	if err != nil {
		return nil, err
	}
	kind := sourceKind(file.Name)
	if kind == "" {
		return nil, fmt.Errorf("what stands for %s in another version of the source package is not to be told by its name", file.Name)
	}
	var list []standIn
	for _, s := range stanzas(string(out)) {
		if s["Package"] != l.DebianSource.Package {
			continue
		}
		pkg := *l.DebianSource
		pkg.Version = s["Version"]
		for line := range strings.Lines(s["Checksums-Sha256"]) {
			fields := strings.Fields(line) // hash, size, name (deb822(5), deb-src-control(5))
			if len(fields) != 3 || sourceKind(fields[2]) != kind {
				continue
			}
			if p, ok := pinFrom(fields[0], fields[1], fields[2]); ok {
				list = append(list, standIn{p, pkg.Version, release.Location{DebianSource: &pkg}})
			}
		}
	}
	return list, nil
}

// sourceKind is what a file is in its source package (dpkg-source(1), format 3.0
// (quilt)): upstream's archive, or Debian's patches and rules. "" is something else.
func sourceKind(name string) string {
	for _, kind := range []string{".orig.tar.", ".debian.tar."} {
		if _, packing, ok := strings.Cut(name, kind); ok && !strings.Contains(packing, ".") {
			return kind
		}
	}
	return ""
}

// pinFrom makes a pin of what an index says of a file; its name is no path.
func pinFrom(sum, size, name string) (pin, bool) {
	n, err := strconv.ParseInt(size, 10, 64)
	raw, hexErr := hex.DecodeString(sum)
	ok := err == nil && n > 0 && hexErr == nil && len(raw) == sha256.Size && name != "." && filepath.Base(name) == name
	return pin{name, n, strings.ToLower(sum)}, ok
}

// versions returns the index's stanzas of a package.
func (a apt) versions(ctx context.Context, pkg release.DebianPackage) ([]map[string]string, error) {
	out, err := a.run(ctx, nil, "apt-cache", "show", "--all-versions", pkg.Package)
	if err != nil {
		return nil, err
	}
	other := func(s map[string]string) bool { return s["Package"] != pkg.Package || s["Architecture"] != pkg.Arch }
	return slices.DeleteFunc(stanzas(string(out)), other), nil
}

// stanzas splits a package index (deb822(5)) into its packages' fields. The
// lines of a field are one below the other.
func stanzas(text string) []map[string]string {
	var list []map[string]string
	for block := range strings.SplitSeq(text, "\n\n") {
		fields, last := map[string]string{}, ""
		for line := range strings.Lines(block) {
			key, value, ok := strings.Cut(line, ":")
			switch {
			case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
				if last != "" {
					fields[last] += "\n" + strings.TrimSpace(line)
				}
			case ok:
				last = key
				fields[key] = strings.TrimSpace(value)
			}
		}
		if len(fields) > 0 {
			list = append(list, fields)
		}
	}
	return list
}

// newer compares Debian versions (deb-version(7)) as dpkg does.
func newer(ctx context.Context, a, b string) bool {
	return exec.CommandContext(ctx, "dpkg", "--compare-versions", a, "gt", b).Run() == nil
}

// repackedRE is what Debian adds to the version of a source that it packed again,
// without what is not free enough for it.
var repackedRE = regexp.MustCompile(`[+~.](dfsg|ds)[.0-9]*$`)

// upstream is a Debian version without epoch, revision and note of a repacking:
// 6.12.117 of 6.12.117-1~deb12u1, 6.2.1 of 2:6.2.1+dfsg1-1.1 (deb-version(7)).
func upstream(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	if i := strings.LastIndex(version, "-"); i >= 0 {
		version = version[:i]
	}
	return repackedRE.ReplaceAllString(version, "")
}
