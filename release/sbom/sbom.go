// Package sbom writes the bill of materials of an image: CycloneDX 1.6 (ECMA-424)
// in JSON, as it lies in the image at /etc/tench/sbom.json and beside it.
//
//	sbom.go      Image, Source, Program and Write
//	document.go  the parts of CycloneDX that we use
//	modules.go   the Go modules of a built program
//	read.go      Read: names and versions, for comparing two releases
//
// Nothing in it comes from a clock or a random number: references are names, and
// the serial number is derived from all the rest. Equal images have equal bytes.
package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"tench/release"
)

// Image is what a bill of materials tells about.
type Image struct {
	Board    string // e.g. "alix2d3"
	Release  string // e.g. "2026.11"
	Sources  []Source
	Programs []Program
}

// Source is a recipe that something in the image was made of.
type Source struct {
	Recipe release.Recipe
	Type   Type
	Files  []SourceFile
}

// SourceFile is a file that was had for a recipe.
type SourceFile struct {
	Name    string // e.g. "bird2_2.0.12.orig.tar.gz"
	Version string // upstream's; another than the recipe's when it was followed
	SHA256  string // lower-case hex
	Part    string // of the recipe, e.g. "source"
}

// Program is a program in Go.
type Program struct {
	Name    string // e.g. "tenchd"
	Version string
	Licence string // SPDX expression
	SHA256  string // of the program, lower-case hex
	Go      string // version of its standard library, e.g. "go1.26.8"
	Modules []debug.Module
}

// Type is CycloneDX's classification of a component.
type Type string

// The types that we use.
const (
	Application     Type = "application"
	Firmware        Type = "firmware"
	Library         Type = "library"
	OperatingSystem Type = "operating-system"
)

// Write returns the document without white space.
func Write(img Image) ([]byte, error) {
	d := document{Format: "CycloneDX", Spec: "1.6", Version: 1}
	root := component{Type: Firmware, Ref: "image", Name: "tench-" + img.Board, Version: img.Release}
	d.Metadata.Component = root
	top := dependency{Ref: root.Ref}
	for _, s := range img.Sources {
		top.On = append(top.On, s.Recipe.Name)
		d.Components = append(d.Components, s.component())
		d.Dependencies = append(d.Dependencies, dependency{Ref: s.Recipe.Name, On: sorted(s.Recipe.Build.Needs)})
	}
	for _, p := range img.Programs {
		top.On = append(top.On, p.Name)
		d.Components = append(d.Components, p.component())
		d.Dependencies = append(d.Dependencies, p.dependency())
		d.Components = append(d.Components, p.modules()...)
	}
	top.On = sorted(top.On)
	d.Dependencies = append(d.Dependencies, top)
	d.sort()
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("sbom: %w", err)
	}
	bare, err := encode(d)
	if err != nil {
		return nil, fmt.Errorf("sbom: %w", err)
	}
	d.Serial = "urn:uuid:" + uuid(bare)
	return encode(d)
}

// Indent is the document for people.
func Indent(compact []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("sbom: %w", err)
	}
	return b.Bytes(), nil
}

func encode(d document) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // package URLs have ampersands
	err := e.Encode(d)
	return b.Bytes(), err
}

// uuid is a name-based UUID with SHA-256: version 8 of RFC 9562, section 5.8,
// as its appendix B.2 shows.
func uuid(data []byte) string {
	h := sha256.Sum256(data)
	h[6] = h[6]&0x0f | 0x80
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

func (s Source) component() component {
	c := component{Type: s.Type, Ref: s.Recipe.Name, Name: s.Recipe.Name, Version: s.Recipe.Version,
		Licences: []licence{{s.Recipe.Licence}}}
	for _, f := range s.Files {
		c.Version = f.Version
		c.References = append(c.References, reference{Type: "source-distribution", URL: s.urlOf(f), Hashes: []hash{{"SHA-256", f.SHA256}}})
	}
	c.PURL = s.purl(c.Version)
	for _, p := range s.Recipe.Patches {
		if c.Pedigree == nil {
			c.Pedigree = &pedigree{}
		}
		c.Pedigree.Patches = append(c.Pedigree.Patches, s.patch(p))
	}
	return c
}

// patch is one of our own, or one that Debian took from a later version. A patch
// has no hash in CycloneDX; a fragment of its URL may be one.
func (s Source) patch(p release.Patch) patch {
	if p.Part == "" {
		return patch{Type: "unofficial", Diff: diff{URL: "release/recipes/" + s.Recipe.Name + "/patches/" + p.Name + "#sha256=" + p.SHA256}}
	}
	in := p.Part
	for _, f := range s.Files {
		if f.Part == p.Part {
			in = s.urlOf(f)
		}
	}
	return patch{Type: "backport", Diff: diff{URL: in + "#" + (&url.URL{Fragment: "patches/" + p.Name + "&sha256=" + p.SHA256}).EscapedFragment()}}
}

// urlOf is where anybody can have the file; where this build had it from, e.g. a
// mirror folder, would differ between machines.
func (s Source) urlOf(f SourceFile) string {
	for _, known := range s.Recipe.Files {
		if known.SHA256 != f.SHA256 {
			continue
		}
		for _, l := range known.Locations {
			if l.URL != "" {
				return l.URL
			}
		}
	}
	return f.Name
}

// purl is the package URL: Debian's package where the recipe has just one of its
// files, else a generic one.
func (s Source) purl(version string) string {
	if len(s.Files) == 1 {
		if name, ok := strings.CutSuffix(s.Files[0].Name, ".deb"); ok {
			if f := strings.Split(name, "_"); len(f) == 3 {
				return fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", escape(f[0]), escape(f[1]), escape(f[2]))
			}
		}
	}
	return fmt.Sprintf("pkg:generic/%s@%s", escape(s.Recipe.Name), escape(version))
}

func (p Program) component() component {
	return component{Type: Application, Ref: p.Name, Name: p.Name, Version: p.Version, Licences: []licence{{p.Licence}},
		PURL: fmt.Sprintf("pkg:generic/%s@%s", escape(p.Name), escape(p.Version)), Hashes: []hash{{"SHA-256", p.SHA256}}}
}

func (p Program) dependency() dependency {
	d := dependency{Ref: p.Name}
	for _, c := range p.modules() {
		d.On = append(d.On, c.Ref)
	}
	d.On = sorted(d.On)
	return d
}

// modules are the program's Go modules and the standard library.
func (p Program) modules() []component {
	version := strings.TrimPrefix(p.Go, "go")
	list := []component{{Type: Library, Ref: "stdlib@" + version, Name: "stdlib", Version: version, Licences: []licence{{"BSD-3-Clause"}},
		PURL: "pkg:golang/stdlib@" + escape(version)}}
	for _, m := range p.Modules {
		if m.Replace != nil {
			m = *m.Replace
		}
		c := component{Type: Library, Ref: m.Path + "@" + m.Version, Name: m.Path, Version: m.Version, PURL: modulePURL(m)}
		if m.Sum != "" {
			c.Properties = []property{{"tench:go.sum", m.Sum}}
		}
		list = append(list, c)
	}
	return list
}

// modulePURL is the package URL of type golang, whose names are lower case.
func modulePURL(m debug.Module) string {
	var names []string
	for _, n := range strings.Split(strings.ToLower(path.Clean(m.Path)), "/") {
		names = append(names, escape(n))
	}
	return "pkg:golang/" + strings.Join(names, "/") + "@" + escape(m.Version)
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
