package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"tench/boards"
	"tench/build/cache"
	"tench/build/disk"
	"tench/build/source"
	"tench/release"
	"tench/release/sbom"
)

// plan is one build under way.
type plan struct {
	b       boards.Board
	o       Options
	release release.Release
	id      disk.Identity
	store   *cache.Store
	dl      *source.Store
	began   time.Time
	inputs  []release.Used
	bom     []sbom.Source // what the image is made of, as far as it is known
	ran     []release.Ran
	history []cache.Record
}

// StepError is a step that failed: it has the step's log and its last lines.
type StepError = cache.StepError

func newPlan(b boards.Board, o Options) (*plan, error) {
	if err := errors.Join(checkFolder(o.products()), o.Farm.Check(o.Strict)); err != nil {
		return nil, err
	}
	r, err := release.LoadRelease(filepath.Join(o.Root, "release"), o.Release)
	if err != nil {
		return nil, err
	}
	store, err := cache.Open(o.products())
	if err != nil {
		return nil, err
	}
	dl, err := source.Open(o.Cache)
	if err != nil {
		return nil, err
	}
	return &plan{
		b: b, o: o, release: r, store: store, dl: dl, began: time.Now(),
		id: disk.Identity{Seed: r.Name + "/" + b.Name, Epoch: r.Epoch, Release: r.Name},
	}, nil
}

// products is the folder for what steps make and compilers keep.
func (o Options) products() string { return cmp.Or(o.Anew, o.Cache) }

// goCache is the folder of Go's build cache: the user's own, or a fresh one in
// a build that shall believe nothing that was compiled before.
func (o Options) goCache() string {
	if o.Anew == "" {
		return ""
	}
	return filepath.Join(o.Anew, "go-build")
}

// checkFolder refuses a cache in which make would not work: it takes spaces and
// colons for ends of names, and has no way to write most signs of the shell.
func checkFolder(dir string) error {
	special := func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(":;$#%&|*?!()[]<>{}'`\"\\", r) }
	for _, r := range dir {
		if special(r) {
			return fmt.Errorf("cache: %s: make takes no folder with %q in its name\nhint: set TENCH_CACHE to one with a plainer name", dir, r)
		}
	}
	return nil
}

// recipe is a recipe of the release, with its folder under development.
func (p *plan) recipe(name string) (release.Recipe, error) {
	r, err := p.release.Recipe(name)
	if dir, ok := p.o.Sources[name]; ok && err == nil {
		return r.Develop(dir)
	}
	return r, err
}

// run runs a cached step and reports it. detail is what to show beside it.
func (p *plan) run(ctx context.Context, step cache.Step, detail string) (cache.Product, error) {
	work := step.Build
	step.Build = func(ctx context.Context, w cache.Work) error {
		p.o.Report.Start(step.Name, detail)
		return work(ctx, w)
	}
	began := time.Now()
	product, err := p.store.Run(ctx, step, p.o.Report.Progress)
	if err != nil {
		p.o.Report.Done(StepReport{Step: step.Name, Outcome: failure(ctx), Took: time.Since(began), Detail: detail})
		return cache.Product{}, err
	}
	p.o.Report.Done(StepReport{Step: step.Name, Outcome: outcome(product.Hit, Built), Took: product.Took, Size: product.Size, Detail: detail})
	p.ran = append(p.ran, release.Ran{Name: product.Step, Key: product.Key, Hit: product.Hit})
	p.history = append(p.history, product.Record(p.began))
	return product, nil
}

// failure is how a step ends that has an error.
func failure(ctx context.Context) Outcome {
	if ctx.Err() != nil {
		return Stopped
	}
	return Failed
}

// outcome is Hit, or what else the work was.
func outcome(hit bool, work Outcome) Outcome {
	if hit {
		return Hit
	}
	return work
}

// saveHistory remembers what ran and why, for tench explain, and lets go of
// products that nobody used for long. Neither may fail a build.
func (p *plan) saveHistory() {
	if err := p.store.SaveHistory(historyName(p.release, p.b), p.history); err != nil {
		p.o.Report.Warn(err.Error())
	}
	if err := p.store.Prune(); err != nil {
		p.o.Report.Warn(err.Error())
	}
}

// historyName is what the history of a board's builds is kept under; each
// release has its own.
func historyName(r release.Release, b boards.Board) string {
	if r.Default {
		return b.Name
	}
	return r.Name + "/" + b.Name
}

// source fetches one part of a recipe, and notes it as an input of the build.
func (p *plan) source(ctx context.Context, name, part string) (source.Fetched, error) {
	r, err := p.recipe(name)
	if err != nil {
		return source.Fetched{}, err
	}
	f, err := p.fetch(ctx, r, part, "")
	if err == nil {
		p.note(r, part, f)
	}
	return f, err
}

// fetch fetches one part of a recipe; follow is the version of its Debian
// package that it has to be, "" for the pinned one. It is no cached step: the
// content store verifies the file each time.
func (p *plan) fetch(ctx context.Context, r release.Recipe, part, follow string) (source.Fetched, error) {
	const step = "source"
	detail := r.Name
	if part != "source" {
		detail += " " + part
	}
	log, err := p.logFile("source-" + r.Name + "-" + part)
	if err != nil {
		return source.Fetched{}, err
	}
	defer log.Close()
	began, fetching := time.Now(), false
	f, err := p.dl.Fetch(ctx, r, part, source.Options{
		Offline: p.o.Offline, Strict: p.o.Strict, Mirrors: p.o.Mirrors, Follow: follow, Log: log,
		Progress: func(done, total int64, unit string) {
			if !fetching {
				fetching = true
				p.o.Report.Start(step, detail)
			}
			p.o.Report.Progress(done, total, unit)
		},
	})
	if err != nil {
		p.o.Report.Done(StepReport{Step: step, Outcome: failure(ctx), Took: time.Since(began), Detail: detail})
		return source.Fetched{}, &StepError{Step: step, Log: log.Name(), Tail: cache.Tail(log.Name()), Err: err}
	}
	p.o.Report.Done(StepReport{Step: step, Outcome: outcome(!fetching, Fetched), Took: time.Since(began), Size: f.Size, Detail: detail + " " + f.Version})
	return f, nil
}

// note puts what was fetched into the manifest and the bill of materials, and
// warns of what is not the pinned file.
func (p *plan) note(r release.Recipe, part string, f source.Fetched) {
	if f.Followed {
		p.o.Report.Warn(fmt.Sprintf("%s: no location has the pinned %s any more; the archive's %s stands in, verified by the archive's signature",
			r.Name, r.Version, f.Name))
	}
	if f.Development {
		p.o.Report.Warn(fmt.Sprintf("%s: built from the folder %s as it is now: nobody can build this again", r.Name, f.Path))
	}
	p.inputs = append(p.inputs, release.Used{Name: r.Name + " " + part, Kind: "source", Version: f.Version,
		SHA256: f.SHA256, Size: f.Size, From: f.From, SignedBy: f.SignedBy, Followed: f.Followed, Development: f.Development})
	p.noteSource(r, part, f)
}

// sources fetches several parts of a recipe, by part.
func (p *plan) sources(ctx context.Context, name string, parts ...string) (map[string]source.Fetched, error) {
	files := map[string]source.Fetched{}
	for _, part := range parts {
		f, err := p.source(ctx, name, part)
		if err != nil {
			return nil, err
		}
		files[part] = f
	}
	return files, nil
}

// grubTools is the part of the grub recipe that runs on this machine.
const grubTools = "tools"

// grubParts are the parts of the grub recipe that the board's images need.
func (p *plan) grubParts() []string {
	parts := []string{grubTools}
	for _, fw := range p.b.Firmware {
		if fw == "bios" {
			parts = append(parts, "bios")
		} else {
			parts = append(parts, p.efiPart())
		}
	}
	return parts
}

// efiPart is GRUB for UEFI; U-Boot starts it too.
func (p *plan) efiPart() string { return "efi-" + p.b.Arch.Debian }

// part is a part of a recipe.
type part struct {
	recipe release.Recipe
	name   string // e.g. "source"
}

// needed lists what the board's image is made of, in the alphabet's order.
func (p *plan) needed() ([]part, error) {
	names := map[string][]string{"linux": {"source"}, "grub": p.grubParts()}
	if p.b.UBoot.Recipe != "" {
		names[p.b.UBoot.Recipe] = []string{ubootPart}
	}
	programs, err := p.inOrder()
	if err != nil {
		return nil, err
	}
	for _, r := range programs {
		names[r.Name] = []string{"source"}
		if r.Quilt.Part != "" {
			names[r.Name] = append(names[r.Name], r.Quilt.Part)
		}
	}
	var needed []part
	for _, name := range slices.Sorted(maps.Keys(names)) {
		r, err := p.recipe(name)
		if err != nil {
			return nil, err
		}
		for _, n := range names[name] {
			if len(r.Part(n)) == 0 {
				return nil, fmt.Errorf("recipe %s: it has no part %q, which board %s needs\nhint: add a [[file]] with it to %s",
					name, n, p.b.Name, filepath.Join(r.Dir, release.RecipeFile))
			}
			needed = append(needed, part{r, n})
		}
	}
	return needed, nil
}

// inDevelopment reports whether a packaging is a folder that nothing pins.
func inDevelopment(f release.File) bool { return f.Dir != "" }

// prepare finds out before an hour of work what would stop it.
func (p *plan) prepare(ctx context.Context) error {
	needed, err := p.needed()
	if err != nil {
		return err
	}
	var lacking error // told together with what the lock says
	if p.o.Offline {
		lacking = source.OfflineError(p.missing(needed))
	}
	if p.o.Strict {
		for _, n := range needed {
			if slices.ContainsFunc(n.recipe.Part(n.name), inDevelopment) { // package source refuses it
				_, err := p.source(ctx, n.recipe.Name, n.name)
				return err
			}
		}
		return errors.Join(lacking, p.checkLock(ctx, needed))
	}
	return lacking
}

// missing lists everything that an offline build lacks, at once: a person who
// fetches it elsewhere wants to go only one time.
func (p *plan) missing(needed []part) []source.Missing {
	var missing []source.Missing
	for _, n := range needed {
		if m, lacks := p.dl.Missing(n.recipe, n.name, source.Options{Mirrors: p.o.Mirrors, Strict: p.o.Strict}); lacks {
			missing = append(missing, m)
		}
	}
	return missing
}

// logFile opens the log of a step that is not cached.
func (p *plan) logFile(name string) (*os.File, error) {
	dir := filepath.Join(p.o.products(), "log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return f, nil
}

// use adds a file of this tree to the manifest's inputs and returns it as an
// input of a step.
func (p *plan) use(kind, name, path string) (cache.Input, error) {
	hash, err := cache.HashFile(path)
	if err != nil {
		return cache.Input{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return cache.Input{}, err
	}
	p.inputs = append(p.inputs, release.Used{Name: name, Kind: kind, SHA256: hash, Size: info.Size()})
	return cache.Input{Name: kind + " " + name, Hash: hash}, nil
}

// inOrder is the order of files of which the later count for more, as an input: a
// key is of inputs sorted by their names.
func inOrder(names []string) cache.Input {
	return text("order", strings.Join(names, "\n"))
}

// text is an input that is not a file.
func text(name, value string) cache.Input {
	return cache.Input{Name: name, Hash: cache.HashBytes([]byte(value))}
}
