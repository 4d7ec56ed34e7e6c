package build

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tench/boards"
	"tench/build/cache"
	"tench/config"
	"tench/internal/nearest"
	"tench/internal/tomlfile"
	"tench/release"
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
	if err := CheckPorts(p.b, path, cfg); err != nil {
		return nil, err
	}
	p.inputs = append(p.inputs, release.Used{Name: "router.toml", Kind: "config", SHA256: cache.HashBytes(data), Size: int64(len(data))})
	return data, nil
}

// CheckPorts refuses labels that are not on the board's case. file is the
// router.toml's name in messages.
func CheckPorts(b boards.Board, file string, cfg config.Config) error {
	var labels []string
	for _, port := range b.Ports {
		labels = append(labels, port.Label)
	}
	hint := "its ports: " + strings.Join(labels, ", ")
	var ps tomlfile.Problems
	for _, i := range cfg.Interfaces {
		label := i.Device.Port
		if label == "" || slices.Contains(labels, label) {
			continue
		}
		p := tomlfile.Problem{File: file, Line: i.Line, Hint: hint,
			Text: fmt.Sprintf("interface.%s.device: board %s has no port %q", i.Name, b.Name, label)}
		if near := nearest.Of(label, labels); near != "" {
			p.Hint = fmt.Sprintf("did you mean %q? %s", near, hint)
		}
		ps = append(ps, p)
	}
	return ps.OrNil()
}
