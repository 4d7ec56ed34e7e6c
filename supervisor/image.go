package supervisor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tench/release/netboot"
	"tench/supervisor/slots"
	"tench/supervisor/status"
)

// imageNodes tell which image this box was booted from: board, release, slot,
// time of the build, and what the SBOM counts. There is none outside of an
// image, as in a lab. root is "/".
func imageNodes(root string) []status.Node {
	text, err := os.ReadFile(filepath.Join(root, buildFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	build, err2 := parseBuildInfo(text)
	words, err3 := os.ReadFile(filepath.Join(root, "/proc/cmdline"))
	args, err4 := slots.ParseCmdline(string(words))
	n := status.Node{Name: "image", State: cmp.Or(build.Release, "unknown"), OK: true, Facts: map[string]string{"release": build.Release}}
	if err := cmp.Or(err, err2, err3, err4); err != nil {
		n.OK, n.Cause = false, err.Error()
	}
	add := func(name, value, text string) {
		if value != "" {
			n.Facts[name] = value
			n.Detail = append(n.Detail, text)
		}
	}
	boot, err5 := readNetboot(root)
	if err5 != nil {
		n.OK, n.Cause = false, err5.Error()
	}
	add("board", build.Board, "board "+build.Board)
	add("slot", args.Slot, "slot "+args.Slot)
	if boot.Mode == netboot.Run {
		add("diskless", "yes", "diskless: gone when switched off")
	}
	epoch := time.Unix(build.Epoch, 0).UTC().Format(time.RFC3339)
	add("epoch", epoch, "epoch "+epoch)
	sbom, err := ReadSBOM(filepath.Join(root, SBOMFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.Detail = append(n.Detail, "no SBOM")
	case err != nil:
		n.OK, n.Cause = false, cmp.Or(n.Cause, err.Error())
	default:
		count := fmt.Sprint(len(sbom.Components))
		add("sbom-components", count, "SBOM of "+count+" components")
		add("sbom-sha256", sbom.SHA256, "SHA-256 "+sbom.SHA256[:shownHash]+"...")
	}
	return []status.Node{n}
}

// shownHash is how many digits of a hash people are shown beside other things:
// the whole is wider than a table.
const shownHash = 16
