package supervisor

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// LogName is the log below the run directory, /run/tench/log on a box; the
// part before it is in log.1.
const LogName = "log"

// maxLog is when the log is rotated, in bytes. Both parts together cost at
// most twice as much memory, because /run is in RAM.
const maxLog = 256 << 10

// logFile is the box's log. Lines carry the seconds since the kernel started
// and no date, because a box without a battery does not know it at first; the
// loop logs the moment the clock is set.
type logFile struct {
	path   string
	max    int64
	uptime func() time.Duration

	mu   sync.Mutex
	f    *os.File
	size int64
}

// add appends a line, e.g. "[    1.234] loop: wan: down -> up". The log is the
// last thing to fail the box: what cannot be written is lost.
func (l *logFile) add(from, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := fmt.Sprintf("[%9.3f] %s: %s\n", l.uptime().Seconds(), from, text)
	if l.f != nil && l.size+int64(len(line)) > l.max {
		l.f.Close()
		l.f = nil
		_ = os.Rename(l.path, l.path+".1")
	}
	if l.f == nil {
		f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return
		}
		l.f = f
		l.size, _ = f.Seek(0, io.SeekEnd)
	}
	n, _ := l.f.WriteString(line)
	l.size += int64(n)
}

// uptime is the time since the kernel started, suspend included.
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// say writes a line to the system console. It never waits: a console that
// takes no more must not stop PID 1.
func say(format string, args ...any) {
	writeDevice("/dev/console", fmt.Sprintf(format, args...)+"\r\n")
}

// alarm writes an error into the kernel's ring, from where it reaches the
// console, and a pstore after a crash.
func alarm(format string, args ...any) {
	writeDevice("/dev/kmsg", kmsgRecord(fmt.Sprintf(format, args...)))
}

// maxRecord is how many bytes the kernel takes for its ring at once
// (PRINTKRB_RECORD_MAX in kernel/printk/internal.h); it refuses more.
const maxRecord = 1024

// kmsgRecord is an error as it is written into the kernel's ring.
func kmsgRecord(text string) string {
	record := "<3>tench: " + text
	return record[:min(len(record), maxRecord)]
}

func writeDevice(path, text string) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return // there is nobody left to tell
	}
	defer unix.Close(fd)
	_, _ = unix.Write(fd, []byte(text))
}
