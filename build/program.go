package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"tench/build/cache"
	"tench/build/source"
	"tench/release"
)

// quiltVersion rises when package source takes other patches of the same file.
const quiltVersion = 1

// sourceAndQuilt fetches a program's source, and the file of its [quilt] where
// the recipe has one. Where one of the two was followed, the other is taken from
// the same version of the Debian package: patches go with what they are for.
func (p *plan) sourceAndQuilt(ctx context.Context, r release.Recipe) (src, quilt source.Fetched, err error) {
	part := r.Quilt.Part
	if src, err = p.fetch(ctx, r, "source", ""); err != nil {
		return src, quilt, err
	}
	if part != "" {
		if quilt, err = p.fetch(ctx, r, part, ""); err != nil {
			return src, quilt, err
		}
		switch {
		case src.Development:
		case quilt.Followed && quilt.Version != src.Version:
			src, err = p.fetch(ctx, r, "source", quilt.Debian)
		case src.Followed && !quilt.Followed:
			quilt, err = p.fetch(ctx, r, part, src.Debian)
		}
		if err != nil {
			return src, quilt, err
		}
		if quilt.Version != src.Version && !src.Development {
			return src, quilt, fmt.Errorf("recipe %s: %s is for version %s, the source is %s\nhint: pin both of one version in %s",
				r.Name, quilt.Name, quilt.Version, src.Version, filepath.Join(r.Dir, release.RecipeFile))
		}
	}
	p.note(r, "source", src)
	if part != "" {
		p.note(r, part, quilt)
	}
	return src, quilt, nil
}

// patchesOf are the patches for a program's source in the order in which they
// are applied: the recipe's own, and those of its quilt.
func (p *plan) patchesOf(ctx context.Context, r release.Recipe, quilt source.Fetched) ([]release.Patch, error) {
	if r.Quilt.Part == "" {
		return r.Patches, nil
	}
	step := cache.Step{Name: r.Name + "-" + r.Quilt.Part, Version: quiltVersion, Inputs: []cache.Input{
		{Name: "source " + quilt.Name, Hash: quilt.SHA256},
		text("patches that are taken", fmt.Sprintf("%q %q %v", r.Quilt.SHA256, r.Quilt.Skip, quilt.Followed)),
	}}
	step.Build = func(ctx context.Context, w cache.Work) error {
		tree := filepath.Join(w.Scratch, "tree")
		if err := os.RemoveAll(tree); err != nil { // of a run that did not end
			return err
		}
		if err := source.Unpack(ctx, quilt, tree, source.Options{Log: w.Log}); err != nil {
			return err
		}
		taken, err := source.Quilt(r, quilt, tree)
		if err != nil {
			return err
		}
		return source.KeepPatches(taken, w.Out)
	}
	product, err := p.run(ctx, step, "patches of "+quilt.Name)
	if err != nil {
		return nil, err
	}
	taken, err := source.Kept(product.Dir, r.Quilt.Part)
	if err != nil {
		return nil, err
	}
	patches := slices.Concat(taken, r.Patches)
	if r.Quilt.After {
		patches = slices.Concat(r.Patches, taken)
	}
	p.notePatches(r, patches)
	return patches, nil
}
