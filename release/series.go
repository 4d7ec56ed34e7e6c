package release

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tench/internal/tomlfile"
)

var patchRE = regexp.MustCompile(`^[0-9]{4}-[a-z0-9][a-z0-9.-]*\.patch$`)

// loadSeries reads dir/series: one patch a line, `#` begins a comment. The
// names are numbered and the numbers rise, so that a folder listing shows the
// order. A patch in the folder that the series does not name is an error,
// because it would silently not be applied. No folder means no patches.
func loadSeries(dir string) ([]Patch, error) {
	file := filepath.Join(dir, "series")
	data, err := os.ReadFile(file)
	present, _ := fs.Glob(os.DirFS(dir), "*.patch")
	if errors.Is(err, fs.ErrNotExist) && len(present) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("patches: %w", err)
	}
	var ps tomlfile.Problems
	wrong := func(line int, format string, args ...any) {
		ps = append(ps, tomlfile.Problem{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
	}
	var patches []Patch
	last := "0000"
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		name := strings.TrimSpace(text)
		switch {
		case name == "":
			continue
		case !patchRE.MatchString(name):
			wrong(n, "%q is not a patch name such as 0001-fix-it.patch", name)
			continue
		case name[:4] <= last:
			wrong(n, "%s does not come after number %s", name, last)
		}
		last = name[:4]
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		if err != nil {
			wrong(n, "%v", err)
			continue
		}
		sum := sha256.Sum256(content)
		patches = append(patches, Patch{Name: name, Path: path, SHA256: hex.EncodeToString(sum[:])})
	}
	for _, name := range present {
		if !slices.ContainsFunc(patches, func(p Patch) bool { return p.Name == name }) {
			wrong(0, "%s is in the folder but not in the series", name)
		}
	}
	return patches, ps.OrNil()
}
