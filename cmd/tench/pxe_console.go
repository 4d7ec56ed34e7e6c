package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.bug.st/serial"

	"tench/pxe/event"
)

// What is kept of a console.
const (
	consoleLines = 500
	consoleLine  = 400 // bytes, cut there
)

// transcript keeps the last lines that a serial console said. It is an io.Writer
// for what comes from the port.
type transcript struct {
	box   string // name or MAC
	path  string // a serial port, or a socket that stands for one
	speed int

	mu    sync.Mutex
	lines [][]byte
	part  []byte // of a line that has no end yet
	over  bool   // a carriage return came: what follows goes over part
}

// parseTranscript reads "gw0=/dev/ttyUSB0" or "gw0=/dev/ttyUSB0,38400".
func parseTranscript(text string) (*transcript, error) {
	box, path, ok := strings.Cut(text, "=")
	path, speed, fast := strings.Cut(path, ",")
	t := &transcript{box: box, path: path, speed: 115200}
	if !ok || box == "" || path == "" {
		return nil, fmt.Errorf("--console %s: want BOX=PORT or BOX=PORT,SPEED, e.g. gw0=/dev/ttyUSB0,38400", text)
	}
	if fast {
		n, err := strconv.Atoi(speed)
		if err != nil || n < 50 || n > 4_000_000 {
			return nil, fmt.Errorf("--console %s: speed %s: want 50 to 4000000 bit/s", text, speed)
		}
		t.speed = n
	}
	return t, nil
}

// open connects with the port.
func (t *transcript) open() (io.ReadCloser, error) {
	if info, err := os.Stat(t.path); err == nil && info.Mode()&os.ModeSocket != 0 {
		return net.Dial("unix", t.path)
	}
	return serial.Open(t.path, &serial.Mode{BaudRate: t.speed})
}

// run follows the console until ctx ends; wait is between two tries of a port
// that is not there, an adapter that was pulled.
func (t *transcript) run(ctx context.Context, wait func(context.Context) error) {
	said := ""
	for ctx.Err() == nil {
		port, err := t.open()
		if err == nil {
			said = ""
			stop := context.AfterFunc(ctx, func() { _ = port.Close() })
			_, err = io.Copy(t, port)
			if stop() {
				_ = port.Close()
			}
		}
		if err == nil {
			err = io.EOF
		}
		if text := fmt.Sprintf("[%s: %v]", t.path, err); text != said && ctx.Err() == nil {
			said = text
			fmt.Fprintf(t, "\n%s\n", text)
		}
		if wait(ctx) != nil {
			return
		}
	}
}

// Write takes what the port said.
func (t *transcript) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range data {
		switch {
		case c == '\n':
			t.end()
		case c == '\r':
			t.over = true
		default:
			if t.over {
				t.part = t.part[:0]
			}
			if t.over = false; len(t.part) < 2*consoleLine {
				t.part = append(t.part, c)
			}
		}
	}
	return len(data), nil
}

// end ends a line. The caller holds mu.
func (t *transcript) end() {
	if len(t.part) == 0 && (len(t.lines) == 0 || len(t.lines[len(t.lines)-1]) == 0) {
		t.over = false
		return // many empty lines are one
	}
	if len(t.lines) == consoleLines {
		t.lines = slices.Delete(t.lines, 0, 1)
	}
	t.lines = append(t.lines, bytes.Clone(t.part))
	t.part, t.over = t.part[:0], false
}

// sequences are those that a terminal obeys (ECMA-48 CSI), colours mostly.
var sequences = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]")

// said is what the console said last, and harmless.
func (t *transcript) said() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.lines
	if len(t.part) > 0 {
		list = append(slices.Clip(list), t.part)
	}
	lines := make([]string, len(list))
	for i, line := range list {
		lines[i] = event.Plain(string(sequences.ReplaceAll(line, nil)), consoleLine)
	}
	return lines
}

// transcripts are the consoles of all boxes that have one here.
type transcripts []*transcript

func parseTranscripts(list []string) (transcripts, error) {
	var all transcripts
	for _, text := range list {
		t, err := parseTranscript(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("pxe: %w", err)}
		}
		all = append(all, t)
	}
	return all, nil
}

// run follows them until ctx ends.
func (all transcripts) run(ctx context.Context) {
	const again = 2 * time.Second
	var running sync.WaitGroup
	for _, t := range all {
		running.Go(func() {
			t.run(ctx, func(ctx context.Context) error {
				select {
				case <-ctx.Done():
				case <-time.After(again):
				}
				return ctx.Err()
			})
		})
	}
	running.Wait()
}

// of is the transcript of a box, by its MAC or its name; nil for none.
func (all transcripts) of(box event.MAC, name string) []string {
	for _, t := range all {
		if mac, err := event.ParseMAC(t.box); err == nil && mac == box || name != "" && t.box == name {
			return t.said()
		}
	}
	return nil
}
