// Package loaders puts together the programs that boxes load first when they
// boot over the network: GRUB for each firmware, iPXE and PXELINUX. All come
// from Debian's packages by recipes, as the boot loader of images does; none of
// them gets into an image.
//
//	loaders.go  Parts, Build: all of them into one folder
//	grub.go     GRUB's, by its grub-mkimage
//
// The names are those that boxes ask for; package pxe/view chooses among them.
package loaders

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Part is a part of a recipe, e.g. "bios" of "grub".
type Part struct{ Recipe, Name string }

var grubTools = Part{"grub", "tools"}

// copies are the loaders that are in their packages as they are.
var copies = []struct {
	name string // as a box asks for it
	part Part
	path string // in the part's tree
}{
	{"undionly.kpxe", Part{"ipxe", "loaders"}, "usr/lib/ipxe/undionly.kpxe"},
	{"snponly.efi", Part{"ipxe", "loaders"}, "usr/lib/ipxe/snponly.efi"},
	{"ipxe.efi", Part{"ipxe", "loaders"}, "boot/ipxe.efi"},
	{"pxelinux.0", Part{"syslinux", "pxelinux"}, "usr/lib/PXELINUX/pxelinux.0"},
	{"ldlinux.c32", Part{"syslinux", "modules"}, "usr/lib/syslinux/modules/bios/ldlinux.c32"},
}

// Parts lists what the loaders are made of, each once.
func Parts() []Part {
	list := []Part{grubTools}
	have := map[Part]bool{grubTools: true}
	add := func(p Part) {
		if !have[p] {
			have[p] = true
			list = append(list, p)
		}
	}
	for _, g := range grubs {
		add(g.part)
	}
	for _, c := range copies {
		add(c.part)
	}
	return list
}

// Build makes all loaders in the folder out. trees are folders with the parts'
// packages; "/" takes what is installed on this machine. The words of
// grub-mkimage go to log.
func Build(ctx context.Context, trees map[Part]string, out string, log io.Writer) error {
	for _, g := range grubs {
		if err := g.build(ctx, trees, out, log); err != nil {
			return err
		}
	}
	for _, c := range copies {
		data, err := os.ReadFile(filepath.Join(trees[c.part], c.path))
		if err == nil {
			err = renameio.WriteFile(filepath.Join(out, c.name), data, 0o644, renameio.WithTempDir(out))
		}
		if err != nil {
			return fmt.Errorf("loaders: copy %s: %w", c.name, err)
		}
	}
	return nil
}
