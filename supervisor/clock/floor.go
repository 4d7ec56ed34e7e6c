package clock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tench/supervisor/system"
)

// SetFloor moves the clock forward to the last known time, dir/clock, or to
// epoch, when the release was built, whichever is later; a clock that is later
// still, for instance with a battery, is left alone. It is for the time between
// boot and the first answer of a server, so that the log and TLS are not in
// 1970.
//
// A file that cannot be read is an error, but the clock is moved to epoch
// nevertheless.
func SetFloor(sys system.Clock, dir string, epoch time.Time) error {
	floor := epoch
	saved, err := readFloor(dir)
	if saved.After(floor) {
		floor = saved
	}
	if sys.Now().Before(floor) {
		return errors.Join(err, sys.StepClock(floor))
	}
	return err
}

// readFloor gives the zero time when there is no file.
func readFloor(dir string) (time.Time, error) {
	path := filepath.Join(dir, "clock")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("clock: read the last known time: %w", err)
	}
	t, err := time.Parse(time.RFC3339, strings.TrimSpace(string(data)))
	if err != nil {
		return time.Time{}, fmt.Errorf("clock: read the last known time: %s: %w", path, err)
	}
	return t, nil
}

// writeFloor writes the last known time, e.g. "2026-11-21T10:00:00Z".
func writeFloor(dir string, now time.Time) error {
	if err := system.WriteFile(filepath.Join(dir, "clock"), []byte(stamp(now)+"\n"), 0o644); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	return nil
}
