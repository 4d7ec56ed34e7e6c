package loaders

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"tench/release/netboot"
)

// grub is GRUB for one kind of firmware.
type grub struct {
	name     string // as a box asks for it
	part     Part
	platform string   // GRUB's name of it, e.g. "x86_64-efi"
	format   string   // of grub-mkimage
	modules  []string // beside those that all have
}

var efiModules = []string{"efinet", "linux"}

// grubs are those that Debian 12 has modules for. smbios, by which a box tells
// its serial number, is not among arm's.
var grubs = []grub{
	{"grub.pxe", Part{"grub", "bios"}, "i386-pc", "i386-pc-pxe", []string{"pxe", "biosdisk", "linux16", "smbios"}},
	{"grubx64.efi", Part{"grub", "efi-amd64"}, "x86_64-efi", "x86_64-efi", append([]string{"smbios"}, efiModules...)},
	{"grubia32.efi", Part{"grub-ia32", "efi-i386"}, "i386-efi", "i386-efi", append([]string{"smbios"}, efiModules...)},
	{"grubaa64.efi", Part{"grub", "efi-arm64"}, "arm64-efi", "arm64-efi", append([]string{"smbios"}, efiModules...)},
	{"grubarm.efi", Part{"grub", "efi-armhf"}, "arm-efi", "arm-efi", efiModules},
}

// commonModules fetch files, start a kernel, and start what is on the disk
// where the box is to boot that. They bring what they depend on.
var commonModules = []string{"normal", "net", "tftp", "http", "configfile", "echo", "test", "sleep", "reboot",
	"serial", "terminal", "part_msdos", "part_gpt", "fat", "search_fs_file", "chain"}

// grubPrefix is the folder that GRUB asks for grub.cfg. It names no device, which
// stands for the protocol that GRUB itself came by, and for the server that its
// URL or else DHCP named.
const grubPrefix = "/grub"

// toldServer reports whether a server can write its address into the program. A BIOS
// gets it packed.
func (g grub) toldServer() bool { return strings.HasSuffix(g.format, "-efi") }

// build joins GRUB's modules into one program.
func (g grub) build(ctx context.Context, trees map[Part]string, out string, log io.Writer) error {
	f, err := renameio.NewPendingFile(filepath.Join(out, g.name), renameio.WithTempDir(out), renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("loaders: write %s: %w", g.name, err)
	}
	defer f.Cleanup()
	program := filepath.Join(trees[grubTools], "usr/bin/grub-mkimage")
	lib := filepath.Join(trees[g.part], "usr/lib/grub", g.platform)
	args := []string{"--directory", lib, "--format", g.format, "--prefix", grubPrefix, "--output", f.Name()}
	if g.toldServer() {
		config := filepath.Join(out, g.name+".cfg")
		defer os.Remove(config)
		if err := os.WriteFile(config, []byte(netboot.GRUBLine+"\n"), 0o644); err != nil {
			return fmt.Errorf("loaders: write %s: %w", g.name, err)
		}
		args = append(args, "--config", config)
	}
	cmd := exec.CommandContext(ctx, program, slices.Concat(args, commonModules, g.modules)...)
	var said bytes.Buffer
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stdout = io.MultiWriter(log, &said)
	cmd.Stderr = cmd.Stdout
	fmt.Fprintln(log, cmd)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("loaders: make %s: %w", g.name, ctx.Err())
		}
		return fmt.Errorf("loaders: make %s: run %s: %w: %s\nhint: grub-mkimage must run on this machine; "+
			"the package grub-common brings the libraries it needs", g.name, program, err, bytes.TrimSpace(said.Bytes()))
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("loaders: write %s: %w", g.name, err)
	}
	return nil
}
