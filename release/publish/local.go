package publish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// local is a tree in a folder of this machine.
type local struct{ dir string }

func (l local) String() string          { return l.dir }
func (l local) path(name string) string { return filepath.Join(l.dir, filepath.FromSlash(name)) }
func (l local) SumsThere() bool         { return true }
func (l local) Far() bool               { return false }
func (l local) How() string             { return "read back" }
func (l local) Close() error            { return nil }

func (l local) Lstat(name string) (fs.FileInfo, error)    { return os.Lstat(l.path(name)) }
func (l local) Readlink(name string) (string, error)      { return os.Readlink(l.path(name)) }
func (l local) Mkdir(name string) error                   { return os.Mkdir(l.path(name), 0o755) }
func (l local) Chmod(name string, mode fs.FileMode) error { return os.Chmod(l.path(name), mode) }
func (l local) Remove(name string) error                  { return os.Remove(l.path(name)) }

func (l local) List(name string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(l.path(name))
	if err != nil {
		return nil, err
	}
	var list []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since
		}
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

func (l local) Symlink(target, name string) error {
	if err := os.Symlink(target, l.path(name)); err != nil {
		return err
	}
	return l.syncParent(name)
}

func (l local) Rename(from, to string) error {
	if err := os.Rename(l.path(from), l.path(to)); err != nil {
		return err
	}
	return l.syncParent(to)
}

// syncParent puts the entries of the folder that holds name on the disk.
func (l local) syncParent(name string) error {
	dir, err := os.Open(filepath.Dir(l.path(name)))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (l local) Read(name string) ([]byte, error) {
	f, err := os.Open(l.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readSmall(f)
}

func (l local) Write(name string, from int64, r io.Reader) error {
	f, err := os.OpenFile(l.path(name), os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(appendTo(f, from, r), f.Close())
}

// syncFile is an open file, here or on a host.
type syncFile interface {
	io.Writer
	io.Seeker
	Truncate(size int64) error
	Sync() error
}

// appendTo cuts f to its first from bytes and lets r follow.
func appendTo(f syncFile, from int64, r io.Reader) error {
	if err := f.Truncate(from); err != nil {
		return err
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(f, r)
	// After an error too: what came is worth keeping for the next run.
	if syncErr := f.Sync(); err == nil {
		err = syncErr
	}
	return err
}

func (l local) Sum(ctx context.Context, part span, moved func(int64)) (string, error) {
	f, err := os.Open(l.path(part.name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	return sumOf(ctx, f, part, moved)
}

// sumOf is the SHA-256 in hex of part of an open file.
func sumOf(ctx context.Context, f io.ReadSeeker, part span, moved func(int64)) (string, error) {
	if _, err := f.Seek(part.from, io.SeekStart); err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, meter{ctx, io.LimitReader(f, part.to-part.from), moved}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (l local) Free() (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(l.dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
