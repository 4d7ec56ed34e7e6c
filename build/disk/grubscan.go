package disk

import (
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tench/build/isa"
)

// rawImages are the parts of GRUB for BIOS that are bare code, with the bits of
// the mode they run in: sector 0, what loads the core, and what unpacks it.
var rawImages = map[string]int{"boot.img": 16, "diskboot.img": 16, "lzma_decompress.img": 32}

// scanGRUB looks for instructions that the board's CPU lacks in what the boot
// loader is made of: before grub-mkimage packs it, because then nothing tells
// code from data.
//
// All of it is read as the code of one mode. The few lines of 16-bit assembler
// in 32-bit files, which call the BIOS, are read wrongly: that finds nothing in
// GRUB 2.06, and might miss an instruction in them. No compiler wrote them.
func scanGRUB(lib string, modules, lacks []string) error {
	if len(lacks) == 0 {
		return nil
	}
	needed, err := withDependencies(lib, modules)
	if err != nil {
		return fmt.Errorf("grub: %w", err)
	}
	files := []string{"kernel.img"}
	for _, name := range needed {
		files = append(files, name+".mod")
	}
	if filepath.Base(lib) == "i386-pc" {
		files = append(files, slices.Sorted(maps.Keys(rawImages))...)
	}
	for _, name := range files {
		err := scanFile(filepath.Join(lib, name), lacks)
		var found isa.Findings
		if errors.As(err, &found) { // isa's own hint is for programs that we compile
			return fmt.Errorf("grub: scan %s: %w\nhint: Debian compiled it; pin another version in release/recipes/grub/recipe.toml", name, found)
		}
		if err != nil {
			return fmt.Errorf("grub: scan %s: %w", name, err)
		}
	}
	return nil
}

func scanFile(path string, lacks []string) error {
	if bits := rawImages[filepath.Base(path)]; bits != 0 {
		code, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = isa.ScanRaw([]isa.Raw{{Name: "code", Code: code}}, bits, lacks)
		return err
	}
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return isa.Scan(f, lacks)
}

// withDependencies adds to modules what grub-mkimage takes along with them: a
// line of moddep.lst is a module, a colon and the modules that it needs.
func withDependencies(lib string, modules []string) ([]string, error) {
	path := filepath.Join(lib, "moddep.lst")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	needs := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		name, list, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%s: line %q has no colon", path, strings.TrimSpace(line))
		}
		needs[name] = strings.Fields(list)
	}
	all := slices.Clone(modules)
	for i := 0; i < len(all); i++ {
		for _, name := range needs[all[i]] {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all, nil
}
