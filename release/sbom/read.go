package sbom

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Component is a part of an image, by name and version.
type Component struct {
	Name    string
	Version string
	Licence string // SPDX expression; "" where it is not told
	Module  bool   // a Go module or Go's standard library
}

// Read returns the components of the document at path in the order of their
// names.
func Read(path string) ([]Component, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sbom: %w", err)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("sbom: read %s: %w", path, err)
	}
	if d.Format != "CycloneDX" {
		return nil, fmt.Errorf("sbom: %s has bomFormat %q, not \"CycloneDX\"", path, d.Format)
	}
	var list []Component
	for _, c := range d.Components {
		part := Component{Name: c.Name, Version: c.Version, Module: strings.HasPrefix(c.PURL, "pkg:golang/")}
		for _, l := range c.Licences {
			part.Licence = l.Expression
		}
		list = append(list, part)
	}
	slices.SortStableFunc(list, func(a, b Component) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
