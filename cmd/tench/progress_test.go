package main

import (
	"bytes"
	"strings"
	"testing"
)

// A terminal shows what is worked at before there is anything to count, and who
// is waited for.
func TestProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, live: true}
	p.Start("gw0", "reboot into slot b")
	if !strings.Contains(out.String(), "gw0            reboot into slot b …") {
		t.Errorf("after Start the terminal has %q", &out)
	}
	out.Reset()
	p.Note("gw0", "healthy")
	if got, want := out.String(), clearLine+"gw0            healthy\n"; got != want {
		t.Errorf("a note writes %q, want %q", got, want)
	}
	out.Reset()
	p.Start("kernel", "compile")
	p.Progress(1, 100, "objects")
	if got := out.String(); !strings.Contains(got, clearLine+wrapOff+"\r") || !strings.Contains(got, "kernel") {
		t.Errorf("a bar begins with %q", got)
	}
}

// What is wider than the terminal does not wrap: the next line would be written
// over its last row alone.
func TestProgressIsOneLine(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, live: true}
	p.Start("root@192.0.2.7:2222", strings.Repeat("x", 60))
	p.Progress(1, 100, "objects")
	for _, part := range strings.Split(strings.TrimSuffix(out.String(), wrapOn), wrapOn) {
		if free, _, ok := strings.Cut(part, wrapOff); !ok || strings.Trim(free, clearLine) != "" {
			t.Errorf("%q is written where the terminal wraps", part)
		}
	}
}

func TestProgressThatWaits(t *testing.T) {
	for _, live := range []bool{false, true} {
		var out bytes.Buffer
		(&progress{out: &out, live: live}).Progress(0, 0, "waiting for another tench")
		if got, want := out.String(), "waiting for another tench …\n"; got != want {
			t.Errorf("live %v: %q, want %q", live, got, want)
		}
	}
}
