package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tench/supervisor/console"
	"tench/supervisor/slots"
	"tench/supervisor/update"
)

// updateLogName is what the lines of updates begin with in the log.
const updateLogName = "update"

// NewUpdater returns what writes images into the slots of this box. Its steps go
// into the box's log, whoever started it.
func NewUpdater(runDir string) (*update.Updater, error) {
	text, err := os.ReadFile(buildFile)
	if err != nil {
		return nil, fmt.Errorf("update: %w\nhint: this works on a tench box only", err)
	}
	build, err := parseBuildInfo(text)
	if err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	s, err := slots.Open()
	if err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	log := &logFile{path: filepath.Join(runDir, LogName), max: math.MaxInt64, uptime: uptime} // PID 1 rotates it
	return &update.Updater{
		Board: build.Board, Release: build.Release, Epoch: build.Epoch,
		Slots: s, Open: update.OpenDevice,
		Identity: filepath.Join(DataDir, "identity"), State: filepath.Join(DataDir, "state"), Run: runDir,
		Log:  func(format string, args ...any) { log.add(updateLogName, fmt.Sprintf(format, args...)) },
		Step: func(string, int64, int64) {},
		Wait: wait,
	}, nil
}

// WatchSticks tells of sticks that are plugged in and hold an update, until ctx
// ends. It needs a box that was booted from a slot; any other one is told of
// none.
func WatchSticks(ctx context.Context, runDir string, logf func(format string, args ...any)) <-chan console.Stick {
	found := make(chan console.Stick)
	u, err := NewUpdater(runDir)
	if err != nil {
		return found
	}
	own, err := u.Slots.Device(u.Slots.Running())
	if err != nil {
		return found
	}
	disk := strings.TrimRight(strings.TrimPrefix(own, "/dev/"), "0123456789")
	disk = strings.TrimSuffix(disk, "p") // mmcblk0p2
	go func() {
		err := update.WatchBlockDevices(ctx, func(name string) {
			if strings.HasPrefix(name, disk) {
				return // the disk that we booted from is no news
			}
			path := filepath.Join("/dev", name)
			info, err := u.LookAt(ctx, path)
			if errors.Is(err, update.ErrNoUpdate) {
				return
			}
			s := console.Stick{Device: path}
			if err != nil {
				logf("%s: an update that is not taken: %v", path, err)
				s.Refused = err.Error()
			} else {
				s.Text = fmt.Sprintf("release %s (%s) for board %s", info.Release, time.Unix(info.Epoch, 0).UTC().Format(time.DateOnly), info.Board)
			}
			select {
			case found <- s:
			case <-ctx.Done():
			}
		})
		if err != nil && ctx.Err() == nil {
			logf("sticks are not noticed: %v", err)
		}
	}()
	return found
}
