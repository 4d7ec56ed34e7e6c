package signify

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
)

const (
	commentPrefix = "untrusted comment: "
	commentMax    = 1024 // bytes of the first line that signify(1) reads
	algorithm     = "Ed" // the only one there is
)

// decode reads the two lines of a file, which holds size bytes after the
// algorithm's name.
func decode(kind string, data []byte, size int) (comment string, content []byte, err error) {
	fail := func(line int, format string, args ...any) (string, []byte, error) {
		return "", nil, fmt.Errorf("%s: line %d: %s", kind, line, fmt.Sprintf(format, args...))
	}
	first, rest, ok := bytes.Cut(data, []byte("\n"))
	comment, hasPrefix := strings.CutPrefix(string(first), commentPrefix)
	if !hasPrefix {
		return fail(1, "%.40q does not begin with %q", first, commentPrefix)
	}
	if len(first) >= commentMax {
		return fail(1, "has %d bytes, more than %d", len(first), commentMax-1)
	}
	if !ok {
		return fail(2, "is missing")
	}
	second, rest, ok := bytes.Cut(rest, []byte("\n"))
	if !ok {
		return fail(2, "does not end: the file is cut short")
	}
	if len(rest) != 0 {
		return fail(3, "%d bytes where the file should end", len(rest))
	}
	content, err = base64.StdEncoding.Strict().DecodeString(string(second))
	// The decoder skips carriage returns, which signify(1) does not.
	if err != nil || bytes.ContainsRune(second, '\r') {
		return fail(2, "is not base64")
	}
	if want := len(algorithm) + size; len(content) != want {
		return fail(2, "holds %d bytes, a %s has %d", len(content), kind, want)
	}
	if !bytes.HasPrefix(content, []byte(algorithm)) {
		return fail(2, "algorithm %q, only %q is known", content[:len(algorithm)], algorithm)
	}
	return comment, content[len(algorithm):], nil
}

// encode is the content of a file. A comment that does not fit in its line is
// cut there.
func encode(comment string, parts ...[]byte) []byte {
	comment, _, _ = strings.Cut(comment, "\n")
	comment = comment[:min(len(comment), commentMax-1-len(commentPrefix))]
	content := append([]byte(algorithm), bytes.Join(parts, nil)...)
	return fmt.Appendf(nil, "%s%s\n%s\n", commentPrefix, comment, base64.StdEncoding.EncodeToString(content))
}
