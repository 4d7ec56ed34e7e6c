package update

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tench/supervisor/system"
)

// epochName is a file below State: the epoch of the newest release that was
// confirmed here, in seconds since 1970, e.g. "1763683200\n". A stranger with an
// old release that was signed once, and has a hole, must not get it in by way of a
// release between. PID 1 raises it when a slot is confirmed, and at each start in
// the good slot, so that it also knows a release that was left by `tenchd slots
// use`; an update lowers it to what it was allowed to go back to.
const epochName = "update-epoch"

// least is the epoch below which an image is a downgrade: what runs, or the
// newest that was confirmed before. Equal ones are none, since the builds of
// one release share its epoch.
func (u *Updater) least() int64 { return max(u.Epoch, u.stored()) }

// stored is the recorded epoch; 0 where there is none that can be read.
func (u *Updater) stored() int64 {
	n, err := readEpoch(u.State)
	if err != nil {
		u.Log("%v", err)
	}
	return n
}

// record stores the epoch below which an image is a downgrade from now on.
func (u *Updater) record(epoch int64) error {
	if epoch == u.stored() {
		return nil
	}
	if err := writeEpoch(u.State, epoch); err != nil {
		return fmt.Errorf("update: %w\nhint: is the data partition full, missing or read-only? see `tenchd status`", err)
	}
	return nil
}

// Confirmed notes in the folder state that a release of this epoch runs and is
// confirmed: from now on what is older is a downgrade. A record that cannot be
// read is written anew.
func Confirmed(state string, epoch int64) error {
	if n, err := readEpoch(state); err == nil && n >= epoch {
		return nil
	}
	if err := writeEpoch(state, epoch); err != nil {
		return fmt.Errorf("update: note the confirmed release: %w", err)
	}
	return nil
}

// readEpoch reads the record, which is 0 where there is none. It is replaced in
// one step, so that only a dying disk damages it.
func readEpoch(state string) (int64, error) {
	path := filepath.Join(state, epochName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is no number", path, text)
	}
	return n, nil
}

func writeEpoch(state string, epoch int64) error {
	return system.WriteSynced(filepath.Join(state, epochName), fmt.Appendf(nil, "%d\n", epoch), 0o644)
}
