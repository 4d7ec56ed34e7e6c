package publish

import (
	"context"
	"fmt"
	"io"
	"io/fs"
)

// block is what a partial file is cut back to before it goes on, in bytes, so
// that dd(1) on the host can name the part that is there already.
const block = 64 << 10

// span is part of a file: from is a multiple of block, to is one too or the
// file's end.
type span struct {
	name     string
	from, to int64 // bytes
}

// store is the file operations on a tree that we publish into: a local folder
// (local) or one on a host (remote). Names are slash-separated and relative to
// the tree; "." is the tree. An error names the operation and the file, and is
// fs.ErrNotExist where there is none.
type store interface {
	fmt.Stringer // the tree, as an operator names it

	Lstat(name string) (fs.FileInfo, error)
	List(name string) ([]fs.FileInfo, error)
	Readlink(name string) (string, error)
	// Symlink fails where something has the name: locks rest on that.
	Symlink(target, name string) error
	Mkdir(name string) error
	Chmod(name string, mode fs.FileMode) error
	// Rename takes the place of what is at to in one step: at no time is there
	// nothing. A folder is only renamed to a name that is free.
	Rename(from, to string) error
	// Remove takes away a file, a link or an empty folder.
	Remove(name string) error
	// Read is the whole of a small file: more than sumsMax bytes are an error.
	Read(name string) ([]byte, error)
	// Write cuts the file to its first from bytes, lets r follow, and returns
	// when they are on the disk. A file that is not there yet is made.
	Write(name string, from int64, r io.Reader) error
	// Sum is the SHA-256 in hex of part of a file, as it lies there. moved hears
	// of bytes that are done.
	Sum(ctx context.Context, part span, moved func(int64)) (string, error)
	// SumsThere says that Sum brings no bytes over a line: it may look at much.
	SumsThere() bool
	// Far says that Write sends over a line.
	Far() bool
	// How says for people how Sum comes to its hashes.
	How() string
	// Free is the room for more, in bytes; false where it cannot be known.
	Free() (int64, bool)
	Close() error
}

// sumsMax bounds a SHA256 file: ten thousand files of a release have room.
const sumsMax = 1 << 20

// readSmall reads all of r, which may have no more than sumsMax bytes.
func readSmall(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, sumsMax+1))
	if err == nil && len(data) > sumsMax {
		err = fmt.Errorf("has more than %d bytes", sumsMax)
	}
	return data, err
}

// meter is r as long as ctx lasts; moved hears how many bytes were read.
type meter struct {
	ctx   context.Context
	r     io.Reader
	moved func(int64)
}

func (m meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.moved(int64(n))
	return n, err
}
