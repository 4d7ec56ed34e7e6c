package dist

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"tench/release"
)

// listing is index.txt: the files as `ls -lnT` lists them on OpenBSD, which is
// what the mirrors of BSD have under this name.
func listing(files []release.Product, epoch time.Time) []byte {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b release.Product) int { return strings.Compare(a.File, b.File) })
	var b bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&b, "-rw-r--r--  1 0  0  %12d %s %s\n", f.Size, epoch.UTC().Format("Jan _2 15:04:05 2006"), f.File)
	}
	return b.Bytes()
}
