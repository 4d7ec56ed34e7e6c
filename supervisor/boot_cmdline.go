package supervisor

import (
	"encoding/json"
	"fmt"
	"time"
)

// buildInfo is /etc/tench/build.json: what this image is.
type buildInfo struct {
	Board   string `json:"board"`   // e.g. "qemu-amd64"
	Release string `json:"release"` // e.g. "0.1.0"
	Epoch   int64  `json:"epoch"`   // seconds since 1970: no clock of this box can be earlier
}

func parseBuildInfo(data []byte) (buildInfo, error) {
	var b buildInfo
	if err := json.Unmarshal(data, &b); err != nil {
		return buildInfo{}, fmt.Errorf("build.json: %w", err)
	}
	return b, nil
}

// readyLine is what a box says once on its console, e.g. "tench: ready in
// 1.234 s (kernel 0.9 s) slot=a; missing: dhcp wan". total counts from the
// start of the kernel, kernel is the part of it before PID 1, and from what startedFrom
// says.
func readyLine(total, kernel time.Duration, from, missing string) string {
	line := fmt.Sprintf("tench: ready in %.3f s (kernel %.1f s)", total.Seconds(), kernel.Seconds())
	if from != "" {
		line += " " + from
	}
	if missing != "" {
		line += "; missing: " + missing
	}
	return line
}
