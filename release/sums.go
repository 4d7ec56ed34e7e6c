package release

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/renameio/v2"
)

// WriteSums puts the hashes of products at path, sorted, in the format of BSD's
// sha256(1), which `signify -C` and `sha256sum --check` read beside the files.
func WriteSums(path string, products []Product) error {
	data, err := FormatSums(products)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("checksums: write %s: %w", path, err)
	}
	return nil
}

// FormatSums is what WriteSums writes.
func FormatSums(products []Product) ([]byte, error) {
	var b bytes.Buffer
	for _, p := range sorted(products) {
		// sha256sum escapes such names; ours have no business being so.
		if !fileRE.MatchString(p.File) {
			return nil, fmt.Errorf("checksums: %q is not a file name", p.File)
		}
		fmt.Fprintf(&b, "SHA256 (%s) = %s\n", p.File, p.SHA256)
	}
	return b.Bytes(), nil
}

var sumRE = regexp.MustCompile(`^SHA256 \(([^()]+)\) = ([0-9a-f]{64})$`)

// ParseSums reads a SHA256 file; name is its name in errors. The products have
// no size. A line that is none, a name with a folder, a name given twice and a
// last line without an end are errors: what is checked by the file must be
// all that it was written for.
func ParseSums(name string, data []byte) ([]Product, error) {
	text, whole := strings.CutSuffix(string(data), "\n")
	if !whole {
		return nil, fmt.Errorf("%s: its last line has no end: it was cut", name)
	}
	var list []Product
	seen := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		m := sumRE.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("%s:%d: %q is no line such as \"SHA256 (FILE) = 64 digits of lower-case hex\"", name, i+1, line)
		}
		if !fileRE.MatchString(m[1]) {
			return nil, fmt.Errorf("%s:%d: %q is not a file name", name, i+1, m[1])
		}
		if first, ok := seen[m[1]]; ok {
			return nil, fmt.Errorf("%s:%d: %s is in line %d already", name, i+1, m[1], first)
		}
		seen[m[1]] = i + 1
		list = append(list, Product{File: m[1], SHA256: m[2]})
	}
	return list, nil
}
