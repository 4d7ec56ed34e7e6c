package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"tench/boards"
	"tench/build/cache"
	"tench/build/rootfs"
	"tench/internal/flist"
	"tench/overlays"
)

const (
	// flistName is the list of files beside a recipe, and below build the one of
	// what the build itself makes.
	flistName = "flist"
	// rootListName is the list of all that is in the root file system.
	rootListName = "root.flist"
)

// flist compares the finished root file system with what is declared. Its
// product is the list of what is there.
func (p *plan) flist(ctx context.Context, initrd cache.Product) (cache.Product, error) {
	lists, err := p.declared()
	if err != nil {
		return cache.Product{}, err
	}
	inputs := []cache.Input{initrd.Input()}
	for _, l := range lists {
		inputs = append(inputs, text("list "+l.Name, l.Text()))
	}
	for _, pkg := range []string{"build/rootfs", "internal/flist"} {
		code, err := p.code(pkg)
		if err != nil {
			return cache.Product{}, err
		}
		inputs = append(inputs, code)
	}
	return p.run(ctx, cache.Step{Name: "flist", Inputs: inputs, Build: func(ctx context.Context, w cache.Work) error {
		found, err := rootfs.Read(ctx, initrd.Path("initrd"))
		if err != nil {
			return err
		}
		if differences := flist.Compare(lists, found); len(differences) > 0 {
			return differenceError{p.b, differences}
		}
		var lines strings.Builder
		for _, e := range found {
			fmt.Fprintln(&lines, e)
		}
		return os.WriteFile(filepath.Join(w.Out, rootListName), []byte(lines.String()), 0o644)
	}}, "files as declared")
}

// differenceError is a root file system that is not as declared.
type differenceError struct {
	board boards.Board
	list  []flist.Difference
}

func (e differenceError) Error() string {
	lines := []string{fmt.Sprintf("%d files are not as declared (- declared, + in the root file system):", len(e.list))}
	for _, d := range e.list {
		lines = append(lines, d.Lines()...)
	}
	return strings.Join(lines, "\n") + "\nhint: if it shall be so, tench flist " + e.board.Name + " --update declares it; then look at git diff"
}

// declared reads the lists of everything that brings files into the board's
// root file system: the build, its programs in C, its overlays. What has no
// list declares nothing.
func (p *plan) declared() ([]flist.List, error) {
	files := []string{filepath.Join(p.o.Root, "build", flistName)}
	for _, name := range p.b.Daemons {
		recipe, err := p.recipe(name)
		if err != nil {
			return nil, err
		}
		files = append(files, filepath.Join(recipe.Dir, flistName))
	}
	for _, layer := range overlays.Layers(p.b) {
		files = append(files, overlays.ListFile(filepath.Join(p.o.Root, "overlays"), layer))
	}
	var lists []flist.List
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("flist: %w", err)
		}
		name, err := filepath.Rel(p.o.Root, file)
		if err != nil {
			return nil, fmt.Errorf("flist: %w", err)
		}
		list, err := flist.Parse(filepath.ToSlash(name), data)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	return lists, nil
}

// Files are what is in a board's root file system, and what is declared.
type Files struct {
	Lines       []string // everything in it, in the order of the archive
	Differences []string // as diff writes them, e.g. "+ -rwxr-xr-x 0:0 bin/bird"
	root        string
	changed     []flist.List
}

// FileList builds the board's root file system, as far as the cache does not
// have it, and compares it with the declared lists.
func FileList(ctx context.Context, b boards.Board, o Options) (Files, error) {
	p, err := newPlan(b, o)
	if err != nil {
		return Files{}, err
	}
	defer p.saveHistory()
	initrd, err := p.rootFileSystem(ctx)
	if err != nil {
		return Files{}, err
	}
	return p.files(ctx, initrd)
}

// rootFileSystem runs the steps up to the initramfs, and fetches all that Image
// does before it: the initramfs holds the bill of materials. The programs in C are
// compiled with the headers of the board's kernel.
func (p *plan) rootFileSystem(ctx context.Context) (cache.Product, error) {
	linux, err := p.source(ctx, "linux", "source")
	if err != nil {
		return cache.Product{}, err
	}
	if _, err := p.sources(ctx, "grub", p.grubParts()...); err != nil {
		return cache.Product{}, err
	}
	if _, err := p.uboot(ctx); err != nil {
		return cache.Product{}, err
	}
	var kernel cache.Product
	if len(p.b.Daemons) > 0 {
		if kernel, err = p.kernel(ctx, linux); err != nil {
			return cache.Product{}, err
		}
	}
	return p.root(ctx, kernel)
}

// files finds the differences, and the lists without them.
func (p *plan) files(ctx context.Context, initrd cache.Product) (Files, error) {
	found, err := rootfs.Read(ctx, initrd.Path("initrd"))
	if err != nil {
		return Files{}, err
	}
	lists, err := p.declared()
	if err != nil {
		return Files{}, err
	}
	f := Files{root: p.o.Root}
	for _, e := range found {
		f.Lines = append(f.Lines, e.String())
	}
	changed := map[int]bool{}
	for _, d := range flist.Compare(lists, found) {
		f.Differences = append(f.Differences, d.Lines()...)
		at, err := p.listOf(lists, d.Path)
		if err != nil {
			return Files{}, err
		}
		changed[at] = true
		if d.Got != "" {
			lists[at].Set(d.Found)
			continue
		}
		for i := range lists {
			if lists[i].Has(d.Path) {
				changed[i] = true
				lists[i].Remove(d.Path)
			}
		}
	}
	for i, l := range lists {
		if changed[i] {
			f.changed = append(f.changed, l)
		}
	}
	return f, nil
}

// listOf finds the list that declares a path, or that is to: the one beside
// what brings the file. The lists are those of declared.
func (p *plan) listOf(lists []flist.List, path string) (int, error) {
	for i := len(lists) - 1; i >= 0; i-- {
		if lists[i].Has(path) {
			return i, nil
		}
	}
	layers := overlays.Layers(p.b)
	for i := len(layers) - 1; i >= 0; i-- {
		if _, err := os.Lstat(filepath.Join(p.o.Root, "overlays", layers[i], filepath.FromSlash(path))); err == nil {
			return 1 + len(p.b.Daemons) + i, nil
		}
	}
	for i, name := range p.b.Daemons {
		recipe, err := p.recipe(name)
		if err != nil {
			return 0, err
		}
		for _, program := range recipe.Build.Programs {
			if program.To == path || strings.HasPrefix(program.To, path+"/") {
				return 1 + i, nil
			}
		}
	}
	return 0, nil
}

// Update rewrites the lists so that they declare what is there, and returns
// their names.
func (f Files) Update() ([]string, error) {
	var names []string
	for _, l := range f.changed {
		if err := renameio.WriteFile(filepath.Join(f.root, filepath.FromSlash(l.Name)), []byte(l.Text()), 0o644); err != nil {
			return names, fmt.Errorf("flist: write %s: %w", l.Name, err)
		}
		names = append(names, l.Name)
	}
	slices.Sort(names)
	return names, nil
}
