package sbom

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// document and what follows are the parts of CycloneDX 1.6 that we write.
type document struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber,omitempty"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       Type        `json:"type"`
	Ref        string      `json:"bom-ref"`
	Name       string      `json:"name"`
	Version    string      `json:"version"`
	Hashes     []hash      `json:"hashes,omitempty"`
	Licences   []licence   `json:"licenses,omitempty"`
	PURL       string      `json:"purl,omitempty"`
	Pedigree   *pedigree   `json:"pedigree,omitempty"`
	References []reference `json:"externalReferences,omitempty"`
	Properties []property  `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type licence struct {
	Expression string `json:"expression"` // SPDX
}

type pedigree struct {
	Patches []patch `json:"patches"`
}

type patch struct {
	Type string `json:"type"`
	Diff diff   `json:"diff"`
}

type diff struct {
	URL string `json:"url"`
}

type reference struct {
	Type   string `json:"type"`
	URL    string `json:"url"`
	Hashes []hash `json:"hashes,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn,omitempty"`
}

// sort puts everything in the order of its references, each component once: two
// programs may have a module in common.
func (d *document) sort() {
	slices.SortFunc(d.Components, func(a, b component) int { return strings.Compare(a.Ref, b.Ref) })
	d.Components = slices.CompactFunc(d.Components, func(a, b component) bool { return reflect.DeepEqual(a, b) })
	slices.SortFunc(d.Dependencies, func(a, b dependency) int { return strings.Compare(a.Ref, b.Ref) })
}

// check finds what the schema cannot say: a reference is unique, and what is
// depended on is there.
func (d *document) check() error {
	known := map[string]bool{d.Metadata.Component.Ref: true}
	for _, c := range d.Components {
		if known[c.Ref] {
			return fmt.Errorf("two different components are called %q", c.Ref)
		}
		known[c.Ref] = true
	}
	for _, dep := range d.Dependencies {
		for _, on := range dep.On {
			if !known[on] {
				return fmt.Errorf("%s depends on %s, which is no component", dep.Ref, on)
			}
		}
	}
	return nil
}

// escape is the encoding of a package URL's parts: whatever is neither a letter,
// a digit nor one of ".-_~" becomes %XX.
func escape(s string) string { return url.QueryEscape(s) }
