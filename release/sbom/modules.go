package sbom

import (
	"debug/buildinfo"
	"fmt"
	"runtime/debug"
)

// Modules reads from the program at path which Go it was built with and of which
// modules, its own not among them.
func Modules(path string) (goVersion string, modules []debug.Module, err error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", nil, fmt.Errorf("sbom: read modules of %s: %w", path, err)
	}
	for _, m := range info.Deps {
		modules = append(modules, *m)
	}
	return info.GoVersion, modules, nil
}
