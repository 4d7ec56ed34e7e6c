// Package bundle puts everything that a build needs from elsewhere into one
// tar file, for a machine without a network, and takes it out again.
//
//	bundle.go  the format, Write
//	unpack.go  Unpack: nothing is used before its hash is right
//
// A bundle is a tar archive (POSIX.1-2017, pax) of regular files:
//
//	SHA256               the hash of each other file, for sha256sum --check
//	sources/FILE         downloads, by the names that recipes give them
//	modules/MODULE/@v/…  Go modules, as GOPROXY=file:// reads them
//
// Files are sorted, and have no owner and no time: the same content gives the
// same bytes.
package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Folders of a bundle.
const (
	Sources = "sources"
	Modules = "modules"
)

// sumsName is the first file of a bundle.
const sumsName = "SHA256"

// File is one file to put into a bundle.
type File struct {
	Name string // in the bundle, e.g. "sources/gmp_6.2.1.tar.xz"
	Path string // where it is; "" for Data
	Data []byte
}

// nameRE is what names of files in a bundle look like: no word that a program
// takes for an option, no character that a shell or sha256sum would escape.
var nameRE = regexp.MustCompile(`^(sources|modules)(/[A-Za-z0-9_!@.+~-]+)+$`)

func checkName(name string) error {
	if !nameRE.MatchString(name) || !fs.ValidPath(name) {
		return fmt.Errorf("%q is no name of a file in a bundle", name)
	}
	return nil
}

// Write writes a bundle of files to w. progress is told the bytes that are
// done; it may be nil.
func Write(ctx context.Context, w io.Writer, files []File, progress func(done, total int64)) error {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	if progress == nil {
		progress = func(int64, int64) {}
	}
	var sums bytes.Buffer
	var total, done int64
	hashes := make([]string, len(files))
	for i, f := range files {
		if err := checkName(f.Name); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		if i > 0 && files[i-1].Name == f.Name {
			return fmt.Errorf("bundle: two files have the name %s", f.Name)
		}
		h := sha256.New()
		n, err := f.copyTo(ctx, h)
		if err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		total += n
		hashes[i] = hex.EncodeToString(h.Sum(nil))
		fmt.Fprintf(&sums, "%s  %s\n", hashes[i], f.Name)
	}
	t := tar.NewWriter(w)
	if err := add(ctx, t, File{Name: sumsName, Data: sums.Bytes()}, ""); err != nil {
		return err
	}
	for i, f := range files {
		if err := add(ctx, t, f, hashes[i]); err != nil {
			return err
		}
		size, err := f.size()
		if err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		done += size
		progress(done, total)
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

// add writes f, and checks that it still has the hash, if one is given.
func add(ctx context.Context, t *tar.Writer, f File, hash string) error {
	size, err := f.size()
	if err == nil {
		err = t.WriteHeader(&tar.Header{Name: f.Name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg})
	}
	h := sha256.New()
	if err == nil {
		_, err = f.copyTo(ctx, io.MultiWriter(t, h))
	}
	if err == nil && hash != "" && hex.EncodeToString(h.Sum(nil)) != hash {
		err = errors.New("it was changed meanwhile")
	}
	if err != nil {
		return fmt.Errorf("bundle: %s: %w", f.Name, err)
	}
	return nil
}

func (f File) size() (int64, error) {
	if f.Path == "" {
		return int64(len(f.Data)), nil
	}
	info, err := os.Stat(f.Path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f File) copyTo(ctx context.Context, w io.Writer) (int64, error) {
	if f.Path == "" {
		return io.Copy(w, bytes.NewReader(f.Data))
	}
	in, err := os.Open(f.Path)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	return io.Copy(w, ctxReader{ctx, in})
}

// ctxReader ends a long read when ctx ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
