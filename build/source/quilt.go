package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"tench/release"
)

// maxSeries and maxPatch are far above what Debian's series and patches have, in
// bytes.
const (
	maxSeries = 1 << 20
	maxPatch  = 16 << 20
)

// Quilt returns the patches that the recipe takes from the unpacked file of its
// [quilt], in the order of patches/series, as quilt(1) applies them. All that is
// not as the recipe says is one error: a patch with another hash, one that is
// gone, and one that is neither taken nor skipped.
//
// A file that was followed is another one than the recipe knows: of it, all is
// taken that the recipe does not skip, and Debian's archive vouches for it.
func Quilt(r release.Recipe, f Fetched, tree string) ([]release.Patch, error) {
	whole, err := os.OpenRoot(tree)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	defer whole.Close()
	root, err := whole.OpenRoot("patches") // as a link it leaves the tree nowhere
	if err != nil {
		return nil, fmt.Errorf("%s: open patches: %w", f.Name, err)
	}
	defer root.Close()
	text, err := readBounded(root, "series", maxSeries)
	if err != nil {
		return nil, fmt.Errorf("%s: read series: %w", f.Name, err)
	}
	names, err := seriesNames(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: read series: %w", f.Name, err)
	}
	q := r.Quilt
	var patches []release.Patch
	for _, name := range names {
		if q.Skips(name) {
			continue
		}
		data, err := readBounded(root, name, maxPatch)
		if err != nil {
			return nil, fmt.Errorf("%s: read patch: %w", f.Name, err)
		}
		sum := sha256.Sum256(data)
		patches = append(patches, release.Patch{Name: name, Path: filepath.Join(tree, "patches", filepath.FromSlash(name)),
			SHA256: hex.EncodeToString(sum[:]), Part: q.Part})
	}
	if f.Followed {
		return patches, nil
	}
	if wrong := unlike(q, names, patches); wrong != "" {
		return nil, fmt.Errorf("%s: its series is not what the recipe says:%s\nhint: look at the patches, then say in quilt.sha256 or quilt.skip of %s what is to become of each",
			f.Name, wrong, filepath.Join(r.Dir, release.RecipeFile))
	}
	return patches, nil
}

// unlike says what of a series is not as the recipe has it, a patch a line; "" is
// nothing. names are all of the series, patches those that are not skipped.
func unlike(q release.Quilt, names []string, patches []release.Patch) string {
	var b strings.Builder
	for _, p := range patches {
		switch want := q.SHA256[p.Name]; want {
		case p.SHA256:
		case "":
			fmt.Fprintf(&b, "\n  neither taken nor skipped: %q = %q", p.Name, p.SHA256)
		default:
			fmt.Fprintf(&b, "\n  %s: its SHA-256 is %s, not %s", p.Name, p.SHA256, want)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(q.SHA256)) {
		if !slices.Contains(names, name) {
			fmt.Fprintf(&b, "\n  %s: it is not in the series", name)
		}
	}
	for _, pattern := range q.Unused(names) {
		fmt.Fprintf(&b, "\n  skip %q: nothing in the series is called so", pattern)
	}
	return b.String()
}

// seriesNames reads patches/series of a source package of the format 3.0 (quilt)
// (dpkg-source(1)): a name a line, # begins a comment. Of quilt's options there
// is only what Debian allows, -p1.
func seriesNames(text string) ([]string, error) {
	var names []string
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(" "+line, " #")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
			continue
		case len(fields) > 2 || len(fields) == 2 && fields[1] != "-p1":
			return nil, fmt.Errorf("line %d: options %q; only -p1 is known", n, strings.Join(fields[1:], " "))
		case !release.PatchName(fields[0]):
			return nil, fmt.Errorf("line %d: %q is not the name of a patch", n, fields[0])
		case slices.Contains(names, fields[0]):
			return nil, fmt.Errorf("line %d: %s is named twice", n, fields[0])
		}
		names = append(names, fields[0])
	}
	return names, nil
}

// readBounded reads a regular file below root that has at most limit bytes.
func readBounded(root *os.Root, name string, limit int64) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("it is no file")}
	}
	if info.Size() > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it has %d bytes, more than %d", info.Size(), limit)}
	}
	return root.ReadFile(name)
}

// keptSeries and keptFolder are what KeepPatches writes, and Kept reads.
const (
	keptSeries = "series"
	keptFolder = "patches"
)

// KeepPatches copies patches to dir, with a list of their hashes and names.
func KeepPatches(patches []release.Patch, dir string) error {
	var list bytes.Buffer
	for _, p := range patches {
		data, err := os.ReadFile(p.Path)
		if err != nil {
			return fmt.Errorf("patch %s: %w", p.Name, err)
		}
		to := filepath.Join(dir, keptFolder, filepath.FromSlash(p.Name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o644)); err != nil {
			return fmt.Errorf("patch %s: %w", p.Name, err)
		}
		fmt.Fprintf(&list, "%s %s\n", p.SHA256, p.Name)
	}
	return os.WriteFile(filepath.Join(dir, keptSeries), list.Bytes(), 0o644)
}

// Kept returns the patches that KeepPatches left in dir, as those of part.
func Kept(dir, part string) ([]release.Patch, error) {
	text, err := os.ReadFile(filepath.Join(dir, keptSeries))
	if err != nil {
		return nil, fmt.Errorf("patches: %w", err)
	}
	var patches []release.Patch
	for line := range strings.Lines(string(text)) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok {
			return nil, fmt.Errorf("patches: %s: %q is not a hash and a name", dir, line)
		}
		patches = append(patches, release.Patch{Name: name, Path: filepath.Join(dir, keptFolder, path.Clean(name)), SHA256: sum, Part: part})
	}
	return patches, nil
}
