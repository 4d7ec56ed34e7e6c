package tench

import (
	"go/build"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers is who may import whom, among our own packages (see ARCHITECTURE.md).
// A package that is not here fails the test: decide where it belongs first.
var layers = map[string][]string{
	"internal/echo":       {},
	"internal/nearest":    {},
	"internal/procgroup":  {},
	"internal/rawudp":     {},
	"internal/tomlfile":   {"internal/nearest"},
	"internal/flist":      {"internal/tomlfile"},
	"internal/sshline":    {},
	"internal/syncfs":     {},
	"internal/volume":     {},
	"internal/remote":     {"internal/sshline"},
	"boards":              {"internal/nearest", "internal/tomlfile"},
	"config":              {"internal/nearest", "internal/tomlfile"},
	"release":             {"internal/nearest", "internal/tomlfile"},
	"release/sbom":        {"release"},
	"release/signify":     {},
	"release/netboot":     {},
	"release/writestream": {},
	"internal/slottest":   {"release", "release/signify"},
	"release/slotimage":   {"release", "release/signify"},
	"release/transfer":    {"release/slotimage"},
	"release/rollout":     {"internal/remote", "release", "release/signify", "release/slotimage", "release/transfer"},
	"release/audit":       {"release", "release/sbom", "release/signify"},
	"release/dist":        {"internal/syncfs", "release", "release/sbom"},
	"release/publish":     {"internal/remote", "release"},
	"overlays":            {"internal/flist", "boards"},
	"identity":            {"release/signify"},
	"backup":              {},
	"backup/sealed":       {"backup"},

	"build/source":    {"release", "release/signify"},
	"build/cache":     {"internal/syncfs", "release"},
	"build/bundle":    {},
	"build/farm":      {},
	"build/kernel":    {"internal/nearest", "internal/procgroup", "boards", "release", "build/source", "build/cache", "build/farm", "build/isa"},
	"build/userland":  {"boards", "release", "build/source", "build/cache"},
	"build/isa":       {},
	"build/cross":     {"internal/procgroup", "boards", "release", "build/isa", "build/farm"},
	"build/rootfs":    {"internal/flist", "boards", "overlays", "config", "build/isa"},
	"build/disk":      {"backup", "boards", "build/isa"},
	"build/loaders":   {"release/netboot"},
	"build/imagediff": {},
	"build/flash":     {"internal/volume", "boards", "identity", "release", "release/signify", "release/writestream", "build/disk"},
	"build": {"internal/flist", "internal/nearest", "internal/syncfs", "internal/tomlfile", "boards", "overlays", "config", "release", "release/netboot", "release/sbom", "release/slotimage", "build/source", "build/cache", "build/bundle",
		"build/farm", "build/kernel", "build/cross", "build/userland", "build/rootfs", "build/disk", "build/loaders"},

	"supervisor/system":   {},
	"supervisor/unit":     {"config"},
	"supervisor/slots":    {"supervisor/system"},
	"supervisor/crash":    {"supervisor/system"},
	"supervisor/packed":   {},
	"supervisor/health":   {"supervisor/system"},
	"supervisor/reach":    {"config", "supervisor/unit"},
	"supervisor/desired":  {"config", "supervisor/unit"},
	"supervisor/netstate": {"supervisor/system", "supervisor/unit", "supervisor/desired"},
	"supervisor/proc":     {"supervisor/system", "supervisor/unit"},
	"supervisor/dhcp":     {"internal/rawudp", "config", "supervisor/system", "supervisor/unit"},
	"supervisor/clock":    {"config", "supervisor/system", "supervisor/unit"},
	"supervisor/update":   {"config", "identity", "release", "release/signify", "release/slotimage", "release/transfer", "supervisor/health", "supervisor/system", "supervisor/unit"},
	"supervisor/status":   {"internal/nearest", "supervisor/unit"},
	"supervisor/console":  {"supervisor/unit", "supervisor/status", "supervisor/slots", "supervisor/health"},
	"supervisor/install":  {"internal/volume", "boards", "release/netboot", "release/slotimage", "release/writestream", "supervisor/slots", "supervisor/system"},
	"supervisor/door":     {"internal/nearest", "internal/sshline", "identity", "supervisor/status", "supervisor/system"},
	"supervisor": {"backup", "boards", "config", "release", "release/netboot", "supervisor/install", "supervisor/system", "supervisor/unit", "supervisor/desired",
		"supervisor/netstate", "supervisor/proc", "supervisor/dhcp", "supervisor/clock", "supervisor/update",
		"supervisor/status", "supervisor/console", "supervisor/door", "supervisor/slots", "supervisor/health", "supervisor/crash", "supervisor/reach"},

	"pxe/event":    {"release/netboot"},
	"pxe/dhcp":     {"internal/rawudp", "pxe/event"},
	"pxe/tftp":     {"pxe/event"},
	"pxe/boxes":    {"internal/nearest", "internal/tomlfile", "pxe/event"},
	"pxe/view":     {"boards", "release", "pxe/boxes", "pxe/event", "pxe/tftp"},
	"pxe/track":    {"pxe/event", "release/netboot"},
	"pxe/web":      {"pxe/event", "pxe/track", "release/netboot", "release/writestream"},
	"pxe":          {"internal/nearest", "boards", "release", "release/audit", "release/netboot", "release/writestream", "pxe/boxes", "pxe/dhcp", "pxe/event", "pxe/tftp", "pxe/track", "pxe/view", "pxe/web"},
	"pxe/selftest": {"boards", "release", "release/audit", "release/netboot", "release/writestream", "pxe", "pxe/boxes", "pxe/dhcp", "pxe/event", "pxe/tftp"},

	"cmd/tench": {"internal/echo", "internal/remote", "backup", "backup/sealed", "boards", "config", "identity", "overlays", "build", "build/disk", "build/flash", "build/imagediff", "release", "release/audit", "release/dist",
		"release/publish", "release/rollout", "release/signify",
		"release/netboot", "pxe", "pxe/boxes", "pxe/dhcp", "pxe/event", "pxe/selftest", "pxe/track"},
	"cmd/tenchd": {"internal/echo", "boards", "config", "identity", "supervisor", "supervisor/packed", "supervisor/status", "supervisor/console", "supervisor/door", "supervisor/update"},

	"internal/lab":      {},
	"internal/lab/link": {"internal/lab"},
	"labs":              {"boards", "release", "internal/lab"},
}

func TestLayers(t *testing.T) {
	for _, dir := range packages(t) {
		allowed, known := layers[dir]
		if !known {
			t.Errorf("%s: this package is not in the table of layers_test.go", dir)
			continue
		}
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range pkg.Imports {
			own, ours := strings.CutPrefix(imp, "tench/")
			if ours && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, which layers_test.go does not allow", dir, own)
			}
		}
	}
}

// packages lists the folders below the root that hold Go code other than tests.
func packages(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "out" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		isCode := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
		if dir := filepath.Dir(path); isCode && dir != "." && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}
