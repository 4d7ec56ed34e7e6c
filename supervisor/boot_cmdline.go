package supervisor

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// cmdline is what the boot loader tells PID 1 on the kernel's command line.
type cmdline struct {
	disk uint32 // tench.disk=1a2b3c4d: disk id of the MBR we booted from; 0 for none
	slot string // tench.slot=a; "" for none
}

// parseCmdline reads /proc/cmdline. The last of equal words wins, as it does
// for the kernel. What is not ours is the kernel's.
func parseCmdline(text string) (cmdline, error) {
	var c cmdline
	for word := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "tench.disk":
			id, err := strconv.ParseUint(value, 16, 32)
			if err != nil || id == 0 {
				return c, fmt.Errorf("cmdline: tench.disk=%s is not a disk id of up to 8 hex digits other than 0", value)
			}
			c.disk = uint32(id)
		case "tench.slot":
			if value != "a" && value != "b" {
				return c, fmt.Errorf("cmdline: tench.slot=%s is not a or b", value)
			}
			c.slot = value
		}
	}
	return c, nil
}

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
// start of the kernel, kernel is the part of it before PID 1.
func readyLine(total, kernel time.Duration, slot, missing string) string {
	line := fmt.Sprintf("tench: ready in %.3f s (kernel %.1f s)", total.Seconds(), kernel.Seconds())
	if slot != "" {
		line += " slot=" + slot
	}
	if missing != "" {
		line += "; missing: " + missing
	}
	return line
}
