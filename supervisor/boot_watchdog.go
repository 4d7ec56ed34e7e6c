package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// softDog is the identity of the kernel's own watchdog, which cannot bite when
// the kernel hangs: the last choice.
const softDog = "Software Watchdog"

// watchdog resets the box when it is not fed. Our kernels are built with
// NOWAYOUT: once open, it can be fed or left to bite, but not stopped. See
// Documentation/watchdog/watchdog-api.rst of Linux.
type watchdog struct {
	f        *os.File
	identity string
	timeout  int  // seconds, as the driver took it
	nowayout bool // it cannot be stopped
}

// openWatchdog opens the watchdog whose identity starts with driver, e.g.
// "i6300ESB", otherwise another one of hardware, otherwise the kernel's. sys is
// /sys/class/watchdog. timeout is in seconds; the driver may round it.
func openWatchdog(sys, dev, driver string, timeout int) (*watchdog, error) {
	name, identity := chooseWatchdog(sys, driver)
	if name == "" {
		return nil, fmt.Errorf("watchdog: there is none")
	}
	f, err := os.OpenFile(filepath.Join(dev, name), os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	nowayout, _ := os.ReadFile(filepath.Join(sys, name, "nowayout"))
	w := &watchdog{f: f, identity: identity, nowayout: strings.TrimSpace(string(nowayout)) == "1"}
	if err := w.setTimeout(timeout); err != nil {
		// It runs with the driver's own timeout, so it must be fed all the same.
		return w, err
	}
	return w, nil
}

// chooseWatchdog returns the name of the device, e.g. "watchdog0", and the
// identity of its driver.
func chooseWatchdog(sys, driver string) (name, identity string) {
	paths, _ := filepath.Glob(filepath.Join(sys, "watchdog*", "identity"))
	best := 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		id := strings.TrimSpace(string(data))
		rank := 2
		switch {
		case driver != "" && strings.HasPrefix(strings.ToLower(id), strings.ToLower(driver)):
			rank = 3
		case id == softDog:
			rank = 1
		}
		if rank > best {
			best, name, identity = rank, filepath.Base(filepath.Dir(path)), id
		}
	}
	return name, identity
}

// setTimeout sets the seconds until it bites; it also feeds.
func (w *watchdog) setTimeout(seconds int) error {
	if err := unix.IoctlSetPointerInt(int(w.f.Fd()), unix.WDIOC_SETTIMEOUT, seconds); err != nil {
		return fmt.Errorf("watchdog: set timeout %d s: %w", seconds, err)
	}
	w.timeout = seconds
	return nil
}

// feed keeps the box alive for another timeout. A nil watchdog needs nothing.
func (w *watchdog) feed() error {
	if w == nil {
		return nil
	}
	if err := unix.IoctlWatchdogKeepalive(int(w.f.Fd())); err != nil {
		return fmt.Errorf("watchdog: feed: %w", err)
	}
	return nil
}

// release stops the watchdog where it can be stopped ("magic close"). It is
// called before power off only: a reboot that hangs is to be bitten.
func (w *watchdog) release() {
	if w != nil && !w.nowayout {
		_, _ = w.f.WriteString("V")
		w.f.Close()
	}
}
