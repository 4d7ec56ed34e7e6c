package overlays

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tench/internal/flist"
)

// ListFile is the path of the list of an overlay below dir.
func ListFile(dir, layer string) string { return filepath.Join(dir, layer+".flist") }

// applyList reads a layer's list, which may be missing, and gives its entries
// the modes that are declared there.
func applyList(file string, entries map[string]Entry) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := flist.Parse(file, data)
	if err != nil {
		return err
	}
	var errs []error
	for _, declared := range list.Entries() {
		if declared.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			errs = append(errs, fmt.Errorf("%s: %s: no program of the box runs setuid or setgid", file, declared))
			continue
		}
		applyMode(entries, declared, file)
	}
	return errors.Join(errs...)
}

// applyMode carries out one line of a list: a folder is made where git kept
// none. Whether a file may be executed is what git says, too: a list that says
// something else is wrong, or the file is.
func applyMode(entries map[string]Entry, declared flist.Entry, file string) {
	e, ok := entries[declared.Path]
	switch {
	case !ok && declared.Mode.IsDir():
		e = Entry{Path: declared.Path, From: file}
		withParents(entries, declared.Path, file)
	case !ok, e.Mode.Type() != declared.Mode.Type(), e.Mode.Type() == fs.ModeSymlink:
		return
	case e.Mode.IsRegular() && (e.Mode^declared.Mode)&0o100 != 0:
		return
	}
	e.Mode = declared.Mode
	entries[e.Path] = e
}
