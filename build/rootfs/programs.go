package rootfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"path"

	"tench/boards"
	"tench/build/isa"
	"tench/overlays"
)

// checkPrograms looks at every ELF file of the tree, wherever it comes from: it
// must be for the board's CPU, without instructions that this one lacks, and what
// it is linked to must be in the tree. All mistakes are reported together.
func checkPrograms(b boards.Board, list []overlays.Entry) error {
	paths, names := map[string]bool{}, map[string]bool{}
	for _, e := range list {
		paths["/"+e.Path] = true
		names[path.Base(e.Path)] = true
	}
	var errs []error
	for _, e := range list {
		if !bytes.HasPrefix(e.Data, []byte(elf.ELFMAG)) {
			continue
		}
		if err := checkProgram(b, e, paths, names); err != nil {
			errs = append(errs, fmt.Errorf("/%s (%s): %w", e.Path, e.From, err))
		}
	}
	return errors.Join(errs...)
}

func checkProgram(b boards.Board, e overlays.Entry, paths, names map[string]bool) error {
	f, err := elf.NewFile(bytes.NewReader(e.Data))
	if err != nil {
		return fmt.Errorf("damaged program: %w", err)
	}
	defer f.Close()
	if f.Machine.String() != b.Arch.ELF || bits(f.Class) != b.Arch.Bits {
		return fmt.Errorf("is for %v with %d bits, board %s needs %s with %d", f.Machine, bits(f.Class), b.Name, b.Arch.ELF, b.Arch.Bits)
	}
	if err := isa.Scan(f, b.CPU.Lacks); err != nil {
		return err
	}
	interpreter, err := interpreterOf(f)
	if err != nil {
		return err
	}
	if interpreter != "" && !paths[interpreter] {
		return fmt.Errorf("needs the loader %s, which is not in the tree\nhint: link it statically", interpreter)
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("damaged program: %w", err)
	}
	for _, lib := range libraries {
		if !names[lib] {
			return fmt.Errorf("needs the library %s, which is not in the tree\nhint: link it statically", lib)
		}
	}
	return nil
}

func bits(c elf.Class) int {
	if c == elf.ELFCLASS64 {
		return 64
	}
	return 32
}

// interpreterOf returns the dynamic loader that the program asks for, or "".
func interpreterOf(f *elf.File) (string, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		if p.Filesz > pageSize {
			return "", fmt.Errorf("damaged program: its loader's name has %d bytes", p.Filesz)
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return "", fmt.Errorf("damaged program: %w", err)
		}
		return string(bytes.TrimRight(name, "\x00")), nil
	}
	return "", nil
}
