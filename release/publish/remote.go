package publish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/pkg/sftp"

	"tench/internal/remote"
)

// overSSH is a tree on a host, over SFTP.
type overSSH struct {
	client *remote.Client
	sftp   *sftp.Client
	dest   Dest
	hasher string // the host's program for SHA-256, with arguments; "" if it runs none for us
}

func (r *overSSH) String() string          { return r.dest.String() }
func (r *overSSH) path(name string) string { return path.Join(r.dest.Path, name) }
func (r *overSSH) Far() bool               { return true }

func (r *overSSH) Close() error {
	r.sftp.Close()
	return r.client.Close()
}

// err says what was done to which file, as package os does.
func (r *overSSH) err(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: verb, Path: r.path(name), Err: explain(r.client, err)}
}

func (r *overSSH) Lstat(name string) (fs.FileInfo, error) {
	info, err := r.sftp.Lstat(r.path(name))
	return info, r.err("stat", name, err)
}

func (r *overSSH) List(name string) ([]fs.FileInfo, error) {
	list, err := r.sftp.ReadDir(r.path(name))
	return list, r.err("list", name, err)
}

func (r *overSSH) Readlink(name string) (string, error) {
	target, err := r.sftp.ReadLink(r.path(name))
	return target, r.err("readlink", name, err)
}

func (r *overSSH) Symlink(target, name string) error {
	return r.err("symlink", name, r.sftp.Symlink(target, r.path(name)))
}

func (r *overSSH) Mkdir(name string) error {
	return r.err("mkdir", name, r.sftp.Mkdir(r.path(name)))
}

func (r *overSSH) Chmod(name string, mode fs.FileMode) error {
	return r.err("chmod", name, r.sftp.Chmod(r.path(name), mode))
}

func (r *overSSH) Rename(from, to string) error {
	return r.err("rename", from, r.sftp.PosixRename(r.path(from), r.path(to)))
}

func (r *overSSH) Remove(name string) error {
	return r.err("remove", name, r.sftp.Remove(r.path(name)))
}

func (r *overSSH) Read(name string) ([]byte, error) {
	f, err := r.sftp.Open(r.path(name))
	if err != nil {
		return nil, r.err("open", name, err)
	}
	defer f.Close()
	data, err := readSmall(f)
	return data, r.err("read", name, err)
}

func (r *overSSH) Write(name string, from int64, in io.Reader) error {
	f, err := r.sftp.OpenFile(r.path(name), os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return r.err("open", name, err)
	}
	_, syncs := r.sftp.HasExtension("fsync@openssh.com")
	err = appendTo(ahead{f, syncs}, from, in)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return r.err("write", name, err)
}

// ahead writes without waiting for each answer: a file would otherwise take a
// round trip for every 32 KiB. Requests leave in their order, so that what a
// broken connection leaves behind is the file's beginning.
type ahead struct {
	*sftp.File
	syncs bool
}

func (a ahead) ReadFrom(in io.Reader) (int64, error) {
	return a.ReadFromWithConcurrency(in, inFlight)
}

func (a ahead) Sync() error {
	if !a.syncs {
		return nil
	}
	return a.File.Sync()
}

// readBack is Sum over the line.
func (r *overSSH) readBack(ctx context.Context, part span, moved func(int64)) (string, error) {
	f, err := r.sftp.Open(r.path(part.name))
	if err != nil {
		return "", r.err("open", part.name, err)
	}
	defer f.Close()
	if part.to-part.from <= block {
		sum, err := sumOf(ctx, f, part, moved)
		return sum, r.err("read", part.name, err)
	}
	if _, err := f.Seek(part.from, io.SeekStart); err != nil {
		return "", r.err("read", part.name, err)
	}
	h := sha256.New()
	// WriteTo asks for many blocks at once. It goes to the file's end, which is
	// where a longer part ends when hashes come over the line; see beginning.
	if _, err := f.WriteTo(counting{ctx, h, moved}); err != nil {
		return "", r.err("read", part.name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// counting is w as long as ctx lasts; moved hears how many bytes were written.
type counting struct {
	ctx   context.Context
	w     io.Writer
	moved func(int64)
}

func (c counting) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	c.moved(int64(len(p)))
	return c.w.Write(p)
}

// Free asks with statvfs@openssh.com.
func (r *overSSH) Free() (int64, bool) {
	s, err := r.sftp.StatVFS(r.path("."))
	if err != nil {
		// A new tree is not there yet: what holds it is.
		if s, err = r.sftp.StatVFS(path.Dir(r.path("."))); err != nil {
			return 0, false
		}
	}
	return int64(s.Bavail * s.Frsize), true
}
