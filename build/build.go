// Package build turns a board into a stick image: the pipeline, on one screen.
//
//	build.go     Image: the steps in order
//	plan.go      what a build works with: folders, stores, reports
//	steps.go     each step: its inputs, its work
//	daemons.go   the steps that compile programs in C, by their recipes
//	program.go   what such a program is made of: its source, its patches
//	loaders.go   what boxes load first when they boot over the network
//	flist.go     what is in the root file system is what the lists declare
//	flist        what the build itself puts there
//	config.go    the box's router.toml, checked against the board
//	sbom.go      what the image consists of
//	manifest.go  the files beside the image, manifest.json and SHA256
//	farm.go      the compile farm, where there is one
//	anew.go      where a board is built anew, believing nothing of the cache
//	lock.go      release.lock: what a release is made of, and holding a build to it
//	fetch.go     getting what boards need, and nothing else
//	bundle.go    all of that in one file, for a machine without a network
//	explain.go   tench explain
//	tools.go     what a build needs on this machine
//
// Each step returns what the next one takes. A step whose inputs did not change
// is not run again (see build/cache).
package build

import (
	"context"
	"time"

	"tench/boards"
	"tench/build/cache"
	"tench/release"
)

// Options say what to build and where things are.
type Options struct {
	Root    string            // the checkout
	Release string            // name of the release to build; "" for the default one
	Cache   string            // downloads and products of steps
	Anew    string            // folder for the products of steps and all compiler caches, instead of Cache; "" for Cache
	Out     string            // folder for the image, its manifest and checksums
	Config  string            // the box's router.toml; "" for the board's own
	Offline bool              // never use the network
	Strict  bool              // hold the build to release.lock, and sources to their pinned versions
	Mirrors []string          // folders with copies of sources
	Sources map[string]string // recipe -> folder under development in place of its source
	Jobs    int               // compilers at once; 0 for one per processor, here and on the farm
	Farm    Farm
	Report  Reporter
}

// Reporter shows a build to a person.
type Reporter interface {
	// Start says that a step begins to work; one that is a hit only gets Done.
	Start(step, detail string)
	// Progress tells how far the step is that was started last, in "B" or in
	// things of the named unit; total is 0 where it is not known.
	Progress(done, total int64, unit string)
	// Done says how a step ended.
	Done(StepReport)
	// Warn tells something that the operator should not miss.
	Warn(text string)
}

// Outcome says how a step ended.
type Outcome string

// The outcomes.
const (
	Hit     Outcome = "hit" // its product was in the cache
	Built   Outcome = "built"
	Fetched Outcome = "fetched"
	Asked   Outcome = "asked" // its locations, for newer versions
	Failed  Outcome = "FAILED"
	Stopped Outcome = "stopped" // by ctrl-C; the next run goes on
)

// StepReport is a finished step.
type StepReport struct {
	Step    string
	Outcome Outcome
	Took    time.Duration
	Size    int64 // bytes of the product
	Detail  string
}

// Image builds the board's image and returns the manifest of the build.
func Image(ctx context.Context, b boards.Board, o Options) (release.Manifest, error) {
	p, err := newPlan(b, o)
	if err != nil {
		return release.Manifest{}, err
	}
	defer p.saveHistory()
	router, err := p.routerConfig() // a mistake there is told before an hour of work
	if err != nil {
		return release.Manifest{}, err
	}
	if err := p.makeOut(); err != nil {
		return release.Manifest{}, err
	}
	if err := p.prepare(ctx); err != nil {
		return release.Manifest{}, err
	}
	linux, err := p.source(ctx, "linux", "source")
	if err != nil {
		return release.Manifest{}, err
	}
	loader, err := p.sources(ctx, "grub", p.grubParts()...)
	if err != nil {
		return release.Manifest{}, err
	}
	uboot, err := p.uboot(ctx)
	if err != nil {
		return release.Manifest{}, err
	}
	kernel, err := p.kernel(ctx, linux)
	if err != nil {
		return release.Manifest{}, err
	}
	initrd, err := p.root(ctx, kernel)
	if err != nil {
		return release.Manifest{}, err
	}
	if _, err := p.flist(ctx, initrd); err != nil {
		return release.Manifest{}, err
	}
	slot, err := p.slot(ctx, kernel, initrd)
	if err != nil {
		return release.Manifest{}, err
	}
	grub, err := p.grub(ctx, loader)
	if err != nil {
		return release.Manifest{}, err
	}
	data, err := p.data(ctx, router)
	if err != nil {
		return release.Manifest{}, err
	}
	return p.disk(ctx, parts{kernel: kernel, initrd: initrd, uboot: uboot, grub: grub, slot: slot, data: data})
}

// root builds the programs of the box and packs the root file system.
func (p *plan) root(ctx context.Context, kernel cache.Product) (cache.Product, error) {
	commands, err := p.commands(ctx)
	if err != nil {
		return cache.Product{}, err
	}
	tenchd, err := p.tenchd(ctx)
	if err != nil {
		return cache.Product{}, err
	}
	daemons, err := p.daemons(ctx, kernel)
	if err != nil {
		return cache.Product{}, err
	}
	bom, err := p.sbom(commands, tenchd)
	if err != nil {
		return cache.Product{}, err
	}
	return p.initrd(ctx, programs{commands: commands, tenchd: tenchd, daemons: daemons, bom: bom})
}
