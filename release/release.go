package release

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tench/internal/tomlfile"
)

// Release names what is built: its name goes into images and crash reports,
// its epoch is the time of every file in them.
type Release struct {
	Name  string    // e.g. "2026.11"
	Epoch time.Time // UTC
}

// LoadRelease reads dir/release.toml.
func LoadRelease(dir string) (Release, error) {
	path := filepath.Join(dir, "release.toml")
	data, err := os.ReadFile(path)
	if err != nil {
		return Release{}, fmt.Errorf("release: %w", err)
	}
	var raw struct {
		Name  string    `toml:"name"`
		Epoch time.Time `toml:"epoch"`
	}
	f, err := tomlfile.Decode(path, data, &raw)
	if err != nil {
		return Release{}, err
	}
	var ps tomlfile.Problems
	if raw.Name == "" {
		ps = append(ps, tomlfile.Problem{File: path, Line: f.Line("name"), Text: "name: a release needs one"})
	}
	if raw.Epoch.Year() < 2020 {
		ps = append(ps, tomlfile.Problem{File: path, Line: f.Line("epoch"), Text: "epoch: a time since 2020 is needed, e.g. 2026-11-01T00:00:00Z"})
	}
	return Release{Name: raw.Name, Epoch: raw.Epoch.UTC()}, ps.OrNil()
}
