package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// SBOMFile lists what this image is made of.
const SBOMFile = "/etc/tench/sbom.json"

// SBOM is a software bill of materials in CycloneDX's JSON form (ECMA-424), as
// much of it as a box shows.
type SBOM struct {
	Components []Component
	SHA256     string // of the file, in lower-case hex
	Text       []byte // the file
}

// Component is a part of the image.
type Component struct {
	Name, Version string
	Licence       string // SPDX, e.g. "MIT"; "" where the SBOM has none
}

// ReadSBOM reads the SBOM in file.
func ReadSBOM(file string) (SBOM, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return SBOM{}, fmt.Errorf("sbom: %w\nhint: this image was built without one", err)
	}
	if err != nil {
		return SBOM{}, fmt.Errorf("sbom: %w", err)
	}
	s, err := parseSBOM(data)
	if err != nil {
		return SBOM{}, fmt.Errorf("sbom: read %s: %w", file, err)
	}
	return s, nil
}

// rawSBOM is a bill as written (CycloneDX 1.4 and later).
type rawSBOM struct {
	Format     string `json:"bomFormat"`
	Components []struct {
		Name     string `json:"name"`
		Version  string `json:"version"`
		Licences []struct {
			Expression string `json:"expression"`
			Licence    struct {
				ID   string `json:"id"`
				Name string `json:"name"`
			} `json:"license"`
		} `json:"licenses"`
	} `json:"components"`
}

func parseSBOM(data []byte) (SBOM, error) {
	var raw rawSBOM
	if err := json.Unmarshal(data, &raw); err != nil {
		return SBOM{}, err
	}
	if raw.Format != "CycloneDX" {
		return SBOM{}, fmt.Errorf("bomFormat is %q, not CycloneDX", raw.Format)
	}
	sum := sha256.Sum256(data)
	s := SBOM{SHA256: hex.EncodeToString(sum[:]), Text: data}
	for _, c := range raw.Components {
		var licences []string
		for _, l := range c.Licences {
			licences = append(licences, l.Expression+l.Licence.ID+l.Licence.Name) // one of the three
		}
		s.Components = append(s.Components, Component{c.Name, c.Version, strings.Join(licences, ", ")})
	}
	return s, nil
}
