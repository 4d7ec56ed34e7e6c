package isa

import (
	"cmp"
	"debug/elf"
	"debug/gosym"
	"fmt"
	"slices"
)

// function is a stretch of code.
type function struct {
	name    string
	address uint64
	code    []byte
}

// functionsOf cuts the executable sections of a file into functions. It takes
// their places from the symbol table, or from the table that Go programs keep
// even when stripped; the rest of a section is one stretch without a name.
func functionsOf(f *elf.File) ([]function, error) {
	starts := symbolStarts(f)
	goStarts, err := goStarts(f)
	if err != nil {
		return nil, err
	}
	return cutAll(f, append(starts, goStarts...))
}

// cutAll cuts the executable sections of a file at starts, all but those that
// are left out.
func cutAll(f *elf.File, starts []Symbol, leftOut ...string) ([]function, error) {
	slices.SortStableFunc(starts, func(a, b Symbol) int { return cmp.Compare(a.Address, b.Address) })
	var all []function
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_EXECINSTR == 0 || s.Type != elf.SHT_PROGBITS || slices.Contains(leftOut, s.Name) {
			continue
		}
		code, err := s.Data()
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", s.Name, err)
		}
		all = append(all, cut(s.Addr, code, starts)...)
	}
	return all, nil
}

// Symbol is where a function begins.
type Symbol struct {
	Name    string
	Address uint64
}

func symbolStarts(f *elf.File) []Symbol {
	symbols, err := f.Symbols()
	if err != nil {
		return nil // it is stripped
	}
	var list []Symbol
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF {
			list = append(list, Symbol{s.Name, s.Value})
		}
	}
	return list
}

func goStarts(f *elf.File) ([]Symbol, error) {
	tab, text := f.Section(".gopclntab"), f.Section(".text")
	if tab == nil || text == nil {
		return nil, nil
	}
	data, err := tab.Data()
	if err != nil {
		return nil, fmt.Errorf("section %s: %w", tab.Name, err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr))
	if err != nil {
		return nil, fmt.Errorf("section %s: %w", tab.Name, err)
	}
	var list []Symbol
	for _, fn := range table.Funcs {
		list = append(list, Symbol{fn.Name, fn.Entry})
	}
	return list, nil
}

// cut divides a section's code at the starts that lie in it, which are sorted.
func cut(address uint64, code []byte, starts []Symbol) []function {
	end := address + uint64(len(code))
	var list []function
	at, name := address, ""
	for _, s := range starts {
		if s.Address < address || s.Address >= end {
			continue
		}
		if s.Address > at {
			list = append(list, function{name, at, code[at-address : s.Address-address]})
		}
		at, name = s.Address, s.Name
	}
	return append(list, function{name, at, code[at-address:]})
}
