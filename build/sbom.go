package build

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"

	"tench/build/cache"
	"tench/build/source"
	"tench/release"
	"tench/release/sbom"
)

// sbomFile is the bill of materials in the product of the step initrd.
const sbomFile = "sbom.json"

// noteSource remembers what was fetched, for the bill of materials. The tools
// of GRUB put the image's boot loader together and stay on this machine.
func (p *plan) noteSource(r release.Recipe, part string, f source.Fetched) {
	if part == grubTools {
		return
	}
	file := sbom.SourceFile{Name: f.Name, Version: f.Version, SHA256: f.SHA256, Part: part}
	for i := range p.bom {
		if p.bom[i].Recipe.Name == r.Name {
			p.bom[i].Files = append(p.bom[i].Files, file)
			return
		}
	}
	p.bom = append(p.bom, sbom.Source{Recipe: r, Type: p.componentType(r), Files: []sbom.SourceFile{file}})
}

// notePatches remembers which patches a source was built with.
func (p *plan) notePatches(r release.Recipe, patches []release.Patch) {
	for i := range p.bom {
		if p.bom[i].Recipe.Name == r.Name {
			p.bom[i].Recipe.Patches = patches
		}
	}
}

// componentType is what CycloneDX calls that which a recipe makes.
func (p *plan) componentType(r release.Recipe) sbom.Type {
	switch {
	case r.Name == "linux":
		return sbom.OperatingSystem
	case r.Name == p.b.UBoot.Recipe:
		return sbom.Firmware
	case len(r.Build.Steps) > 0 && len(r.Build.Programs) == 0:
		return sbom.Library
	}
	return sbom.Application
}

// uroot is the module whose commands the busybox is made of.
const uroot = "github.com/u-root/u-root"

// sbom is the bill of materials of the image, as the box has it: all that is
// known before the root file system is packed.
func (p *plan) sbom(commands, tenchd cache.Product) ([]byte, error) {
	version, modules, err := sbom.Modules(tenchd.Path("tenchd"))
	if err != nil {
		return nil, err
	}
	box := sbom.Program{Name: "tenchd", Version: p.release.Name, Licence: "BSD-3-Clause", Go: version, Modules: modules}
	if box.SHA256, err = tenchd.FileHash("tenchd"); err != nil {
		return nil, err
	}
	bb := sbom.Program{Name: "u-root", Licence: "BSD-3-Clause", Go: version}
	if bb.SHA256, err = commands.FileHash("bb"); err != nil {
		return nil, err
	}
	if bb.Modules, err = readModules(commands.Path(commandModules)); err != nil {
		return nil, err
	}
	for _, m := range bb.Modules {
		if m.Path == uroot {
			bb.Version = m.Version
		}
	}
	return sbom.Write(sbom.Image{Board: p.b.Name, Release: p.release.Name, Sources: p.bom, Programs: []sbom.Program{box, bb}})
}

func readModules(path string) ([]debug.Module, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sbom: %w", err)
	}
	var modules []debug.Module
	if err := json.Unmarshal(data, &modules); err != nil {
		return nil, fmt.Errorf("sbom: read %s: %w", path, err)
	}
	return modules, nil
}
