package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Log returns the last lines of the log at path and of its older part.
func Log(path string, lines int) (string, error) {
	older, err := os.ReadFile(path + ".1")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("log: %w", err)
	}
	newer, err := os.ReadFile(path)
	// Between the two steps of a rotation there is only the older part.
	if err != nil && (!errors.Is(err, fs.ErrNotExist) || older == nil) {
		return "", noLog(err)
	}
	return lastLines(append(older, newer...), lines), nil
}

func noLog(err error) error {
	return fmt.Errorf("log: %w\nhint: PID 1 of a tench box keeps it; use the journal of your system on any other", err)
}

// lastLines returns the last n lines of text, which ends with a newline.
func lastLines(text []byte, n int) string {
	start := len(text)
	for ; n > 0 && start > 0; n-- {
		start = bytes.LastIndexByte(text[:start-1], '\n') + 1
	}
	return string(text[start:])
}

const (
	followStart = 10                     // lines shown at first
	followPause = 300 * time.Millisecond // between two looks
)

// FollowLog copies the last ten lines of the log at path to w, and then all
// that is added until ctx ends. It goes on when the log is rotated.
func FollowLog(ctx context.Context, path string, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return noLog(err)
	}
	defer func() { f.Close() }()
	text, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if _, err := io.WriteString(w, lastLines(text, followStart)); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	tick := time.NewTicker(followPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		// Looked up before reading: what was added to the old part until it was
		// rotated is then read now, and the new part in the next round.
		next := rotated(f, path)
		if _, err := io.Copy(w, f); err != nil {
			return fmt.Errorf("log: %w", err)
		}
		if next != nil {
			f.Close()
			f = next
		}
	}
}

// rotated opens path if it is no longer the file that f is.
func rotated(f *os.File, path string) *os.File {
	there, err := os.Stat(path)
	if err != nil {
		return nil // between the two steps of a rotation
	}
	here, err := f.Stat()
	if err != nil || os.SameFile(here, there) {
		return nil
	}
	next, err := os.Open(path)
	if err != nil {
		return nil
	}
	return next
}
