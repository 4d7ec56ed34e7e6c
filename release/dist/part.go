package dist

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tench/release"
	"tench/release/sbom"
)

// part is a board of a release, as its files tell.
type part struct {
	name, title string
	sizes       sizes
	components  []sbom.Component
	patches     map[string]bool   // what sources were patched with, e.g. "openvpn debian/CVE-2026-13117.patch sha256=4c8b3a9f0d12"
	options     map[string]string // kernel options that are not off: CONFIG_X -> value
	files       map[string]bool   // of the root, e.g. "./bin/bird"
}

// sizes are bytes.
type sizes struct {
	slot   int64 // kernel and initramfs
	image  int64
	packed int64
}

// readParts reads the boards of the release in dir.
func readParts(x release.Index, dir string) ([]part, error) {
	packed := map[string]int64{}
	for _, f := range x.Files {
		packed[f.File] = f.Size
	}
	var list []part
	for _, b := range x.Boards {
		p, err := readPart(b, dir)
		if err != nil {
			return nil, err
		}
		p.sizes.packed = packed[release.PackedImageName(b.Name)]
		list = append(list, p)
	}
	return list, nil
}

func readPart(b release.IndexBoard, dir string) (part, error) {
	p := part{name: b.Name, title: b.Title, patches: map[string]bool{}, options: map[string]string{}, files: map[string]bool{}}
	m, err := release.ReadManifest(filepath.Join(dir, release.ManifestName(b.Name)))
	if err != nil {
		return part{}, err
	}
	p.sizes.image = m.Product(release.ImageName(b.Name)).Size
	p.sizes.slot = m.Product(release.KernelName(b.Name)).Size + m.Product(release.InitrdName(b.Name)).Size
	for _, in := range m.Inputs {
		if in.Kind == "patch" {
			p.patches[in.Name+" sha256="+in.SHA256[:min(12, len(in.SHA256))]] = true
		}
	}
	if p.components, err = sbom.Read(filepath.Join(dir, release.SBOMName(b.Name))); err != nil {
		return part{}, err
	}
	err = lines(filepath.Join(dir, release.ConfigName(b.Name)), func(line string) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, "CONFIG_") {
			p.options[name] = value
		}
	})
	if err != nil {
		return part{}, err
	}
	err = lines(filepath.Join(dir, release.FilesName(b.Name)), func(line string) {
		if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, "./") {
			p.files[name] = true
		}
	})
	return p, err
}

// lines hands each line of a file to each.
func lines(path string, each func(line string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		each(s.Text())
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
