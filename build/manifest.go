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

	"tench/build/cache"
	"tench/build/disk"
	"tench/release"
)

// Products beside the image.
const (
	manifestName = "manifest.json"
	sumsName     = "SHA256"
)

// disk assembles the image and writes what belongs to it. The image is no
// product of the cache: it is large, cheap to make, and what the user came for.
func (p *plan) disk(ctx context.Context, uboot, grub, slot, data cache.Product) (release.Manifest, error) {
	const step = "disk"
	if err := ctx.Err(); err != nil {
		return release.Manifest{}, err
	}
	code, err := p.code("build/disk")
	if err != nil {
		return release.Manifest{}, err
	}
	record := cache.Record{Step: step, When: p.began.UTC(), Inputs: []cache.Input{
		code, grub.Input(), slot.Input(), data.Input(), p.identity(),
		text("layout", fmt.Sprint(p.b.Layout)), text("console", fmt.Sprint(p.b.Console)),
	}}
	if uboot.Key != "" {
		record.Inputs = append(record.Inputs, uboot.Input(), text("u-boot", fmt.Sprint(p.b.UBoot)))
	}
	record.Key = cache.Step{Name: step, Inputs: record.Inputs}.Key()
	began := time.Now()
	unlock, err := p.lockOut(ctx)
	if err != nil {
		return release.Manifest{}, err
	}
	defer unlock()
	m, err := p.assembled(record.Key)
	record.Hit = err == nil
	if err != nil {
		p.o.Report.Start(step, "image")
		m, err = p.assemble(uboot, grub, slot, data)
	}
	record.Took = time.Since(began)
	report := StepReport{Step: step, Outcome: outcome(record.Hit, Built), Took: record.Took, Detail: "image"}
	if err != nil {
		report.Outcome = Failed
		p.o.Report.Done(report)
		return release.Manifest{}, err
	}
	p.history = append(p.history, record)
	report.Size = m.Products[0].Size
	p.o.Report.Done(report)
	m.Inputs, m.Steps = p.allInputs(), append(p.ran, release.Ran{Name: step, Key: record.Key, Hit: record.Hit})
	return m, m.Write(filepath.Join(p.o.Out, manifestName))
}

// allInputs is every input of every step: the files with their sizes and where
// they are from, then whatever else went into a key (tools, settings, code).
// Products of earlier steps are no inputs of the build.
func (p *plan) allInputs() []release.Used {
	all := slices.Clone(p.inputs)
	listed := map[string]bool{}
	for _, u := range all {
		listed[u.SHA256] = true
	}
	for _, r := range p.history {
		for _, in := range r.Inputs {
			own := strings.HasPrefix(in.Name, "product of step ") || strings.HasPrefix(in.Name, "version of step ")
			if own || listed[in.Hash] {
				continue
			}
			listed[in.Hash] = true
			all = append(all, release.Used{Name: in.Name, Kind: "step " + r.Step, SHA256: in.Hash})
		}
	}
	return all
}

// assembled returns the manifest of the last build when its image is the one
// that key stands for, and is still whole.
func (p *plan) assembled(key string) (release.Manifest, error) {
	m, err := release.ReadManifest(filepath.Join(p.o.Out, manifestName))
	if err != nil {
		return release.Manifest{}, err
	}
	if len(m.Steps) == 0 || m.Steps[len(m.Steps)-1].Key != key {
		return release.Manifest{}, errors.New("the image was made of other parts")
	}
	if _, err := os.Stat(filepath.Join(p.o.Out, sumsName)); err != nil {
		return release.Manifest{}, err
	}
	for _, product := range m.Products {
		hash, err := cache.HashFile(filepath.Join(p.o.Out, product.File))
		if err != nil {
			return release.Manifest{}, err
		}
		if hash != product.SHA256 {
			return release.Manifest{}, fmt.Errorf("%s was changed", product.File)
		}
	}
	return m, nil
}

// lockOut makes the folder of the products and locks it: of two builds of one
// board, one must not put its checksums beside the image of the other.
func (p *plan) lockOut(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(p.o.Out, 0o755); err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	return cache.LockFolder(ctx, p.o.Out, func() { p.o.Report.Progress(0, 0, cache.Waiting) })
}

// newDir is the folder below Options.Out that products are made in. What an
// interrupted build left there is removed by the next.
const newDir = ".new"

func (p *plan) assemble(uboot, grub, slot, data cache.Product) (release.Manifest, error) {
	tmp := filepath.Join(p.o.Out, newDir)
	defer os.RemoveAll(tmp)
	if err := errors.Join(os.RemoveAll(tmp), os.Mkdir(tmp, 0o755)); err != nil {
		return release.Manifest{}, fmt.Errorf("disk: %w", err)
	}
	name := release.ImageName(p.b.Name)
	parts := disk.Parts{Slot: slot.Path(slotName), Data: data.Path(dataName), GRUB: disk.GRUBIn(p.b, grub.Dir)}
	if uboot.Key != "" {
		parts.UBoot = uboot.Path(ubootName)
	}
	img, err := disk.Assemble(p.b, parts, p.id, filepath.Join(tmp, name))
	if err != nil {
		return release.Manifest{}, err
	}
	hash, err := cache.HashFile(img.Path)
	if err != nil {
		return release.Manifest{}, err
	}
	m := release.Manifest{
		Board: p.b.Name, Release: p.release.Name, Epoch: p.release.Epoch.Unix(),
		Products: []release.Product{{File: name, Size: img.Size, SHA256: hash}},
	}
	if err := release.WriteSums(filepath.Join(tmp, sumsName), m.Products); err != nil {
		return release.Manifest{}, err
	}
	return m, p.replace(tmp, name, sumsName)
}

// replace moves new products from tmp to their place. What tells of the old ones
// goes first: whoever is stopped in between leaves an image without checksums,
// never one with those of another.
func (p *plan) replace(tmp string, names ...string) error {
	for _, old := range []string{manifestName, sumsName} {
		if err := os.Remove(filepath.Join(p.o.Out, old)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("disk: %w", err)
		}
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(tmp, name), filepath.Join(p.o.Out, name)); err != nil {
			return fmt.Errorf("disk: %w", err)
		}
	}
	return nil
}
