package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"tench/boards"
	"tench/build/bundle"
	"tench/build/source"
	"tench/build/userland"
	"tench/release"
)

// maxModules is above what the Go modules of a bundle have together, in bytes.
const maxModules = 4 << 30

// WriteBundle puts everything that building the needs calls for into one file:
// their sources, and the Go modules of tench and of every board's programs.
// Only pinned versions are taken: what an archive has in their stead could not
// be verified where there is no archive.
func WriteBundle(ctx context.Context, path string, needs []Need, o Options) error {
	o.Strict = true
	fetched, err := Fetch(ctx, needs, o)
	if err != nil {
		return err
	}
	all, err := boards.List(filepath.Join(o.Root, "boards"))
	if err != nil {
		return err
	}
	modules, err := bundleModules(ctx, all, o)
	if err != nil {
		return err
	}
	var files []bundle.File
	seen := map[string]string{} // name -> hash
	for _, f := range fetched {
		if seen[f.Name] == f.SHA256 {
			continue // two releases have it
		}
		seen[f.Name] = f.SHA256
		files = append(files, bundle.File{Name: bundle.Sources + "/" + f.Name, Path: f.Path})
	}
	for _, m := range modules {
		files = append(files, bundle.File{Name: bundle.Modules + "/" + m.Name, Path: m.Path, Data: m.Data})
	}
	return o.timed(ctx, StepReport{Step: "bundle", Detail: path, Outcome: Built}, func() error { return writeBundle(ctx, path, files, o) })
}

// bundleModules finds the Go modules that go into a bundle.
func bundleModules(ctx context.Context, list []boards.Board, o Options) (modules []userland.ModuleFile, err error) {
	dir, done, err := bundleDir(ctx, o.Cache)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	defer done()
	err = o.timed(ctx, StepReport{Step: "modules", Detail: "of Go", Outcome: Fetched}, func() (err error) {
		modules, err = userland.Modules(ctx, o.Root, list, userland.ModuleOptions{Scratch: dir, Offline: o.Offline})
		return err
	})
	return modules, err
}

// writeBundle writes the file whole or not at all.
func writeBundle(ctx context.Context, path string, files []bundle.File, o Options) error {
	out, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	defer out.Cleanup()
	progress := func(done, total int64) { o.Report.Progress(done, total, "B") }
	if err := bundle.Write(ctx, out, files, progress); err != nil {
		return err
	}
	if err := out.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

// TakeBundle takes what is in the bundle at path: sources into the store, Go
// modules to where go finds them. Nothing is taken before every hash in it is
// right and every source is one that a recipe of this checkout pins; go compares
// the modules with go.sum.
func TakeBundle(ctx context.Context, path string, o Options) error {
	releases, err := release.List(filepath.Join(o.Root, "release"))
	if err != nil {
		return err
	}
	all, err := boards.List(filepath.Join(o.Root, "boards"))
	if err != nil {
		return err
	}
	dir, done, err := bundleDir(ctx, o.Cache)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	defer done()
	var known []release.File
	for _, r := range releases {
		for _, recipe := range r.Recipes {
			known = append(known, pinned(recipe)...)
		}
	}
	err = o.timed(ctx, StepReport{Step: "bundle", Detail: path, Outcome: Fetched}, func() error { return unpackBundle(ctx, path, dir, known) })
	if err != nil {
		return err
	}
	o.Offline, o.Strict, o.Mirrors = true, true, []string{filepath.Join(dir, bundle.Sources)}
	for _, r := range releases {
		if err := takeSources(ctx, r, o); err != nil {
			return err
		}
	}
	return o.timed(ctx, StepReport{Step: "modules", Detail: "of Go", Outcome: Fetched}, func() error {
		return userland.TakeModules(ctx, o.Root, filepath.Join(dir, bundle.Modules), all)
	})
}

// bundleDir makes an empty folder in the cache for what a bundle is made of, or is
// taken apart into, and says how to be done with it. What a killed run left there
// is removed.
func bundleDir(ctx context.Context, cacheDir string) (dir string, done func(), err error) {
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", nil, fmt.Errorf("%w\nhint: set TENCH_CACHE to a folder that can be written to", err)
	}
	dir = filepath.Join(cacheDir, "bundle")
	lock := flock.New(dir + ".lock")
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return "", nil, err
	}
	done = func() {
		_ = os.RemoveAll(dir)
		_ = lock.Unlock()
	}
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
		done()
		return "", nil, err
	}
	return dir, done, nil
}

// pinned lists the files that a recipe pins, signatures included.
func pinned(recipe release.Recipe) []release.File {
	var files []release.File
	for _, f := range recipe.Files {
		if inDevelopment(f) {
			continue
		}
		files = append(files, f)
		if f.Signature != nil {
			files = append(files, f.Signature.File(f.Part))
		}
	}
	return files
}

// unpackBundle takes the bundle apart into dir, and refuses sources that are
// not known.
func unpackBundle(ctx context.Context, path, dir string, known []release.File) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	defer in.Close()
	limit := int64(maxModules)
	for _, f := range known {
		limit += f.Size
	}
	hashes, err := bundle.Unpack(ctx, in, dir, limit)
	if err != nil {
		return err
	}
	for name, hash := range hashes {
		file, isSource := strings.CutPrefix(name, bundle.Sources+"/")
		pins := func(f release.File) bool { return f.Name == file && f.SHA256 == hash }
		if isSource && !slices.ContainsFunc(known, pins) {
			return fmt.Errorf("bundle: %s: no recipe of this checkout pins a file of this name and hash\nhint: was the bundle made from this version of the checkout?", name)
		}
	}
	return nil
}

// takeSources moves those files of the release into the store that o.Mirrors
// holds.
func takeSources(ctx context.Context, r release.Release, o Options) error {
	o.Release = r.Name
	p, err := newPlan(boards.Board{}, o) // a source is the same for every board
	if err != nil {
		return err
	}
	for _, recipe := range r.Recipes {
		var parts []string
		for _, f := range recipe.Files {
			if !slices.Contains(parts, f.Part) {
				parts = append(parts, f.Part)
			}
		}
		for _, name := range parts {
			_, lacks := p.dl.Missing(recipe, name, source.Options{Mirrors: o.Mirrors, Strict: true})
			if lacks || slices.ContainsFunc(recipe.Part(name), inDevelopment) {
				continue // the bundle was made for boards that do without
			}
			if _, err := p.source(ctx, recipe.Name, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// timed reports work that is no step of an image; the report says how it ends
// when all is well.
func (o Options) timed(ctx context.Context, report StepReport, work func() error) error {
	o.Report.Start(report.Step, report.Detail)
	began := time.Now()
	err := work()
	if err != nil {
		report.Outcome = failure(ctx)
	}
	report.Took = time.Since(began)
	o.Report.Done(report)
	return err
}
