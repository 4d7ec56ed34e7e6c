package view

import (
	"fmt"
	"io/fs"
	"os"
)

// Folder is a folder of files that a box reads as they are. Nothing leads out of
// it, no name and no link. Its zero value is empty.
type Folder struct{ root *os.Root }

// OpenFolder opens the folder at path. It stays open, and is the same when it is
// renamed; ReplacedAt tells whether another one has its path by now.
func OpenFolder(path string) (Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return Folder{}, fmt.Errorf("folder: %w", err)
	}
	return Folder{root}, nil
}

// ReplacedAt reports whether path leads to something else than this folder.
func (f Folder) ReplacedAt(path string) bool {
	if f.root == nil {
		return true
	}
	now, err := os.Stat(path)
	if err != nil {
		return false // nothing took its place
	}
	own, err := f.root.Stat(".")
	return err != nil || !os.SameFile(own, now)
}

// Close closes it; files that are open stay so.
func (f Folder) Close() error {
	if f.root == nil {
		return nil
	}
	return f.root.Close()
}

// Open opens a plain file. What is a folder, a device or a pipe is not there, for
// a loader that takes an empty file for one that it asked for.
func (f Folder) Open(name string) (File, error) {
	if f.root == nil {
		return nil, fs.ErrNotExist
	}
	// Looked at before it is opened: opening a pipe would wait for its writer.
	info, err := f.root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, fs.ErrNotExist
	}
	return diskFile{file, info.Size()}, nil
}

// Has reports whether Open would find it.
func (f Folder) Has(name string) bool {
	file, err := f.Open(name)
	if err != nil {
		return false
	}
	_ = file.Close() // it was only looked for
	return true
}

// diskFile is an open file with the size it had then.
type diskFile struct {
	*os.File
	size int64
}

func (d diskFile) Size() int64 { return d.size }
