package build

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

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
	order, err := p.inOrder()
	if err != nil || len(order) == 0 {
		return nil, err
	}
	tools, err := cross.ToolID(ctx, p.b)
	if err != nil {
		return nil, err
	}
	d := daemonBuild{p: p, kernel: kernel, tools: tools, made: map[string]cache.Product{}}
	for _, recipe := range order {
		if d.made[recipe.Name], err = d.step(ctx, recipe); err != nil {
			return nil, err
		}
	}
	var list []cache.Product
	for _, name := range p.b.Daemons {
		list = append(list, d.made[name])
	}
	return list, nil
}

// inOrder lists the recipes of the board's programs in C and those that they
// need, each after what it needs.
func (p *plan) inOrder() ([]release.Recipe, error) {
	var order []release.Recipe
	done := map[string]bool{cross.Linux: true} // its headers come from the kernel
	var visit func(name string, chain []string) error
	visit = func(name string, chain []string) error {
		if done[name] {
			return nil
		}
		if slices.Contains(chain, name) {
			return fmt.Errorf("recipe %s: it needs itself: %s", name, strings.Join(append(chain, name), " needs "))
		}
		recipe, err := p.recipe(name)
		if err != nil {
			return err
		}
		if len(recipe.Build.Steps) == 0 {
			return fmt.Errorf("recipe %s: it has no [build] steps, so it is no program for a box", name)
		}
		for _, n := range recipe.Build.Needs {
			if err := visit(n, append(slices.Clone(chain), name)); err != nil {
				return err
			}
		}
		done[name] = true
		order = append(order, recipe)
		return nil
	}
	for _, name := range p.b.Daemons {
		if err := visit(name, nil); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// daemonBuild builds recipes in C, in order.
type daemonBuild struct {
	p      *plan
	kernel cache.Product
	tools  string
	made   map[string]cache.Product
}

func (d *daemonBuild) step(ctx context.Context, recipe release.Recipe) (cache.Product, error) {
	p := d.p
	src, quilt, err := p.sourceAndQuilt(ctx, recipe)
	if err != nil {
		return cache.Product{}, err
	}
	patches, err := p.patchesOf(ctx, recipe, quilt)
	if err != nil {
		return cache.Product{}, err
	}
	inputs, err := d.inputs(recipe, src, patches)
	if err != nil {
		return cache.Product{}, err
	}
	return p.run(ctx, cache.Step{Name: recipe.Name, Version: crossVersion, Inputs: inputs, Build: func(ctx context.Context, w cache.Work) error {
		if err := os.RemoveAll(filepath.Join(w.Scratch, "source")); err != nil { // it is built in: begin anew
			return err
		}
		tree, err := p.patchedTree(ctx, src, patches, w)
		if err != nil {
			return err
		}
		needs, err := d.needs(ctx, recipe, w)
		if err != nil {
			return err
		}
		p.o.Report.Start(recipe.Name, "configure and compile "+src.Version)
		jobs := p.o.Jobs
		if jobs == 0 {
			jobs = runtime.NumCPU()
		}
		return cross.Build(ctx, p.b, cross.Source{Recipe: recipe, Tree: tree, Needs: needs}, cross.Options{
			Out: w.Out, Scratch: w.Scratch, Log: w.Log, Epoch: p.release.Epoch, Jobs: jobs,
			CCache: p.ccache(), Farm: p.o.Farm,
		})
	}}, src.Version)
}

// inputs are what a recipe's product depends on.
func (d *daemonBuild) inputs(recipe release.Recipe, src source.Fetched, patches []release.Patch) ([]cache.Input, error) {
	p := d.p
	inputs := []cache.Input{
		{Name: "source " + src.Name, Hash: src.SHA256},
		text("steps", fmt.Sprintf("%q %q", recipe.Build.Steps, recipe.Build.Programs)),
		text("tools", d.tools), text("CPU", fmt.Sprintf("%v %q %q", p.b.Arch, p.b.CPU.CFlags, p.b.CPU.Lacks)), text("epoch", p.release.Epoch.String()),
	}
	var order []string
	for _, patch := range patches {
		name := path.Join(patch.Part, patch.Name)
		in, err := p.use("patch", recipe.Name+" "+name, patch.Path)
		if err != nil {
			return nil, err
		}
		inputs, order = append(inputs, in), append(order, name)
	}
	inputs = append(inputs, inOrder(order))
	for _, name := range recipe.Build.Needs {
		if name != cross.Linux {
			inputs = append(inputs, d.made[name].Input())
			continue
		}
		hash, err := d.kernel.FileHash(headersName)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, cache.Input{Name: "kernel headers", Hash: hash})
	}
	return inputs, nil
}

// needs are the folders with what a recipe is compiled with.
func (d *daemonBuild) needs(ctx context.Context, recipe release.Recipe, w cache.Work) (map[string]string, error) {
	folders := map[string]string{}
	for _, name := range recipe.Build.Needs {
		if name != cross.Linux {
			folders[name] = d.made[name].Dir
			continue
		}
		dir, err := d.unpackHeaders(ctx, w)
		if err != nil {
			return nil, err
		}
		folders[name] = dir
	}
	return folders, nil
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
