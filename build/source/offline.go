package source

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"tench/release"
)

// Missing is one part that neither store nor mirrors hold.
type Missing struct {
	Recipe  string
	Part    string
	Files   []release.File // any one of them will do
	Refused []string       // mirrors and files that do not serve, and why
}

// Missing reports whether a build without the network would lack the part. It
// looks at names and sizes only: Fetch verifies before use.
func (s *Store) Missing(r release.Recipe, part string, o Options) (Missing, bool) {
	files := r.Part(part)
	for _, f := range files {
		if f.Dir != "" {
			return Missing{}, false
		}
		vouched := f.Signature == nil || s.present(r, f.Signature.File(part), o)
		if vouched && s.present(r, f, o) {
			return Missing{}, false
		}
	}
	if n, ok := s.readFollowed(r, files); ok && !o.Strict && hasSize(s.path(n.pin), n.Size) {
		return Missing{}, false
	}
	return Missing{r.Name, part, files, refused(r, files, o)}, true
}

// refused are the mirrors that are no folders, and the files of mirrors whose size
// shows that they are not what their names say: a copy that broke off, a page that
// says "not found".
func refused(r release.Recipe, files []release.File, o Options) []string {
	var list []string
	for _, m := range o.Mirrors {
		if info, err := os.Stat(m); err != nil || !info.IsDir() {
			list = append(list, m+": there is no such folder")
		}
	}
	for _, f := range files {
		for _, path := range places(r, f, o) {
			if info, err := os.Stat(path); err == nil && info.Size() != f.Size {
				list = append(list, fmt.Sprintf("%s: it has %d bytes, not %d", path, info.Size(), f.Size))
			}
		}
	}
	return list
}

func (s *Store) present(r release.Recipe, f release.File, o Options) bool {
	candidates := append(places(r, f, o), s.path(pinOf(f)))
	return slices.ContainsFunc(candidates, func(path string) bool { return hasSize(path, f.Size) })
}

func hasSize(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() == size
}

// OfflineError lists all that is missing and how to get it; nil if nothing is.
func OfflineError(missing []Missing) error {
	if len(missing) == 0 {
		return nil
	}
	var b strings.Builder
	told := map[string]bool{} // a mirror that is not there lacks all of them
	for _, m := range missing {
		fmt.Fprintf(&b, "\n  %s %s:", m.Recipe, m.Part)
		for i, f := range m.Files {
			if i > 0 {
				b.WriteString("\n    or")
			}
			b.WriteString(wanted(f))
			if f.Signature != nil {
				b.WriteString("\n    and its signature" + wanted(f.Signature.File(f.Part)))
			}
		}
		for _, line := range m.Refused {
			if !told[line] {
				b.WriteString("\n    not from " + line)
			}
			told[line] = true
		}
	}
	return fmt.Errorf("offline: these files are not in the store:%s\n"+
		"hint: build once without --offline; or carry them over from another machine with tench fetch --bundle, or in a folder named in TENCH_MIRROR", b.String())
}

// wanted says what a file must be and where it is to be had.
func wanted(f release.File) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n    %s  (%d bytes)\n      sha256 %s", f.Name, f.Size, f.SHA256)
	for _, l := range f.Locations {
		fmt.Fprintf(&b, "\n      from %s", l)
	}
	return b.String()
}
