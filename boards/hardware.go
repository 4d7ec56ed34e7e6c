package boards

import (
	"fmt"
	"slices"
	"strings"
)

// Hardware is what the firmware of a machine calls it; of a board, what it may
// call it. A list that is empty says nothing.
type Hardware struct {
	Vendor     []string // SMBIOS: who made the system or its main board, e.g. "PC Engines"
	Product    []string // SMBIOS: what either of them is called, e.g. "apu2"
	Compatible []string // device tree: what the root is compatible with, e.g. "friendlyarm,nanopi-neo"
}

// Contradiction says in words why a machine whose firmware tells this is another
// one than the board; "" where it may be the board. A machine that tells nothing,
// and a board of which nothing is known, contradict nobody.
func (h Hardware) Contradiction(told Hardware) string {
	for _, part := range []struct {
		what       string
		want, told []string
	}{
		{"vendor", h.Vendor, told.Vendor}, {"product", h.Product, told.Product}, {"device tree", h.Compatible, told.Compatible},
	} {
		names := meant(part.told)
		if len(part.want) > 0 && len(names) > 0 && !shared(part.want, names) {
			return fmt.Sprintf("its firmware tells the %s %s", part.what, quoted(names))
		}
	}
	return ""
}

// Is reports whether a machine whose firmware tells this can only be the board.
func (h Hardware) Is(told Hardware) bool {
	named := shared(h.Product, meant(told.Product)) || shared(h.Compatible, meant(told.Compatible))
	return named && h.Contradiction(told) == ""
}

// Has reports whether the firmware calls the machine by a name, be it a product
// or what it is compatible with.
func (h Hardware) Has(name string) bool {
	return shared([]string{name}, h.Product) || shared([]string{name}, h.Compatible)
}

// Name is the name by which Has finds the machine; "" where it tells none that
// means anything.
func (h Hardware) Name() string {
	if names := meant(slices.Concat(h.Product, h.Compatible)); len(names) > 0 {
		return names[0]
	}
	return ""
}

// shared reports whether two lists have a name in common. Makers change between
// apu2 and APU2 in one firmware.
func shared(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return strings.EqualFold(x, y) })
	})
}

// meaningless is what makers leave in SMBIOS's tables who name nothing, in lower
// case.
var meaningless = []string{"", "none", "n/a", "not specified", "not available", "not applicable", "default string", "to be filled by o.e.m.", "o.e.m.", "oem",
	"system manufacturer", "system product name", "base board manufacturer", "base board product name", "system vendor", "board vendor", "board name",
	"product name", "undefined", "unknown", "invalid", "empty", "0", "xxxxxxxx"}

// meant are the names that were meant to be any.
func meant(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.Contains(meaningless, strings.ToLower(strings.TrimSpace(name)))
	})
}

func quoted(names []string) string {
	var list []string
	for _, name := range names {
		if text := fmt.Sprintf("%q", name); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return strings.Join(list, ", ")
}
