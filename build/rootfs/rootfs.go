// Package rootfs makes the box's root file system: an initramfs that the kernel
// unpacks into RAM.
//
//	rootfs.go    Files, Options and Build
//	list.go      the list of everything in it, each path once
//	programs.go  the gate: every program must run on the board
//	archive.go   the cpio archive, compressed
//	mtree.go     the list of the tree's files, for people and for comparing
//	read.go      what a finished initramfs holds
//
// The tree:
//
//	/init              -> bin/tenchd
//	/bin/tenchd        PID 1 and its roles
//	/bin/bb            -> tenchd, until a command is first called: that unpacks
//	/bin/bb.zst        the u-root commands, and a link to bb for each
//	/bin/sh            -> gosh
//	/bin/NAME          programs in C, static
//	/etc/tench/        what the build knows: board.toml, build.json, sbom.json
//	/dev/console, /dev/null
//	everything of the overlays
//
// The commands stay packed because the kernel would unpack them in every boot, a
// third of its time, and few boots need one. They are an archive of their own,
// the first and not compressed again, so that a change elsewhere leaves their
// bytes as they are: an update need not send them.
//
// Equal inputs give equal bytes: entries are sorted, owned by root, numbered in
// order and dated with the release's epoch.
package rootfs

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"tench/boards"
	"tench/overlays"
)

// Files are what the root file system is made of.
type Files struct {
	Tenchd   string            // path of the static tenchd
	Busybox  string            // path of the static busybox, to be checked
	Packed   string            // path of the same, packed with zstd: this is in the tree
	Commands []string          // names to link to the busybox
	Programs map[string]string // path in the tree, e.g. "bin/bird" -> path of a static program
	Etc      map[string][]byte // files for /etc/tench, by name, e.g. "board.toml"
	Overlays []overlays.Entry
}

// Options say where and with which date the initramfs is written.
type Options struct {
	Out   string    // folder for the product
	Epoch time.Time // date of every entry
	Log   io.Writer // output of zstd; nil discards it
}

// Initrd is the finished initramfs.
type Initrd struct {
	Path     string // initrd below Options.Out
	List     string // root.mtree beside it: mtree(5)
	Size     int64  // compressed, in bytes
	Unpacked int64  // what it takes of the box's RAM once a command was called, in bytes
}

// maxRAMPercent is how much of the board's memory the unpacked root may take:
// the rest is for kernel, programs and packets.
const maxRAMPercent = 40

// Build writes the initramfs. A program that cannot run on the board, a path
// that comes from two places, and a tree too large for the board's memory are
// errors.
func Build(ctx context.Context, b boards.Board, f Files, o Options) (Initrd, error) {
	rd, err := build(ctx, b, f, o)
	if err != nil {
		return Initrd{}, fmt.Errorf("rootfs: %w", err)
	}
	return rd, nil
}

func build(ctx context.Context, b boards.Board, f Files, o Options) (Initrd, error) {
	list, err := entries(f)
	if err != nil {
		return Initrd{}, err
	}
	commands, err := programEntry("bin/bb", f.Busybox)
	if err != nil {
		return Initrd{}, err
	}
	inUse := append(list, commands)
	if err := checkPrograms(b, inUse); err != nil {
		return Initrd{}, err
	}
	rd := Initrd{Path: filepath.Join(o.Out, "initrd"), List: filepath.Join(o.Out, "root.mtree"), Unpacked: unpackedSize(inUse)}
	if err := checkRAM(b, rd.Unpacked); err != nil {
		return Initrd{}, err
	}
	if rd.Size, err = writeArchive(ctx, list, rd.Path, o); err != nil {
		return Initrd{}, err
	}
	return rd, writeMtree(list, rd.List)
}

// pageSize is what RAM is handed out in.
const pageSize = 4096

// unpackedSize is the memory that the files take once the kernel unpacked them;
// each entry costs about one page for its inode and name.
func unpackedSize(list []overlays.Entry) int64 {
	var total int64
	for _, e := range list {
		pages := (int64(len(e.Data)) + pageSize - 1) / pageSize
		total += (pages + 1) * pageSize
	}
	return total
}

func checkRAM(b boards.Board, unpacked int64) error {
	limit := int64(b.RAMMiB) << 20 * maxRAMPercent / 100
	if unpacked <= limit {
		return nil
	}
	const mib = 1 << 20
	return fmt.Errorf("unpacked it takes %.1f MiB, and board %s with %d MiB of RAM has %.1f MiB for it (%d %%)\nhint: leave out commands or overlay files, or raise ram-mib if no board has less",
		float64(unpacked)/mib, b.Name, b.RAMMiB, float64(limit)/mib, maxRAMPercent)
}
