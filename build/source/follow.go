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
	From    string         `json:"from"`
	Pins    []string       `json:"pins"` // hashes of the recipe's packagings at the time
	Unpack  release.Unpack `json:"unpack"`
}

func (s *Store) followedPath(r release.Recipe, files []release.File) string {
	return filepath.Join(s.dir, "followed", r.Name+"-"+files[0].Part)
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
	return Fetched{Path: path, Name: n.Name, SHA256: n.SHA256, Version: n.Version, From: n.From,
		Size: n.Size, Followed: true, Unpack: n.Unpack}
}

func (s *Store) followedEarlier(ctx context.Context, r release.Recipe, files []release.File, o Options) (Fetched, bool, error) {
	n, ok := s.readFollowed(r, files)
	if !ok {
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

// follow fetches the newest version of the first packaging's Debian package
// that is in the recipe's series. What it must be comes from the index that
// apt verified.
func (s *Store) follow(ctx context.Context, r release.Recipe, files []release.File, tried []attempt, o Options) (Fetched, error) {
	gone := func(err error) error {
		return fmt.Errorf("no location has the pinned version %s:%s\nand series %s cannot be followed: %w\n"+
			"hint: is the network up? otherwise put the file into a folder named in TENCH_MIRROR",
			r.Version, listed(tried), r.Series, err)
	}
	file, pkg := followable(files)
	if pkg == nil {
		return Fetched{}, gone(errors.New("it has no Debian package"))
	}
	a, unlock, err := s.openApt(ctx, pkg.Arch, o)
	if err != nil {
		return Fetched{}, gone(err)
	}
	defer unlock()
	newest, p, err := a.newest(ctx, r, *pkg)
	if err != nil {
		return Fetched{}, gone(err)
	}
	if newest.Version == pkg.Version && p.SHA256 != file.SHA256 {
		return Fetched{}, gone(fmt.Errorf("the archive's %s has SHA-256 %s, the recipe says %s: one of the two was tampered with", newest, p.SHA256, file.SHA256))
	}
	if err := s.aptDownload(ctx, a, newest, p, o); err != nil {
		if ctx.Err() != nil || isFull(err) {
			return Fetched{}, s.diskFull(err, p.Size)
		}
		return Fetched{}, gone(err)
	}
	if p.SHA256 == file.SHA256 {
		return s.pinned(r, file, locationOf(newest)), nil
	}
	n := followed{pin: p, Version: upstream(newest.Version), From: locationOf(newest), Pins: hashes(files), Unpack: file.Unpack}
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return Fetched{}, err
	}
	if err := renameio.WriteFile(s.followedPath(r, files), append(data, '\n'), 0o644); err != nil {
		return Fetched{}, err
	}
	warnFollowed(r, n, o)
	return n.fetched(s.path(p)), nil
}

// followable returns the first packaging that is a Debian package.
func followable(files []release.File) (release.File, *release.DebianPackage) {
	for _, f := range files {
		for _, l := range f.Locations {
			if l.Debian != nil {
				return f, l.Debian
			}
		}
	}
	return release.File{}, nil
}

// newest returns the newest version of a package in the recipe's series, and
// what its file must be according to the signed index.
func (a apt) newest(ctx context.Context, r release.Recipe, pkg release.DebianPackage) (release.DebianPackage, pin, error) {
	list, err := a.versions(ctx, pkg)
	if err != nil {
		return pkg, pin{}, err
	}
	var best map[string]string
	for _, s := range list {
		if !r.InSeries(upstream(s["Version"])) {
			continue
		}
		if best == nil || newer(ctx, s["Version"], best["Version"]) {
			best = s
		}
	}
	if best == nil {
		return pkg, pin{}, fmt.Errorf("the archive has no %s of series %s", pkg.Package, r.Series)
	}
	size, err := strconv.ParseInt(best["Size"], 10, 64)
	if sum, hexErr := hex.DecodeString(best["SHA256"]); err != nil || hexErr != nil || len(sum) != sha256.Size {
		return pkg, pin{}, fmt.Errorf("the archive's index has no size or SHA-256 for %s %s", pkg.Package, best["Version"])
	}
	pkg.Version = best["Version"]
	return pkg, pin{filepath.Base(best["Filename"]), size, best["SHA256"]}, nil
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

// stanzas splits a package index (deb822(5)) into its packages' fields.
// Continuation lines are left out: none of the fields we read has them.
func stanzas(text string) []map[string]string {
	var list []map[string]string
	for block := range strings.SplitSeq(text, "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(block) {
			if key, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
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

// upstream is a Debian version without epoch and revision: 6.12.117 of
// 6.12.117-1~deb12u1 (deb-version(7)).
func upstream(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	if i := strings.LastIndex(version, "-"); i >= 0 {
		version = version[:i]
	}
	return version
}
