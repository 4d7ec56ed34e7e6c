package release

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// Schema is the version of the manifest's format. It rises when a reader of
// the older format would misread the newer one.
const Schema = 1

// Manifest is manifest.json: what a build was made of and what it made.
type Manifest struct {
	Schema   int       `json:"schema"`
	Board    string    `json:"board"`
	Release  string    `json:"release"` // e.g. "2026.11"
	Epoch    int64     `json:"epoch"`   // seconds since 1970; the time of every file in the image
	Inputs   []Used    `json:"inputs"`
	Products []Product `json:"products"`
	Steps    []Ran     `json:"steps"` // in the order they ran
}

// Used is one input of a build.
type Used struct {
	Name     string `json:"name"` // e.g. "linux source"
	Kind     string `json:"kind"` // e.g. "source", "patch", "fragment"
	Version  string `json:"version,omitempty"`
	SHA256   string `json:"sha256"`
	Size     int64  `json:"size"`               // bytes
	From     string `json:"from,omitempty"`     // where it was had from
	Followed bool   `json:"followed,omitempty"` // not the pinned version: the archive's current one of the series
	// Development is a folder as it was at the time of the build: SHA256 is over
	// all that was in it, Version is the recipe's, and nobody can build it again.
	Development bool `json:"development,omitempty"`
}

// Product is one file a build made.
type Product struct {
	File   string `json:"file"` // name, without a folder
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Ran is one step of a build.
type Ran struct {
	Name string `json:"name"`
	Key  string `json:"key"`
	Hit  bool   `json:"hit"` // its product was in the cache
}

// Write puts the manifest at path, whole or not at all. Inputs and products
// are sorted, so that the same build always gives the same bytes.
func (m Manifest) Write(path string) error {
	m.Schema = Schema
	m.Inputs = slices.Clone(m.Inputs)
	slices.SortFunc(m.Inputs, func(a, b Used) int {
		return strings.Compare(a.Kind+"\x00"+a.Name+"\x00"+a.SHA256, b.Kind+"\x00"+b.Name+"\x00"+b.SHA256)
	})
	m.Products = sorted(m.Products)
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := renameio.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("manifest: write %s: %w", path, err)
	}
	return nil
}

// ReadManifest reads the manifest at path. A schema it does not know and keys
// it does not know are errors.
func ReadManifest(path string) (Manifest, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Manifest{}, fmt.Errorf("manifest: read %s: %w", path, err)
	}
	if head.Schema != Schema {
		return Manifest{}, fmt.Errorf("manifest: %s has schema %d, this tench reads schema %d\nhint: use the tench that built it, or build again", path, head.Schema, Schema)
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("manifest: read %s: %w", path, err)
	}
	return m, nil
}

// WriteSums puts the hashes of products at path, in the format that
// `sha256sum --check` reads beside the files.
func WriteSums(path string, products []Product) error {
	var b bytes.Buffer
	for _, p := range sorted(products) {
		// sha256sum escapes such names; ours have no business being so.
		if !fileRE.MatchString(p.File) {
			return fmt.Errorf("checksums: %q is not a file name", p.File)
		}
		fmt.Fprintf(&b, "%s  %s\n", p.SHA256, p.File)
	}
	if err := renameio.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("checksums: write %s: %w", path, err)
	}
	return nil
}

func sorted(products []Product) []Product {
	products = slices.Clone(products)
	slices.SortFunc(products, func(a, b Product) int { return strings.Compare(a.File, b.File) })
	return products
}
