// Package dist writes a release's directory: what the builds of its boards left,
// packed, listed, summed up and signed. Package release says what lies in it.
//
//	dist.go     Write, the steps on one screen; the directory appears whole
//	collect.go  copies of the boards' files, each checked against its manifest
//	listing.go  index.txt
//	notes.go    NOTES.md
//	changes.go  what differs from the last release
//	part.go     a board of a release, read again for NOTES.md
package dist

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tench/internal/syncfs"
	"tench/release"
)

// Board is a board of the release and where its build left its files.
type Board struct {
	Name  string // e.g. "alix2d3"
	Title string // e.g. "PC Engines ALIX 2D3"
	Dir   string // folder with what Built lists
	// Built is what the build for this release made. What Dir says of itself by
	// now may be of another build, with somebody's own router.toml or sources.
	Built release.Manifest
}

// Options say what a release is called and how it is written.
type Options struct {
	Name    string    // e.g. "2026.11"; every board must have been built for it
	Epoch   time.Time // of the release; every file gets this time
	Out     string    // the directory to make
	Replace bool      // take the place of a release that is there
	Since   string    // directory of the last release, for NOTES.md; "" for none
	// Sign returns the content of SHA256.sig, with SHA256's inside; nil leaves
	// the release unsigned.
	Sign  func(sums []byte) []byte
	Start func(file string) // is told of each file as its work begins; may be nil
}

// Write makes the release's directory. It appears whole or not at all: what an
// interrupted run leaves is a hidden folder beside it, which the next one removes.
func Write(ctx context.Context, boards []Board, o Options) error {
	out, err := filepath.Abs(o.Out)
	if err != nil {
		return fmt.Errorf("release %s: %w", o.Name, err)
	}
	o.Out = out
	if o.Start == nil {
		o.Start = func(string) {}
	}
	if err := write(ctx, boards, o); err != nil {
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("%w\nhint: make room in %s, or name another place with --out", err, filepath.Dir(o.Out))
		}
		return fmt.Errorf("release %s: %w", o.Name, err)
	}
	return nil
}

// Check tells before the boards are built what Write would refuse: a place that
// holds something, a last release that is none.
func Check(o Options) error {
	err := checkOut(o)
	if err == nil && o.Since != "" {
		_, _, err = readSince(o.Since)
	}
	if err != nil {
		return fmt.Errorf("release %s: %w", o.Name, err)
	}
	return nil
}

// readSince reads what is compared of the last release.
func readSince(dir string) (x release.Index, parts []part, err error) {
	if x, err = release.ReadIndex(filepath.Join(dir, release.ManifestFile)); err == nil {
		parts, err = readParts(x, dir)
	}
	if err != nil {
		return x, nil, fmt.Errorf("compare with the last release: %w\nhint: --since names its directory", err)
	}
	return x, parts, nil
}

func write(ctx context.Context, boards []Board, o Options) error {
	if err := checkOut(o); err != nil {
		return err
	}
	parent := filepath.Dir(o.Out)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	unlock, err := lock(parent)
	if err != nil {
		return err
	}
	defer unlock()
	tmp := filepath.Join(parent, "."+filepath.Base(o.Out)+".new")
	if err := os.RemoveAll(tmp); err != nil { // an interrupted run's
		return err
	}
	defer os.RemoveAll(tmp) // after an exchange it is the old release
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(ctx, boards, tmp, o); err != nil {
		return err
	}
	if err := settle(tmp, o.Epoch); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return commit(tmp, o)
}

// checkOut refuses a place that holds something: another release unless that may
// be replaced, and anything else in any case.
func checkOut(o Options) error {
	_, err := os.Lstat(o.Out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !o.Replace:
		return fmt.Errorf("%s is there already\nhint: --replace puts the new one in its place, --out another folder beside it", o.Out)
	}
	if _, err := release.ReadIndex(filepath.Join(o.Out, release.ManifestFile)); err != nil {
		return fmt.Errorf("%s is not a release, so it is not replaced: %w", o.Out, err)
	}
	return nil
}

// lock keeps a second process from writing releases into the same folder.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another process writes a release to %s\nhint: wait until it is done", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// fill writes all of the release's files into dir.
func fill(ctx context.Context, boards []Board, dir string, o Options) error {
	boards = slices.Clone(boards)
	slices.SortFunc(boards, func(a, b Board) int { return strings.Compare(a.Name, b.Name) })
	x := release.Index{Release: o.Name, Epoch: o.Epoch.Unix()}
	for _, b := range boards {
		c := collector{board: b, dir: dir, o: o}
		files, err := c.collect(ctx)
		if err != nil {
			return err
		}
		x.Boards = append(x.Boards, release.IndexBoard{Name: b.Name, Title: b.Title})
		x.Files = append(x.Files, files...)
	}
	o.Start(release.NotesFile)
	text, err := notes(x, dir, o)
	if err != nil {
		return err
	}
	file, err := put(dir, release.NotesFile, text)
	if err != nil {
		return err
	}
	x.Files = append(x.Files, file)
	if err := x.Write(filepath.Join(dir, release.ManifestFile)); err != nil {
		return err
	}
	return seal(x.Files, dir, o)
}

// seal lists the files in index.txt and SHA256, and signs the latter.
func seal(files []release.Product, dir string, o Options) error {
	index, err := sumOf(dir, release.ManifestFile)
	if err != nil {
		return err
	}
	files = append(slices.Clone(files), index)
	list, err := put(dir, release.ListingFile, listing(files, o.Epoch))
	if err != nil {
		return err
	}
	sums, err := release.FormatSums(append(files, list))
	if err != nil {
		return err
	}
	if _, err := put(dir, release.SumsFile, sums); err != nil || o.Sign == nil {
		return err
	}
	_, err = put(dir, release.SignatureFile, o.Sign(sums))
	return err
}

// settle gives every file the release's time, so that copies of two equal
// releases are equal, and brings them to the disk.
func settle(dir string, epoch time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if err := errors.Join(os.Chmod(path, 0o644), os.Chtimes(path, epoch, epoch)); err != nil {
			return err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask: servers read it
		return err
	}
	return syncfs.Sync(dir)
}

// commit gives the finished directory its name. A release that is replaced
// changes places with it in one step, so that there is always a whole one.
func commit(tmp string, o Options) error {
	rename := os.Rename
	if _, err := os.Lstat(o.Out); o.Replace && err == nil {
		rename = func(from, to string) error {
			return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
		}
	}
	if err := rename(tmp, o.Out); err != nil {
		return fmt.Errorf("rename to %s: %w", o.Out, err)
	}
	parent, err := os.Open(filepath.Dir(o.Out))
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.Sync()
}
