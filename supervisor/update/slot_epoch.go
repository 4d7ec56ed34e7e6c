package update

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tench/supervisor/system"
)

// epochName is a file below State: the epoch of the newest release that ran,
// confirmed, when an update was written, in seconds since 1970, e.g.
// "1763683200\n". A stranger with an old release that was signed once, and has a
// hole, must not get it in by way of a release between. What runs counts besides,
// so that nothing need be written when a slot is confirmed; a release that was
// left by `tenchd slots use` before the next update is not remembered.
const epochName = "update-epoch"

// least is the epoch below which an image is a downgrade: what runs, or the
// newest that was confirmed before. Equal ones are none, since the builds of
// one release share its epoch.
func (u *Updater) least() int64 { return max(u.Epoch, u.stored()) }

// stored is the recorded epoch; 0 where there is none that can be read. The
// record is replaced in one step, so that only a dying disk damages it.
func (u *Updater) stored() int64 {
	text, err := os.ReadFile(filepath.Join(u.State, epochName))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		u.Log("%s/%s: %q is no number", u.State, epochName, text)
		return 0
	}
	return n
}

// record stores the epoch below which an image is a downgrade from now on.
func (u *Updater) record(epoch int64) error {
	if epoch == u.stored() {
		return nil
	}
	path := filepath.Join(u.State, epochName)
	if err := system.WriteSynced(path, fmt.Appendf(nil, "%d\n", epoch), 0o644); err != nil {
		return fmt.Errorf("update: %w\nhint: is the data partition full, missing or read-only? see `tenchd status`", err)
	}
	return nil
}
