package bundle

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"regexp"
	"strings"
)

// maxSums is far above what the list of hashes has, in bytes: a bundle of all
// boards has some 400 files.
const maxSums = 1 << 20

// Unpack takes a bundle apart into dir, an empty folder, and returns the hash of
// each file, by its name. The files may have limit bytes together. Each must be
// on the bundle's list of hashes, once, and be what the list says, and none may
// be missing; otherwise the error tells which, and dir is to be thrown away.
func Unpack(ctx context.Context, r io.Reader, dir string, limit int64) (map[string]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	defer root.Close()
	t := tar.NewReader(ctxReader{ctx, r})
	sums, err := readSums(t)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	missing := maps.Clone(sums)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("bundle: %w\nhint: was it copied whole?", err)
		}
		limit -= h.Size
		if err := unpackFile(root, t, h, missing[h.Name], limit); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		delete(missing, h.Name)
	}
	for name := range missing {
		return nil, fmt.Errorf("bundle: it lacks %d of the files on its list, %s among them\nhint: was it copied whole?", len(missing), name)
	}
	return sums, nil
}

// unpackFile writes the file that t is at, if it has the hash sum. limit is what
// is left of the bytes that all may have.
func unpackFile(root *os.Root, t io.Reader, h *tar.Header, sum string, limit int64) error {
	switch {
	case checkName(h.Name) != nil:
		return checkName(h.Name)
	case h.Typeflag != tar.TypeReg:
		return fmt.Errorf("%s is no regular file", h.Name)
	case sum == "":
		return fmt.Errorf("%s is not on its list of hashes, or there twice", h.Name)
	case limit < 0:
		return fmt.Errorf("%s: the files are larger than everything that this checkout asks for", h.Name)
	}
	if err := root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, hash), t); err != nil {
		return fmt.Errorf("%s: %w\nhint: was it copied whole?", h.Name, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return fmt.Errorf("%s: its SHA-256 is %s, the list says %s\nhint: was it copied whole?", h.Name, got, sum)
	}
	return f.Close()
}

var sumRE = regexp.MustCompile(`^([0-9a-f]{64})  (.*)$`)

// readSums reads the list of hashes, which is the first file: name -> hash.
func readSums(t *tar.Reader) (map[string]string, error) {
	h, err := t.Next()
	foreign := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader)
	if err != nil && !foreign {
		return nil, fmt.Errorf("read %s: %w", sumsName, err)
	}
	if err != nil || h.Name != sumsName || h.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("this is no bundle of tench: %s is not its first file\nhint: tench fetch --bundle writes one", sumsName)
	}
	if h.Size > maxSums {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are right", sumsName, h.Size, maxSums)
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w\nhint: was it copied whole?", sumsName, err)
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(data)) {
		m := sumRE.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			return nil, fmt.Errorf("%s: %q is not a hash and a name", sumsName, line)
		}
		if err := checkName(m[2]); err != nil {
			return nil, fmt.Errorf("%s: %w", sumsName, err)
		}
		if sums[m[2]] != "" {
			return nil, fmt.Errorf("%s: %s is there twice", sumsName, m[2])
		}
		sums[m[2]] = m[1]
	}
	return sums, nil
}
