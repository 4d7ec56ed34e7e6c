package kernel

import (
	"os"
	"path/filepath"
)

// tree is where a kernel is built:
//
//	scratch/linux/       links to each top-level entry of the source
//	scratch/linux/o/     the objects (O=o)
//
// The kernel's Makefile names the source ".." when the objects are right below
// it, and so no compiler ever sees an absolute path. Objects are the same from
// any folder, and a compiler cache hits for the same source at another place,
// for instance after a patch was added.
type tree struct {
	scratch string
	linux   string
	objects string
}

// layTree makes or refreshes the links to source; objects are kept.
func layTree(source, scratch string) (tree, error) {
	source, err := filepath.Abs(source)
	if err != nil {
		return tree{}, err
	}
	// make compares real paths.
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return tree{}, err
	}
	if scratch, err = filepath.EvalSymlinks(scratch); err != nil {
		return tree{}, err
	}
	scratch, err = filepath.Abs(scratch)
	if err != nil {
		return tree{}, err
	}
	t := tree{scratch: scratch, linux: filepath.Join(scratch, "linux")}
	t.objects = filepath.Join(t.linux, "o")
	if err := os.MkdirAll(t.objects, 0o755); err != nil {
		return tree{}, err
	}
	if err := removeLinks(t.linux); err != nil {
		return tree{}, err
	}
	entries, err := os.ReadDir(source)
	if err != nil {
		return tree{}, err
	}
	for _, e := range entries {
		if err := os.Symlink(filepath.Join(source, e.Name()), filepath.Join(t.linux, e.Name())); err != nil {
			return tree{}, err
		}
	}
	return t, nil
}

func removeLinks(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type() != os.ModeSymlink {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
