package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"tench/release"
	"tench/release/sbom"
)

// manifest checks manifest.json: a release's names boards, a build's inputs.
func (a *auditor) manifest() {
	const file = release.ManifestFile
	data, err := readSmall(a.path(file))
	if err != nil {
		a.found(file, "%v", withoutPath(err))
		return
	}
	var head struct {
		Boards json.RawMessage `json:"boards"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		a.found(file, "%v", err)
		return
	}
	if head.Boards != nil {
		a.index()
		return
	}
	m, err := release.ReadManifest(a.path(file))
	if err != nil {
		a.found(file, "%s", oneLine(err))
		return
	}
	a.products(file, m.Products)
	a.complete(file, m.Products)
	a.require(m.Board, release.ImageName(m.Board))
	a.sbom(m.Board)
}

// index checks a release's manifest.json and those of its boards.
func (a *auditor) index() {
	const file = release.ManifestFile
	x, err := release.ReadIndex(a.path(file))
	if err != nil {
		a.found(file, "%s", oneLine(err))
		return
	}
	a.products(file, x.Files)
	a.complete(file, x.Files)
	if _, listed := a.sums[file]; !listed {
		a.found(file, "is not listed in %s", release.SumsFile)
	}
	for _, b := range x.Boards {
		if !fileName(b.Name) {
			a.found(file, "%q is not a board's name", b.Name)
			continue
		}
		for _, name := range []string{release.PackedImageName(b.Name), release.SlotName(b.Name), release.KernelName(b.Name), release.InitrdName(b.Name),
			release.ConfigName(b.Name), release.FilesName(b.Name), release.ManifestName(b.Name)} {
			a.require(b.Name, name)
		}
		a.sbom(b.Name)
		a.board(b.Name, x)
	}
}

// board checks a board's manifest within a release.
func (a *auditor) board(name string, x release.Index) {
	file := release.ManifestName(name)
	if _, whole := a.sizes[file]; !whole {
		return // told already
	}
	m, err := release.ReadManifest(a.path(file))
	if err != nil {
		a.found(file, "%s", oneLine(err))
		return
	}
	if m.Board != name || m.Release != x.Release || m.Epoch != x.Epoch {
		a.found(file, "is of board %s, release %s, epoch %d; %s says %s, %s, %d",
			m.Board, m.Release, m.Epoch, release.ManifestFile, name, x.Release, x.Epoch)
	}
	image := m.Product(release.ImageName(name))
	a.packed(release.PackedImageName(name), image)
	a.products(file, slices.DeleteFunc(m.Products, func(p release.Product) bool { return p.File == image.File }))
}

// packed checks that an image unpacks to the one that its manifest names.
func (a *auditor) packed(file string, image release.Product) {
	size, whole := a.sizes[file]
	if !whole {
		return
	}
	f, _, err := openRegular(a.path(file))
	if err != nil {
		a.found(file, "%v", withoutPath(err))
		return
	}
	defer f.Close()
	z, err := zstd.NewReader(a.counted(f, "unpack "+file, size), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		a.found(file, "unpack: %v", err)
		return
	}
	defer z.Close()
	h := sha256.New()
	// One byte more than it should have shows that it is longer.
	n, err := io.Copy(h, io.LimitReader(z, image.Size+1))
	hash := hex.EncodeToString(h.Sum(nil))
	switch {
	case a.ctx.Err() != nil:
	case err != nil:
		a.found(file, "unpack: %v", err)
	case n != image.Size:
		a.found(file, "does not unpack to the %d bytes of %s", image.Size, image.File)
	case hash != image.SHA256:
		a.found(file, "unpacks to an image with the SHA-256 %s, %s should have %s", hash, image.File, image.SHA256)
	}
}

// products compares what the manifest in file says with SHA256 and the files.
func (a *auditor) products(file string, list []release.Product) {
	for _, p := range list {
		sum, listed := a.sums[p.File]
		size, whole := a.sizes[p.File]
		switch {
		case !listed:
			a.found(file, "names %q, which %s does not list", p.File, release.SumsFile)
		case sum != p.SHA256:
			a.found(file, "has another SHA-256 of %s than %s", p.File, release.SumsFile)
		case whole && size != p.Size:
			a.found(file, "says that %s has %d bytes, it has %d", p.File, p.Size, size)
		}
	}
}

// complete finds files that SHA256 lists and the manifest does not.
func (a *auditor) complete(file string, list []release.Product) {
	for _, name := range sortedKeys(a.sums) {
		known := slices.ContainsFunc(list, func(p release.Product) bool { return p.File == name })
		if !known && name != release.ManifestFile && name != release.ListingFile {
			a.found(file, "does not know %s, which %s lists", name, release.SumsFile)
		}
	}
}

// require finds a product missing that each board has.
func (a *auditor) require(board, file string) bool {
	_, listed := a.sums[file]
	if !listed {
		a.found(file, "is missing: board %s should have it", board)
	}
	return listed
}

// sbom checks that a board has its bill of materials, and one that is readable.
func (a *auditor) sbom(board string) {
	file := release.SBOMName(board)
	if !a.require(board, file) {
		return
	}
	if _, whole := a.sizes[file]; !whole {
		return
	}
	parts, err := sbom.Read(a.path(file))
	if err == nil && len(parts) == 0 {
		err = fmt.Errorf("sbom: lists no components")
	}
	if err != nil {
		a.found(file, "%s", oneLine(err))
	}
}

// fileName reports whether a name leads to no other folder.
func fileName(name string) bool {
	return name != "" && !strings.ContainsAny(name, "/\x00\n")
}

// oneLine is an error without its hint.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
