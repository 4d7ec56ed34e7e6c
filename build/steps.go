package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tench/boards"
	"tench/build/cache"
	"tench/build/disk"
	"tench/build/kernel"
	"tench/build/rootfs"
	"tench/build/source"
	"tench/build/userland"
	"tench/internal/syncfs"
	"tench/overlays"
	"tench/release"
)

// Versions of the slow steps: one rises when its code makes something else of
// the same inputs. The quick steps have their code itself as an input.
const (
	kernelVersion   = 3
	commandsVersion = 3
)

// code is the Go code of a package of this tree as an input of a step, and go.mod,
// which names the versions of the libraries that it calls.
func (p *plan) code(pkg string) (cache.Input, error) {
	hash, err := cache.HashCheckout(filepath.Join(p.o.Root, filepath.FromSlash(pkg)))
	if err != nil {
		return cache.Input{}, err
	}
	libraries, err := cache.HashFile(filepath.Join(p.o.Root, "go.mod"))
	return cache.Input{Name: "code " + pkg, Hash: cache.HashBytes([]byte(hash + libraries))}, err
}

// scanner are inputs of the steps that look for instructions that the board's CPU
// lacks: which, and the code that knows them.
func (p *plan) scanner() ([]cache.Input, error) {
	if len(p.b.CPU.Lacks) == 0 {
		return nil, nil
	}
	code, err := p.code("build/isa")
	return []cache.Input{text("CPU lacks", fmt.Sprintf("%q", p.b.CPU.Lacks)), code}, err
}

// kernel unpacks, patches, configures and compiles Linux.
func (p *plan) kernel(ctx context.Context, src source.Fetched) (cache.Product, error) {
	recipe, err := p.recipe("linux")
	if err != nil {
		return cache.Product{}, err
	}
	frags, err := kernel.Fragments(p.b, filepath.Join(recipe.Dir, "fragments"))
	if err != nil {
		return cache.Product{}, err
	}
	tools, err := kernel.ToolID(ctx, p.b)
	if err != nil {
		return cache.Product{}, err
	}
	inputs := []cache.Input{
		{Name: "source " + src.Name, Hash: src.SHA256},
		text("tools", tools),
		text("architecture", fmt.Sprint(p.b.Arch)),
		text("epoch", p.release.Epoch.String()),
	}
	var order []string
	for _, f := range frags {
		in, err := p.use("fragment", f.Name, f.Path)
		if err != nil {
			return cache.Product{}, err
		}
		inputs, order = append(inputs, in), append(order, f.Name)
	}
	for _, patch := range recipe.Patches {
		in, err := p.use("patch", patch.Name, patch.Path)
		if err != nil {
			return cache.Product{}, err
		}
		inputs, order = append(inputs, in), append(order, patch.Name)
	}
	inputs = append(inputs, inOrder(order))
	// They change nothing of the kernel, so they are no input; the step stops
	// before the compiler runs when one is missing.
	more, err := p.daemonSymbols()
	if err != nil {
		return cache.Product{}, err
	}
	product, err := p.run(ctx, cache.Step{Name: "kernel", Version: kernelVersion, Inputs: inputs, Build: func(ctx context.Context, w cache.Work) error {
		tree, err := p.patchedTree(ctx, src, recipe.Patches, w)
		if err != nil {
			return err
		}
		jobs, err := p.farmJobs(ctx, p.b.Arch.Cross+"gcc")
		if err != nil {
			return err
		}
		p.o.Report.Start("kernel", "configure and compile "+src.Version)
		_, err = kernel.Build(ctx, p.b, kernel.Source{Tree: tree, Version: src.Version}, frags, kernel.Options{
			Out: w.Out, Scratch: filepath.Join(w.Scratch, "build"), Log: w.Log, Progress: w.Progress,
			Epoch: p.release.Epoch, CCache: p.ccache(), Farm: p.o.Farm, Jobs: jobs,
			Require: more,
		})
		return err
	}}, "linux "+src.Version)
	if err != nil {
		return cache.Product{}, err
	}
	if err := kernel.CheckRequired(p.b, more, product.Path("config")); err != nil {
		return cache.Product{}, err
	}
	return product, p.kernelISA(ctx, product)
}

// kernelISA looks at the code of a finished kernel where the board's CPU lacks
// instructions. It is a step of its own, so that a change of what it looks for
// compiles no kernel. Its product says which functions ask the CPU first.
func (p *plan) kernelISA(ctx context.Context, built cache.Product) error {
	if len(p.b.CPU.Lacks) == 0 {
		return nil
	}
	inputs, err := p.scanner()
	if err != nil {
		return err
	}
	for _, name := range []string{"vmlinuz", "System.map"} {
		hash, err := built.FileHash(name)
		if err != nil {
			return err
		}
		inputs = append(inputs, cache.Input{Name: "kernel's " + name, Hash: hash})
	}
	code, err := p.code("build/kernel")
	if err != nil {
		return err
	}
	_, err = p.run(ctx, cache.Step{Name: "kernel-isa", Inputs: append(inputs, code), Build: func(ctx context.Context, w cache.Work) error {
		lines, err := kernel.Scan(ctx, p.b, built.Path("vmlinuz"), built.Path("System.map"))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(w.Out, "guarded"), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
	}}, "no instruction that the CPU lacks")
	return err
}

// patchedTree unpacks a source and applies its patches, below the step's
// scratch, where an interrupted build finds it again.
func (p *plan) patchedTree(ctx context.Context, src source.Fetched, patches []release.Patch, w cache.Work) (string, error) {
	tree := filepath.Join(w.Scratch, "source")
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	p.o.Report.Start("unpack", src.Name)
	raw := tree + ".unpatched"
	if err := os.RemoveAll(raw); err != nil {
		return "", err
	}
	if err := source.Unpack(ctx, src, raw, source.Options{Log: w.Log, Progress: w.Progress}); err != nil {
		return "", err
	}
	p.o.Report.Start("patch", fmt.Sprintf("%d patches", len(patches)))
	if err := source.Patch(ctx, patches, raw, w.Log); err != nil {
		return "", err
	}
	if err := syncfs.Sync(raw); err != nil { // its name is to say that the tree is whole
		return "", err
	}
	return tree, os.Rename(raw, tree)
}

// Files beside the busybox.
const (
	commandList    = "commands"     // its commands
	commandModules = "modules.json" // the Go modules that it is made of
)

// commands builds the u-root commands.
func (p *plan) commands(ctx context.Context) (cache.Product, error) {
	ins, err := userland.CommandsInputs(ctx, p.b, p.o.Root)
	if err != nil {
		return cache.Product{}, err
	}
	return p.run(ctx, cache.Step{Name: "commands", Version: commandsVersion, Inputs: ins, Build: func(ctx context.Context, w cache.Work) error {
		bb, err := userland.Commands(ctx, p.b, p.o.Root, userland.Options{Out: w.Out, Scratch: w.Scratch, Log: w.Log, GoCache: p.o.goCache()})
		if err != nil {
			return err
		}
		modules, err := json.Marshal(bb.Modules)
		if err != nil {
			return err
		}
		return errors.Join(
			os.WriteFile(filepath.Join(w.Out, commandList), []byte(strings.Join(bb.Commands, "\n")+"\n"), 0o644),
			os.WriteFile(filepath.Join(w.Out, commandModules), modules, 0o644))
	}}, "u-root")
}

// tenchd builds the box's own program.
func (p *plan) tenchd(ctx context.Context) (cache.Product, error) {
	ins, err := userland.TenchdInputs(ctx, p.b, p.o.Root)
	if err != nil {
		return cache.Product{}, err
	}
	return p.run(ctx, cache.Step{Name: "tenchd", Inputs: ins, Build: func(ctx context.Context, w cache.Work) error {
		_, err := userland.Tenchd(ctx, p.b, p.o.Root, userland.Options{Out: w.Out, Scratch: w.Scratch, Log: w.Log, GoCache: p.o.goCache()})
		return err
	}}, "the box's own program")
}

// programs are what the root file system is packed from.
type programs struct {
	commands, tenchd cache.Product
	daemons          []cache.Product
	bom              []byte // bill of materials of the image
}

// initrd packs the root file system.
func (p *plan) initrd(ctx context.Context, made programs) (cache.Product, error) {
	layers, err := overlays.Load(filepath.Join(p.o.Root, "overlays"), p.b)
	if err != nil {
		return cache.Product{}, err
	}
	zstd, err := exec.CommandContext(ctx, "zstd", "--version").Output()
	if err != nil {
		return cache.Product{}, fmt.Errorf("initrd: run zstd: %w\nhint: tench doctor --for build", err)
	}
	board, err := p.use("board", p.b.Name, filepath.Join(p.b.Dir, "board.toml"))
	if err != nil {
		return cache.Product{}, err
	}
	info, err := p.buildInfo()
	if err != nil {
		return cache.Product{}, err
	}
	code, err := p.code("build/rootfs")
	if err != nil {
		return cache.Product{}, err
	}
	inputs := []cache.Input{made.commands.Input(), made.tenchd.Input(), board, code,
		text("build.json", string(info)), text("sbom", string(made.bom)), text("zstd", string(zstd))}
	daemons := map[string]string{}
	for _, d := range made.daemons {
		inputs = append(inputs, d.Input())
		for _, f := range d.Files {
			if other, twice := daemons[f.Name]; twice {
				return cache.Product{}, fmt.Errorf("initrd: /%s comes from two places: %s and %s", f.Name, other, d.Path(f.Name))
			}
			daemons[f.Name] = d.Path(f.Name)
		}
	}
	scanner, err := p.scanner()
	if err != nil {
		return cache.Product{}, err
	}
	inputs = append(inputs, scanner...)
	for _, e := range layers {
		inputs = append(inputs, text("overlay "+e.Path, fmt.Sprintf("%v %q %x", e.Mode, e.Link, e.Data)))
	}
	return p.run(ctx, cache.Step{Name: "initrd", Inputs: inputs, Build: func(ctx context.Context, w cache.Work) error {
		names, err := os.ReadFile(made.commands.Path(commandList))
		if err != nil {
			return err
		}
		boardFile, err := os.ReadFile(filepath.Join(p.b.Dir, "board.toml"))
		if err != nil {
			return err
		}
		_, err = rootfs.Build(ctx, p.b, rootfs.Files{
			Tenchd: made.tenchd.Path("tenchd"), Busybox: made.commands.Path("bb"), Packed: made.commands.Path("bb.zst"), Commands: strings.Fields(string(names)),
			Programs: daemons,
			Etc:      map[string][]byte{"board.toml": boardFile, "build.json": info, "sbom.json": made.bom},
			Overlays: layers,
		}, rootfs.Options{Out: w.Out, Epoch: p.release.Epoch, Log: w.Log})
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(w.Out, sbomFile), made.bom, 0o644)
	}}, "root file system")
}

// buildInfo is /etc/tench/build.json on the box.
func (p *plan) buildInfo() ([]byte, error) {
	data, err := json.Marshal(map[string]any{"board": p.b.Name, "release": p.release.Name, "epoch": p.release.Epoch.Unix()})
	return append(data, '\n'), err
}

// grub puts the boot loader together.
func (p *plan) grub(ctx context.Context, parts map[string]source.Fetched) (cache.Product, error) {
	code, err := p.code("build/disk")
	if err != nil {
		return cache.Product{}, err
	}
	inputs := []cache.Input{code, text("board's firmware", fmt.Sprint(p.b.Firmware, p.b.Arch))}
	scanner, err := p.scanner()
	if err != nil {
		return cache.Product{}, err
	}
	inputs = append(inputs, scanner...)
	for part, f := range parts {
		inputs = append(inputs, cache.Input{Name: "source " + part, Hash: f.SHA256})
	}
	return p.run(ctx, cache.Step{Name: "grub", Inputs: inputs, Build: func(ctx context.Context, w cache.Work) error {
		dirs := map[string]string{}
		for part, f := range parts {
			dirs[part] = filepath.Join(w.Scratch, part)
			if err := os.RemoveAll(dirs[part]); err != nil {
				return err
			}
			if err := source.Unpack(ctx, f, dirs[part], source.Options{Log: w.Log}); err != nil {
				return err
			}
		}
		_, err := disk.BuildGRUB(ctx, p.b, disk.GRUBParts{Tools: dirs[grubTools], BIOS: dirs["bios"], EFI: dirs[p.efiPart()]}, w.Out, w.Log)
		return err
	}}, "boot loader")
}

const (
	ubootPart = "loader"     // of the recipe that board.toml names
	ubootName = "u-boot.bin" // in the step's product
)

// uboot takes the board's loader out of its package. Boards whose firmware is
// in the hardware have none: the product is empty.
func (p *plan) uboot(ctx context.Context) (cache.Product, error) {
	if p.b.UBoot.Recipe == "" {
		return cache.Product{}, nil
	}
	src, err := p.source(ctx, p.b.UBoot.Recipe, ubootPart)
	if err != nil {
		return cache.Product{}, err
	}
	inputs := []cache.Input{{Name: "source " + src.Name, Hash: src.SHA256}, text("file", p.b.UBoot.File)}
	return p.run(ctx, cache.Step{Name: "u-boot", Inputs: inputs, Build: func(ctx context.Context, w cache.Work) error {
		tree := filepath.Join(w.Scratch, "tree")
		if err := os.RemoveAll(tree); err != nil {
			return err
		}
		if err := source.Unpack(ctx, src, tree, source.Options{Log: w.Log}); err != nil {
			return err
		}
		loader, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(p.b.UBoot.File)))
		if err != nil {
			return fmt.Errorf("u-boot: %w\nhint: u-boot.file in boards/%s/%s names a file of %s", err, p.b.Name, boards.FileName, src.Name)
		}
		return os.WriteFile(filepath.Join(w.Out, ubootName), loader, 0o644)
	}}, p.b.UBoot.Recipe+" "+src.Version)
}

// identity is the part of the disk's identity that the steps depend on.
func (p *plan) identity() cache.Input { return text("release", fmt.Sprint(p.id)) }

const (
	slotName = "slot.img"
	dataName = "data.img"
)

// slot makes the file system that goes into both slots.
func (p *plan) slot(ctx context.Context, kernel, initrd cache.Product) (cache.Product, error) {
	code, err := p.code("build/disk")
	if err != nil {
		return cache.Product{}, err
	}
	inputs := []cache.Input{kernel.Input(), initrd.Input(), code, p.identity(),
		text("kernel arguments", fmt.Sprint(disk.KernelArgs(p.b))), text("layout", fmt.Sprint(p.b.Layout))}
	return p.run(ctx, cache.Step{Name: "slot", Inputs: inputs, Build: func(_ context.Context, w cache.Work) error {
		return disk.Slot(p.b, kernel.Path("vmlinuz"), initrd.Path("initrd"), p.id, filepath.Join(w.Out, slotName))
	}}, "kernel and root file system")
}

// data makes the data partition with the box's first generation.
func (p *plan) data(ctx context.Context, router []byte) (cache.Product, error) {
	mke2fs, err := exec.CommandContext(ctx, "mke2fs", "-V").CombinedOutput()
	if err != nil {
		return cache.Product{}, fmt.Errorf("data: run mke2fs: %w\nhint: tench doctor --for build", err)
	}
	code, err := p.code("build/disk")
	if err != nil {
		return cache.Product{}, err
	}
	inputs := []cache.Input{text("router.toml", string(router)), code, text("mke2fs", string(mke2fs)), p.identity(),
		text("layout", fmt.Sprint(p.b.Layout))}
	return p.run(ctx, cache.Step{Name: "data", Inputs: inputs, Build: func(ctx context.Context, w cache.Work) error {
		return disk.Data(ctx, p.b, disk.NewBox(router), p.id, filepath.Join(w.Out, dataName), w.Log)
	}}, "data partition")
}
