package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"tench/release"
)

// develop returns the folder under development that f names, as it is now.
func develop(ctx context.Context, r release.Recipe, f release.File, o Options) (Fetched, error) {
	if o.Strict {
		return Fetched{}, fmt.Errorf("%s is a folder under development, and a release is made of pinned sources\nhint: build without --strict, or pin a version in %s",
			f.Dir, filepath.Join(r.Dir, release.RecipeFile))
	}
	name, err := filepath.Abs(r.At(f.Dir))
	if err != nil {
		return Fetched{}, err
	}
	dir, err := filepath.EvalSymlinks(name)
	if err != nil {
		return Fetched{}, err
	}
	entries, err := walk(ctx, dir)
	if err != nil {
		return Fetched{}, err
	}
	hash, size, err := hashEntries(ctx, dir, entries, o)
	if err != nil {
		return Fetched{}, err
	}
	return Fetched{Path: dir, Name: filepath.Base(name), SHA256: hash, Version: r.Version, From: name, Size: size, Development: true}, nil
}

// found is one entry of a tree.
type found struct {
	path string // below the tree, e.g. "drivers/net/Kconfig"
	info fs.FileInfo
	link string // target of a symbolic link
}

// walk lists what is below dir in the order of names, without git's own data.
func walk(ctx context.Context, dir string) ([]found, error) {
	var list []found
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		// A folder in a clone, a file in a worktree or submodule.
		if d.Name() == ".git" {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "." {
			return err
		}
		e := found{path: name}
		if e.info, err = d.Info(); err != nil {
			return err
		}
		switch e.info.Mode().Type() {
		case 0, fs.ModeDir:
		case fs.ModeSymlink:
			e.link, err = os.Readlink(path)
		default:
			return fmt.Errorf("%s is neither file, folder nor link", path)
		}
		list = append(list, e)
		return err
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s is no folder, or an empty one", dir)
	}
	return list, err
}

// hashEntries returns a hash over paths, kinds, permissions, link targets and
// contents of a tree, and how many bytes its files have. All of the contents are
// read each time: sizes and times would be quicker, but an edit that keeps both
// would go unseen, and a checkout that changes only times would compile a
// kernel anew. Linux takes 7 seconds of CPU time, on all processors at once.
func hashEntries(ctx context.Context, dir string, entries []found, o Options) (hash string, size int64, err error) {
	sums := make([]string, len(entries))
	next := make(chan int)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for i := range next {
				var err error
				if sums[i], err = hashFile(ctx, filepath.Join(dir, entries[i].path)); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i, e := range entries {
		if e.info.Mode().IsRegular() && ctx.Err() == nil {
			next <- i
			size += e.info.Size()
			if o.Progress != nil {
				o.Progress(int64(i), int64(len(entries)), "files")
			}
		}
	}
	close(next)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return "", 0, cause
	}
	h := sha256.New()
	for i, e := range entries {
		mode := e.info.Mode()
		if e.link != "" {
			mode = fs.ModeSymlink // Linux gives links no permissions of their own
		}
		fmt.Fprintf(h, "%q %v %q %s\n", e.path, mode.Type()|mode.Perm(), e.link, sums[i])
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, ctxReader{ctx, f}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// copyTree copies a folder under development to dir, which is there and empty.
// What is built must be what the hash of f says: a tree that was edited
// meanwhile is an error. Times are kept, because makefiles compare them.
func copyTree(ctx context.Context, f Fetched, dir string, o Options) error {
	entries, err := walk(ctx, f.Path)
	if err != nil {
		return err
	}
	for i, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyEntry(f.Path, dir, e); err != nil {
			return err
		}
		if o.Progress != nil {
			o.Progress(int64(i+1), int64(len(entries)), "files")
		}
	}
	// Folders last, the deepest first: what is made in one changes its time.
	for i := len(entries) - 1; i >= 0; i-- {
		if e := entries[i]; e.info.IsDir() {
			to := filepath.Join(dir, e.path)
			if err := errors.Join(os.Chtimes(to, e.info.ModTime(), e.info.ModTime()), os.Chmod(to, e.info.Mode().Perm()|0o700)); err != nil {
				return err
			}
		}
	}
	hash, _, err := hashEntries(ctx, dir, entries, Options{})
	if err != nil {
		return err
	}
	if hash != f.SHA256 {
		return fmt.Errorf("%s was changed while it was copied\nhint: build again", f.Path)
	}
	return nil
}

func copyEntry(from, to string, e found) error {
	from, to = filepath.Join(from, e.path), filepath.Join(to, e.path)
	switch {
	case e.info.IsDir():
		return os.Mkdir(to, 0o700)
	case e.link != "":
		return os.Symlink(e.link, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Chmod(e.info.Mode().Perm()); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Chtimes(to, e.info.ModTime(), e.info.ModTime())
}
