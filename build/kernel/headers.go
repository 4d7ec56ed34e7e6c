package kernel

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// packHeaders writes the *.h files below dir to the tar archive to, sorted by
// name and without times or owners. Two kernels whose interface to programs is
// the same give the same bytes, so that programs need not be compiled again
// for another configuration.
func packHeaders(dir, to string) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".h") {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, Size: int64(len(data)), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("there are none in %s", dir)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	return renameio.WriteFile(to, b.Bytes(), 0o644)
}
