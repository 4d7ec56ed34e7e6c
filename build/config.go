package build

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tench/config"
	"tench/internal/tomlfile"
	"tench/release"

	"tench/build/cache"
)

// routerConfig reads and checks the box's router.toml: what the box would
// refuse, and what this board does not have.
func (p *plan) routerConfig() ([]byte, error) {
	path := p.o.Config
	if path == "" {
		path = filepath.Join(p.b.Dir, "router.toml")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	cfg, err := config.Parse(path, data)
	if err != nil {
		return nil, err
	}
	if err := p.checkPorts(path, cfg); err != nil {
		return nil, err
	}
	p.inputs = append(p.inputs, release.Used{Name: "router.toml", Kind: "config", SHA256: cache.HashBytes(data), Size: int64(len(data))})
	return data, nil
}

// checkPorts refuses labels that are not on the board's case.
func (p *plan) checkPorts(path string, cfg config.Config) error {
	var labels []string
	for _, port := range p.b.Ports {
		labels = append(labels, port.Label)
	}
	var ps tomlfile.Problems
	for _, i := range cfg.Interfaces {
		if i.Device.Port != "" && !slices.Contains(labels, i.Device.Port) {
			ps = append(ps, tomlfile.Problem{File: path, Line: i.Line,
				Text: fmt.Sprintf("interface.%s.device: board %s has no port %q", i.Name, p.b.Name, i.Device.Port),
				Hint: "its ports: " + strings.Join(labels, ", ")})
		}
	}
	return ps.OrNil()
}
