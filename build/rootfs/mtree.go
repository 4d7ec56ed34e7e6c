package rootfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"strings"

	"github.com/google/renameio/v2"

	"tench/overlays"
)

// writeMtree writes to file what is in the tree: path, kind, mode, size and
// SHA-256, in the format of mtree(5), full paths in sorted lines.
func writeMtree(list []overlays.Entry, file string) error {
	var b bytes.Buffer
	b.WriteString("#mtree\n/set uid=0 gid=0\n. type=dir mode=0755\n") // the kernel makes the root itself
	for _, e := range list {
		fmt.Fprintf(&b, "./%s %s\n", vis(e.Path), keywords(e))
	}
	return renameio.WriteFile(file, b.Bytes(), 0o644)
}

func keywords(e overlays.Entry) string {
	mode := e.Mode.Perm()
	if e.Mode&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	switch e.Mode.Type() {
	case fs.ModeDir:
		return fmt.Sprintf("type=dir mode=%04o", uint32(mode))
	case fs.ModeSymlink:
		return fmt.Sprintf("type=link mode=%04o link=%s", uint32(mode), vis(e.Link))
	case fs.ModeDevice | fs.ModeCharDevice:
		n := devices[e.Path]
		return fmt.Sprintf("type=char mode=%04o device=linux,%d,%d", uint32(mode), n[0], n[1])
	}
	return fmt.Sprintf("type=file mode=%04o size=%d sha256=%x", uint32(mode), len(e.Data), sha256.Sum256(e.Data))
}

// vis writes characters that would end or change a word of a line as three
// octal digits, vis(3)'s VIS_OCTAL.
func vis(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(`\#*?[=`, c) >= 0 {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
