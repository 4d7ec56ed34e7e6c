package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// extractor makes a tree of files below one folder. All is done through
// os.Root, which follows no symbolic link out of it.
type extractor struct {
	root *os.Root
	// in is the folder of the last entry, kept open: archives list folder by
	// folder, and a path is walked once for each of them.
	in      *os.Root
	inName  string
	folders []*tar.Header // in archive order; their times are set last
	buf     []byte
}

// extract unpacks the tar stream r below dir and leaves out the first strip
// parts of each name.
func extract(ctx context.Context, r io.Reader, dir string, strip int) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	x := &extractor{root: root, buf: make([]byte, 1<<17)}
	defer x.leave()
	t := tar.NewReader(r)
	entries := 0
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		name, err := entryName(h.Name, strip)
		if err != nil {
			return err
		}
		if name == "" || h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := x.entry(h, name, strip, t); err != nil {
			return fmt.Errorf("entry %s: %w", h.Name, err)
		}
		entries++
	}
	if entries == 0 {
		return errors.New("the archive is empty")
	}
	return x.finish()
}

// entryName is the name of an archive entry in the tree; "" for the top
// folders that are left out.
func entryName(name string, strip int) (string, error) {
	clean := path.Clean(strings.TrimPrefix(name, "./"))
	if clean == "." {
		return "", nil
	}
	if !filepath.IsLocal(clean) {
		return "", fmt.Errorf("entry %q leaves the folder", name)
	}
	parts := strings.Split(clean, "/")
	if len(parts) <= strip {
		return "", nil
	}
	return strings.Join(parts[strip:], "/"), nil
}

func (x *extractor) entry(h *tar.Header, name string, strip int, content io.Reader) error {
	if err := x.enter(path.Dir(name)); err != nil {
		return err
	}
	base := path.Base(name)
	switch h.Typeflag {
	case tar.TypeDir:
		// It may be there already: entries below it can come first.
		if err := x.in.Mkdir(base, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		h.Name = name
		x.folders = append(x.folders, h)
		return nil
	case tar.TypeReg:
		return x.file(h, base, content)
	case tar.TypeSymlink:
		return x.in.Symlink(h.Linkname, base)
	case tar.TypeLink:
		target, err := entryName(h.Linkname, strip)
		if err != nil {
			return err
		}
		return x.root.Link(target, name)
	}
	return fmt.Errorf("type %q is neither file, folder nor link", h.Typeflag)
}

// enter makes dir the open folder; it is created if the archive did not.
func (x *extractor) enter(dir string) error {
	if x.in != nil && dir == x.inName {
		return nil
	}
	if err := x.root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	in, err := x.root.OpenRoot(dir)
	if err != nil {
		return err
	}
	x.leave()
	x.in, x.inName = in, dir
	return nil
}

func (x *extractor) leave() {
	if x.in != nil {
		x.in.Close()
	}
}

// file writes a regular file. An entry that is there already is an error, so
// that nothing is ever written through a link.
func (x *extractor) file(h *tar.Header, base string, content io.Reader) error {
	f, err := x.in.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	// The struct hides ReadFrom, which would allocate a buffer for each file.
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, content, x.buf); err != nil {
		return err
	}
	// Modes beyond the permissions (setuid and the like) mean nothing without
	// the owners. 0644 is left to umask, like every file of ours.
	if mode := fs.FileMode(h.Mode).Perm(); mode != 0o644 {
		if err := f.Chmod(mode); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return x.in.Chtimes(base, time.Time{}, h.ModTime)
}

// finish sets modes and times of the folders, the last first: making an entry
// changes the times of the folder above it.
func (x *extractor) finish() error {
	for i := len(x.folders) - 1; i >= 0; i-- {
		h := x.folders[i]
		if err := x.root.Chtimes(h.Name, time.Time{}, h.ModTime); err != nil {
			return err
		}
		// The owner needs to get in, to read and to remove the tree.
		if err := x.root.Chmod(h.Name, fs.FileMode(h.Mode).Perm()|0o700); err != nil {
			return err
		}
	}
	return nil
}
