package build

import (
	"context"
	"os"
	"path/filepath"

	"tench/boards"
	"tench/build/cache"
	"tench/build/loaders"
	"tench/build/source"
	"tench/release/netboot"
)

// Loaders returns what boxes of any kind load first when they boot over the
// network, by the names that they ask for. They are of the release that o names;
// of the rest of o only where things are counts.
func Loaders(ctx context.Context, o Options) (map[string][]byte, error) {
	p, err := newPlan(boards.Board{}, o)
	if err != nil {
		return nil, err
	}
	needed, err := p.loaderParts()
	if err != nil {
		return nil, err
	}
	if o.Offline {
		if err := source.OfflineError(p.missing(needed)); err != nil {
			return nil, err
		}
	}
	product, err := p.loaders(ctx, needed)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, f := range product.Files {
		if files[f.Name], err = os.ReadFile(product.Path(f.Name)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (p *plan) loaderParts() ([]part, error) {
	var list []part
	for _, l := range loaders.Parts() {
		r, err := p.recipe(l.Recipe)
		if err != nil {
			return nil, err
		}
		list = append(list, part{r, l.Name})
	}
	return list, nil
}

// namedLoaderParts are those that the release has: one that names no recipe for a
// loader boots no box over the network.
func (p *plan) namedLoaderParts() []part {
	var list []part
	for _, l := range loaders.Parts() {
		if r, err := p.recipe(l.Recipe); err == nil && len(r.Part(l.Name)) > 0 {
			list = append(list, part{r, l.Name})
		}
	}
	return list
}

// loaders puts them together.
func (p *plan) loaders(ctx context.Context, needed []part) (cache.Product, error) {
	code, err := p.code("build/loaders")
	if err != nil {
		return cache.Product{}, err
	}
	inputs := []cache.Input{code, text("line of GRUB", netboot.GRUBLine)}
	sources := map[loaders.Part]source.Fetched{}
	for _, n := range needed {
		f, err := p.source(ctx, n.recipe.Name, n.name)
		if err != nil {
			return cache.Product{}, err
		}
		sources[loaders.Part{Recipe: n.recipe.Name, Name: n.name}] = f
		inputs = append(inputs, cache.Input{Name: "source " + n.recipe.Name + " " + n.name, Hash: f.SHA256})
	}
	return p.run(ctx, cache.Step{Name: "loaders", Inputs: inputs, Build: func(ctx context.Context, w cache.Work) error {
		trees := map[loaders.Part]string{}
		for part, f := range sources {
			trees[part] = filepath.Join(w.Scratch, part.Recipe, part.Name)
			if err := os.RemoveAll(trees[part]); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(trees[part]), 0o755); err != nil {
				return err
			}
			if err := source.Unpack(ctx, f, trees[part], source.Options{Log: w.Log}); err != nil {
				return err
			}
		}
		return loaders.Build(ctx, trees, w.Out, w.Log)
	}}, "GRUB, iPXE, PXELINUX")
}
