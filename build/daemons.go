package build

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"tench/build/cache"
	"tench/build/cross"
	"tench/build/kernel"
	"tench/build/source"
	"tench/release"
)

// crossVersion rises when package cross makes something else of the same inputs.
const crossVersion = 1

// headersName is the product of the kernel step that programs are compiled with.
const headersName = "headers.tar"

// daemons builds the board's programs in C, and returns a product for each.
func (p *plan) daemons(ctx context.Context, kernel cache.Product) ([]cache.Product, error) {
	if len(p.b.Daemons) == 0 {
		return nil, nil
	}
	tools, err := cross.ToolID(ctx, p.b)
	if err != nil {
		return nil, err
	}
	d := daemonBuild{p: p, kernel: kernel, tools: tools, made: map[string]cache.Product{}}
	var list []cache.Product
	for _, name := range p.b.Daemons {
		product, err := d.build(ctx, name, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, product)
	}
	return list, nil
}

// daemonBuild builds recipes in C, each after those that it needs.
type daemonBuild struct {
	p      *plan
	kernel cache.Product
	tools  string
	made   map[string]cache.Product
}

// build builds a recipe; chain is who needs it.
func (d *daemonBuild) build(ctx context.Context, name string, chain []string) (cache.Product, error) {
	if made, ok := d.made[name]; ok {
		return made, nil
	}
	if slices.Contains(chain, name) {
		return cache.Product{}, fmt.Errorf("recipe %s: it needs itself: %v", name, append(chain, name))
	}
	recipe, err := d.p.recipe(name)
	if err != nil {
		return cache.Product{}, err
	}
	if len(recipe.Build.Steps) == 0 {
		return cache.Product{}, fmt.Errorf("recipe %s: it has no [build] steps, so it is no program of the box", name)
	}
	needs := map[string]cache.Product{}
	for _, n := range recipe.Build.Needs {
		if n == cross.Linux {
			continue
		}
		if needs[n], err = d.build(ctx, n, append(chain, name)); err != nil {
			return cache.Product{}, err
		}
	}
	product, err := d.step(ctx, recipe, needs)
	if err == nil {
		d.made[name] = product
	}
	return product, err
}

func (d *daemonBuild) step(ctx context.Context, recipe release.Recipe, needs map[string]cache.Product) (cache.Product, error) {
	p := d.p
	src, err := p.source(ctx, recipe.Name, "source")
	if err != nil {
		return cache.Product{}, err
	}
	inputs := []cache.Input{
		{Name: "source " + src.Name, Hash: src.SHA256},
		text("steps", fmt.Sprintf("%q %q", recipe.Build.Steps, recipe.Build.Programs)),
		text("tools", d.tools), text("CPU", fmt.Sprintf("%v %v", p.b.Arch, p.b.CPU)), text("epoch", p.release.Epoch.String()),
	}
	for _, patch := range recipe.Patches {
		in, err := p.use("patch", recipe.Name+" "+patch.Name, patch.Path)
		if err != nil {
			return cache.Product{}, err
		}
		inputs = append(inputs, in)
	}
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		inputs = append(inputs, needs[name].Input())
	}
	headers := slices.Contains(recipe.Build.Needs, cross.Linux)
	if headers {
		hash, err := d.kernel.FileHash(headersName)
		if err != nil {
			return cache.Product{}, err
		}
		inputs = append(inputs, cache.Input{Name: "kernel headers", Hash: hash})
	}
	return p.run(ctx, cache.Step{Name: recipe.Name, Version: crossVersion, Inputs: inputs, Build: func(ctx context.Context, w cache.Work) error {
		if err := os.RemoveAll(filepath.Join(w.Scratch, "source")); err != nil { // it is built in: begin anew
			return err
		}
		tree, err := p.patchedTree(ctx, src, recipe.Patches, w)
		if err != nil {
			return err
		}
		folders := map[string]string{}
		for name, product := range needs {
			folders[name] = product.Dir
		}
		if headers {
			if folders[cross.Linux], err = d.unpackHeaders(ctx, w); err != nil {
				return err
			}
		}
		p.o.Report.Start(recipe.Name, "configure and compile "+src.Version)
		jobs := p.o.Jobs
		if jobs == 0 {
			jobs = runtime.NumCPU()
		}
		return cross.Build(ctx, p.b, cross.Source{Recipe: recipe, Tree: tree, Needs: folders}, cross.Options{
			Out: w.Out, Scratch: w.Scratch, Log: w.Log, Epoch: p.release.Epoch, Jobs: jobs,
		})
	}}, src.Version)
}

// unpackHeaders lays the kernel's headers out below the step's scratch.
func (d *daemonBuild) unpackHeaders(ctx context.Context, w cache.Work) (string, error) {
	dir := filepath.Join(w.Scratch, "headers")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	archive := source.Fetched{Name: headersName, Path: d.kernel.Path(headersName)}
	return dir, source.Unpack(ctx, archive, filepath.Join(dir, "include"), source.Options{Log: w.Log})
}

// daemonSymbols are the kernel symbols that the board's programs call for.
func (p *plan) daemonSymbols() ([]kernel.Symbol, error) {
	var list []kernel.Symbol
	for _, name := range p.b.Daemons {
		recipe, err := p.recipe(name)
		if err != nil {
			return nil, err
		}
		for _, symbol := range recipe.Build.RequiresKernel {
			list = append(list, kernel.Symbol{Name: symbol, Value: "y", File: "build.requires-kernel of the recipe " + name})
		}
	}
	return list, nil
}
