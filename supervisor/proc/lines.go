package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Bounds on a child's output: it can neither fill memory with one endless line
// nor flood the log. What is beyond is read and dropped, so that the child
// never blocks on a full pipe.
const (
	maxLine   = 1000     // bytes of a log line that are kept
	maxReport = 64 << 10 // … of a report: it may name each of hundreds of devices
	burst     = 300      // log lines at once; a Go panic with many goroutines fits
	perSecond = 50       // log lines in the long run
)

// linePipe makes a pipe whose lines, the first most bytes of each, go to handle.
// It returns the end to write to and a channel that is closed when that end is
// closed everywhere.
func linePipe(most int, handle func(line string)) (*os.File, <-chan struct{}, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.Close()
		readLines(r, most, handle)
	}()
	return w, done, nil
}

// readLines hands every line of r to handle, those longer than most bytes cut.
func readLines(r io.Reader, most int, handle func(line string)) {
	br := bufio.NewReaderSize(r, most)
	for {
		line, err := br.ReadSlice('\n')
		text := strings.TrimSuffix(string(line), "\n")
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = br.ReadSlice('\n')
		}
		if len(line) > 0 {
			handle(text)
		}
		if err != nil {
			return
		}
	}
}

// limited returns a handle that passes on as many lines as the bounds allow.
func limited(handle func(line string), now func() time.Time) func(line string) {
	l := limiter{now: now}
	return func(line string) {
		dropped, ok := l.take()
		if !ok {
			return
		}
		if dropped > 0 {
			handle(fmt.Sprintf("(%d lines dropped)", dropped))
		}
		handle(line)
	}
}

// limiter is a token bucket over lines.
type limiter struct {
	now     func() time.Time
	tokens  float64
	last    time.Time
	dropped int
}

// take asks for one line to go through, and tells how many did not since the
// last one that did.
func (l *limiter) take() (dropped int, ok bool) {
	now := l.now()
	if l.last.IsZero() {
		l.tokens = burst
	} else {
		l.tokens = min(burst, l.tokens+now.Sub(l.last).Seconds()*perSecond)
	}
	l.last = now
	if l.tokens < 1 {
		l.dropped++
		return 0, false
	}
	l.tokens--
	dropped, l.dropped = l.dropped, 0
	return dropped, true
}
