package disk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"tench/boards"
)

// GRUB are the paths of the boot loader's files; a firmware that the board does
// not have leaves its paths empty.
type GRUB struct {
	BIOSBoot string // boot.img, sector 0
	BIOSCore string // core.img, the sectors behind it
	EFI      string // the loader for removable media, e.g. BOOTX64.EFI
}

// GRUBParts are folders with the trees of GRUB's packages; "/" takes what is
// installed on this machine.
type GRUBParts struct {
	Tools string // grub-common: usr/bin/grub-mkimage
	BIOS  string // grub-pc-bin: usr/lib/grub/i386-pc
	EFI   string // e.g. grub-efi-amd64-bin: usr/lib/grub/x86_64-efi
}

// modules are what grub.cfg needs on every firmware, beside a Linux loader. They bring what they
// depend on. Few modules are a short core, which old BIOSes load slowly.
var modules = []string{"part_msdos", "fat", "normal", "serial", "terminal", "loadenv",
	"test", "true", "hashsum", "gcry_sha256", "echo", "sleep", "reboot"}

// prefix is where GRUB finds grub.cfg. The empty drive stands for the one that
// the firmware has loaded GRUB from, so that two of our disks in one machine
// are not taken for each other.
const prefix = "(,msdos1)/boot/grub"

// startsEFI reports whether the board's firmware starts an EFI program from p1.
func startsEFI(b boards.Board) bool {
	return slices.Contains(b.Firmware, "uefi") || slices.Contains(b.Firmware, "u-boot")
}

// GRUBIn gives the paths of the boot loader that BuildGRUB made in dir.
func GRUBIn(b boards.Board, dir string) GRUB {
	var g GRUB
	if slices.Contains(b.Firmware, "bios") {
		g.BIOSBoot = filepath.Join(dir, "boot.img")
		g.BIOSCore = filepath.Join(dir, "core.img")
	}
	if startsEFI(b) {
		g.EFI = filepath.Join(dir, b.Arch.EFIBoot)
	}
	return g
}

// BuildGRUB makes the boot loader of board b in the folder out with the
// grub-mkimage of parts.Tools. Its words go to log.
func BuildGRUB(ctx context.Context, b boards.Board, parts GRUBParts, out string, log io.Writer) (GRUB, error) {
	g := GRUBIn(b, out)
	m := mkimage{program: filepath.Join(parts.Tools, "usr/bin/grub-mkimage"), log: log}
	if slices.Contains(b.Firmware, "bios") {
		lib := filepath.Join(parts.BIOS, "usr/lib/grub/i386-pc")
		modules := append([]string{"biosdisk", "linux16"}, modules...)
		if err := scanGRUB(lib, modules, b.CPU.Lacks); err != nil {
			return GRUB{}, err
		}
		boot, err := os.ReadFile(filepath.Join(lib, "boot.img"))
		if err == nil {
			err = renameio.WriteFile(g.BIOSBoot, boot, 0o644, renameio.WithTempDir(out))
		}
		if err != nil {
			return GRUB{}, fmt.Errorf("grub: copy boot.img: %w", hinted(err))
		}
		if err := m.run(ctx, lib, g.BIOSCore, modules); err != nil {
			return GRUB{}, err
		}
	}
	if startsEFI(b) {
		lib := filepath.Join(parts.EFI, "usr/lib/grub", b.Arch.GRUBEFI)
		modules := append([]string{"linux"}, modules...)
		if err := scanGRUB(lib, modules, b.CPU.Lacks); err != nil {
			return GRUB{}, err
		}
		if err := m.run(ctx, lib, g.EFI, modules); err != nil {
			return GRUB{}, err
		}
	}
	return g, nil
}

// mkimage runs grub-mkimage.
type mkimage struct {
	program string
	log     io.Writer
}

// run joins modules of the folder lib, which has the name of GRUB's platform,
// into the file out.
func (m mkimage) run(ctx context.Context, lib, out string, modules []string) error {
	f, err := newFile(out, 0)
	if err != nil {
		return fmt.Errorf("grub: write %s: %w", out, err)
	}
	defer f.Cleanup()
	args := []string{"--directory", lib, "--format", filepath.Base(lib), "--prefix", prefix, "--output", f.Name()}
	cmd := exec.CommandContext(ctx, m.program, append(args, modules...)...)
	var said bytes.Buffer
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stdout = io.MultiWriter(m.log, &said)
	cmd.Stderr = cmd.Stdout
	fmt.Fprintln(m.log, cmd)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("grub: make %s: %w", filepath.Base(out), ctx.Err())
		}
		return fmt.Errorf("grub: make %s: run %s: %w: %s\nhint: grub-mkimage must run on this machine; "+
			"the package grub-common brings the libraries it needs",
			filepath.Base(out), m.program, err, bytes.TrimSpace(said.Bytes()))
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("grub: write %s: %w", out, hinted(err))
	}
	return nil
}
