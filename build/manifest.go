package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"tench/build/cache"
	"tench/build/disk"
	"tench/release"
	"tench/release/sbom"
	"tench/release/slotimage"
)

// parts are the products that the image and the files beside it are made of.
type parts struct {
	kernel, initrd          cache.Product
	uboot, grub, slot, data cache.Product
}

// disk assembles the image and writes what belongs to it. The image is no
// product of the cache: it is large, cheap to make, and what the user came for.
func (p *plan) disk(ctx context.Context, made parts) (release.Manifest, error) {
	const step = "disk"
	if err := ctx.Err(); err != nil {
		return release.Manifest{}, err
	}
	code, err := p.code("build/disk")
	if err != nil {
		return release.Manifest{}, err
	}
	record := cache.Record{Step: step, When: p.began.UTC(), Inputs: []cache.Input{
		code, made.kernel.Input(), made.initrd.Input(), made.grub.Input(), made.slot.Input(), made.data.Input(), p.identity(),
		text("layout", fmt.Sprint(p.b.Layout)), text("console", fmt.Sprint(p.b.Console)),
	}}
	if made.uboot.Key != "" {
		record.Inputs = append(record.Inputs, made.uboot.Input(), text("u-boot", fmt.Sprint(p.b.UBoot)))
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
		m, err = p.assemble(made)
	}
	record.Took = time.Since(began)
	report := StepReport{Step: step, Outcome: outcome(record.Hit, Built), Took: record.Took, Detail: "image"}
	if err != nil {
		report.Outcome = Failed
		p.o.Report.Done(report)
		return release.Manifest{}, err
	}
	p.history = append(p.history, record)
	report.Size = m.Product(release.ImageName(p.b.Name)).Size
	p.o.Report.Done(report)
	m.Inputs, m.Steps = p.allInputs(), append(p.ran, release.Ran{Name: step, Key: record.Key, Hit: record.Hit})
	return m, m.Write(filepath.Join(p.o.Out, release.ManifestFile))
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
	m, err := release.ReadManifest(filepath.Join(p.o.Out, release.ManifestFile))
	if err != nil {
		return release.Manifest{}, err
	}
	if len(m.Steps) == 0 || m.Steps[len(m.Steps)-1].Key != key {
		return release.Manifest{}, errors.New("the image was made of other parts")
	}
	if _, err := os.Stat(filepath.Join(p.o.Out, release.SumsFile)); err != nil {
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
	if err := p.makeOut(); err != nil {
		return nil, err
	}
	return cache.LockFolder(ctx, p.o.Out, func() { p.o.Report.Progress(0, 0, cache.Waiting) })
}

// makeOut makes the folder of the products. One that cannot be written to is told
// before an hour of work, too: a checkout may be read-only.
func (p *plan) makeOut() error {
	err := os.MkdirAll(p.o.Out, 0o755)
	if err == nil {
		err = unix.Access(p.o.Out, unix.W_OK)
	}
	if err != nil {
		return fmt.Errorf("disk: write to %s: %w\nhint: the image goes there; take a checkout that you may write to", p.o.Out, err)
	}
	return nil
}

func (p *plan) assemble(made parts) (release.Manifest, error) {
	tmp := filepath.Join(p.o.Out, release.UnfinishedDir)
	defer os.RemoveAll(tmp)
	if err := errors.Join(os.RemoveAll(tmp), os.Mkdir(tmp, 0o755)); err != nil {
		return release.Manifest{}, fmt.Errorf("disk: %w", err)
	}
	name := release.ImageName(p.b.Name)
	content := disk.Parts{Slot: made.slot.Path(slotName), Data: made.data.Path(dataName), GRUB: disk.GRUBIn(p.b, made.grub.Dir)}
	if made.uboot.Key != "" {
		content.UBoot = made.uboot.Path(ubootName)
	}
	img, err := disk.Assemble(p.b, content, p.id, filepath.Join(tmp, name))
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
	beside, err := p.beside(made, tmp)
	if err != nil {
		return release.Manifest{}, err
	}
	m.Products = append(m.Products, beside...)
	if err := release.WriteSums(filepath.Join(tmp, release.SumsFile), m.Products); err != nil {
		return release.Manifest{}, err
	}
	names := []string{}
	for _, product := range m.Products {
		names = append(names, product.File)
	}
	return m, p.replace(tmp, append(names, release.SumsFile)...)
}

// beside writes the files beside the image to dir. They are copies: a link would
// let an editor change the cache.
func (p *plan) beside(made parts, dir string) ([]release.Product, error) {
	compact, err := os.ReadFile(made.initrd.Path(sbomFile))
	if err != nil {
		return nil, fmt.Errorf("sbom: %w", err)
	}
	bom, err := sbom.Indent(compact)
	if err != nil {
		return nil, err
	}
	var list []release.Product
	write := func(name string, data []byte) error {
		list = append(list, release.Product{File: name, Size: int64(len(data)), SHA256: cache.HashBytes(data)})
		return renameio.WriteFile(filepath.Join(dir, name), data, 0o644)
	}
	copied := func(name, from string) error {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return write(name, data)
	}
	err = errors.Join(
		p.slotImage(made.slot.Path(slotName), write),
		copied(release.KernelName(p.b.Name), made.kernel.Path("vmlinuz")),
		copied(release.InitrdName(p.b.Name), made.initrd.Path("initrd")),
		copied(release.ConfigName(p.b.Name), made.kernel.Path("config")),
		copied(release.FilesName(p.b.Name), made.initrd.Path("root.mtree")),
		write(release.SBOMName(p.b.Name), bom),
	)
	if err != nil {
		return nil, fmt.Errorf("disk: write the files beside the image: %w", err)
	}
	return list, nil
}

// slotImage writes the slot without the zeros behind its last file: what an
// update sends. It ends with a whole block, as an update counts in blocks.
func (p *plan) slotImage(from string, write func(name string, data []byte) error) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	const block = slotimage.BlockSize
	used := (len(bytes.TrimRight(data, "\x00")) + block - 1) / block * block
	return write(release.SlotName(p.b.Name), data[:min(used, len(data))])
}

// replace moves new products from tmp to their place. What tells of the old ones
// goes first: whoever is stopped in between leaves an image without checksums,
// never one with those of another.
func (p *plan) replace(tmp string, names ...string) error {
	for _, old := range []string{release.ManifestFile, release.SumsFile} {
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
