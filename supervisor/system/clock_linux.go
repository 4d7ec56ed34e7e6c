package system

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Now implements Clock.
func (k *Kernel) Now() time.Time { return time.Now() }

// Boottime implements Clock.
func (k *Kernel) Boottime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("system: read CLOCK_BOOTTIME: " + err.Error()) // every kernel since 2.6.39 has it
	}
	return time.Duration(ts.Nano())
}

// BootID implements Clock. It is "" where /proc is missing.
func (k *Kernel) BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// StepClock implements Clock.
func (k *Kernel) StepClock(to time.Time) error {
	ts := unix.NsecToTimespec(to.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("clock: set to %s: %w", to.UTC().Format(time.RFC3339), err)
	}
	return nil
}

// SlewClock implements Clock.
func (k *Kernel) SlewClock(offset time.Duration) error {
	tx := unix.Timex{Modes: unix.ADJ_OFFSET_SINGLESHOT}
	setLong(&tx.Offset, offset.Microseconds())
	if _, err := unix.Adjtimex(&tx); err != nil {
		return fmt.Errorf("clock: slew by %s: %w", offset, err)
	}
	return nil
}

// setLong sets a C long, whose Go type depends on the CPU.
func setLong[T int32 | int64](field *T, v int64) { *field = T(v) }
