package pxe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"tench/pxe/view"
	"tench/release"
	"tench/release/audit"
)

// Products are the files of a release, or of a build, that boxes are given. All
// of the directory is audited when it is opened, and what SHA256 says then is
// what every file is held to: one whose hash is another later on is refused. The
// kernel and the initramfs are kept in memory once they were found right, so
// that no box gets half of one file and half of another; their hash is taken
// again when the file is not the one that was read.
type Products struct {
	Dir     string
	Release string // e.g. "2026.11"
	listing string // SHA256
	sums    map[string]string

	mu   sync.Mutex
	held map[string]held
}

// held is a file in memory, and which one it was.
type held struct {
	id   fileID
	data []byte
	bare []byte // of a kernel that somebody asked for so; see bareKernel
}

// fileID tells a file from another one in its place, and from what it was before
// somebody wrote to it.
type fileID struct {
	dev, ino             uint64
	size, mtime, changed int64
}

// OpenProducts audits a release's directory or what a build left in out/BOARD.
func OpenProducts(ctx context.Context, dir string, o audit.Options) (*Products, error) {
	data, err := os.ReadFile(filepath.Join(dir, release.SumsFile))
	if err != nil {
		return nil, fmt.Errorf("pxe: %w\nhint: tench image BOARD builds one, tench release a whole release", err)
	}
	report, err := audit.Directory(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	if n := len(report.Findings); n > 0 {
		return nil, fmt.Errorf("pxe: %s is not whole: %s\nhint: tench verify %s tells all of it (%d lines)", dir, report.Findings[0], dir, n)
	}
	list, err := release.ParseSums(release.SumsFile, data)
	if err != nil {
		return nil, err
	}
	if again, err := os.ReadFile(filepath.Join(dir, release.SumsFile)); err != nil || string(again) != string(data) {
		return nil, fmt.Errorf("pxe: %s: %s changed while it was looked at\nhint: start again when whoever writes there is done", dir, release.SumsFile)
	}
	p := &Products{Dir: dir, listing: string(data), sums: map[string]string{}, held: map[string]held{}}
	for _, f := range list {
		p.sums[f.File] = f.SHA256
	}
	p.Release, err = releaseOf(dir)
	return p, err
}

// releaseOf is the name of the release in manifest.json, which is one of two
// kinds.
func releaseOf(dir string) (string, error) {
	path := filepath.Join(dir, release.ManifestFile)
	if x, err := release.ReadIndex(path); err == nil {
		return x.Release, nil
	}
	m, err := release.ReadManifest(path)
	return m.Release, err
}

// Has reports whether the directory has a board.
func (p *Products) Has(board string) bool { return p.sums[release.KernelName(board)] != "" }

// Kernel opens a board's kernel.
func (p *Products) Kernel(board string) (view.File, error) { return p.open(release.KernelName(board)) }

// BareKernel opens a board's kernel as what starts it that is no UEFI.
func (p *Products) BareKernel(board string) (view.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := release.KernelName(board)
	h, err := p.hold(name)
	if err != nil {
		return nil, err
	}
	if h.bare == nil {
		if h.bare, err = bareKernel(h.data); err != nil {
			return nil, fmt.Errorf("pxe: %s: %w", filepath.Join(p.Dir, name), err)
		}
		p.held[name] = h
	}
	return view.Bytes(h.bare), nil
}

// Initrd opens a board's initramfs.
func (p *Products) Initrd(board string) (view.File, error) { return p.open(release.InitrdName(board)) }

// Image is the path of a board's image, packed or not, and the SHA-256 that it
// must have: package flash, which reads it, holds it to SHA256, and that must
// still be the one of the start.
func (p *Products) Image(board string) (path, sum string, err error) {
	if now, err := os.ReadFile(filepath.Join(p.Dir, release.SumsFile)); err != nil || string(now) != p.listing {
		return "", "", fmt.Errorf("pxe: %s: %w", filepath.Join(p.Dir, release.SumsFile), errChanged)
	}
	for _, name := range []string{release.ImageName(board), release.PackedImageName(board)} {
		if sum := p.sums[name]; sum != "" {
			return filepath.Join(p.Dir, name), sum, nil
		}
	}
	return "", "", fmt.Errorf("pxe: %s has no image of board %s", p.Dir, board)
}

// most is the largest kernel or initramfs in bytes: a box must hold it twice.
const most = 512 << 20

// open gives a file of SHA256 out of memory.
func (p *Products) open(name string) (view.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, err := p.hold(name)
	if err != nil {
		return nil, err
	}
	return view.Bytes(h.data), nil
}

// hold is a file of SHA256 in memory. The caller holds mu.
func (p *Products) hold(name string) (held, error) {
	path := filepath.Join(p.Dir, name)
	f, err := os.Open(path)
	if err != nil {
		return held{}, fmt.Errorf("pxe: %w", err)
	}
	defer f.Close()
	id, err := identify(f)
	if err != nil {
		return held{}, fmt.Errorf("pxe: %s: %w", path, err)
	}
	if h, ok := p.held[name]; ok && h.id == id {
		return h, nil
	}
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return held{}, fmt.Errorf("pxe: read %s: %w", path, err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.sums[name] {
		return held{}, fmt.Errorf("pxe: %s: %w", path, errChanged)
	}
	h := held{id: id, data: data}
	p.held[name] = h
	return h, nil
}

// errChanged is why a file is refused that was right at the start.
var errChanged = errors.New("it is not what was verified when the box was armed\nhint: arm the box again, if somebody built it anew")

func identify(f *os.File) (fileID, error) {
	info, err := f.Stat()
	if err != nil {
		return fileID{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return fileID{}, errors.New("it is no plain file")
	}
	return fileID{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}, nil
}

// oneLine is an error without its hint, for an event.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
