package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/pxe/event"
)

func TestParseTranscript(t *testing.T) {
	tests := []struct {
		in, box, path string
		speed         int
		err           string
	}{
		{in: "gw0=/dev/ttyUSB0", box: "gw0", path: "/dev/ttyUSB0", speed: 115200},
		{in: "52:54:00:00:00:01=/dev/ttyS0,38400", box: "52:54:00:00:00:01", path: "/dev/ttyS0", speed: 38400},
		{in: "/dev/ttyUSB0", err: "want BOX=PORT"},
		{in: "=/dev/ttyUSB0", err: "want BOX=PORT"},
		{in: "gw0=", err: "want BOX=PORT"},
		{in: "gw0=/dev/ttyUSB0,fast", err: "want 50 to 4000000"},
		{in: "gw0=/dev/ttyUSB0,", err: "want 50 to 4000000"},
	}
	for _, tt := range tests {
		got, err := parseTranscript(tt.in)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("parseTranscript(%q): %v, want an error about %q", tt.in, err, tt.err)
			}
		case err != nil || got.box != tt.box || got.path != tt.path || got.speed != tt.speed:
			t.Errorf("parseTranscript(%q) = %+v, %v", tt.in, got, err)
		}
	}
}

func TestTranscriptLines(t *testing.T) {
	tests := []struct {
		name string
		says []string
		want []string
	}{
		{"nothing", nil, []string{}},
		{"lines", []string{"a\r\nb\n"}, []string{"a", "b"}},
		{"a line that is not over", []string{"a\nlog", "in: "}, []string{"a", "login: "}},
		{"a line in pieces", []string{"te", "nch\r", "\nready\r\n"}, []string{"tench", "ready"}},
		{"a line that is drawn again", []string{"10 %\r20 %\r30 %\n"}, []string{"30 %"}},
		{"colours", []string{"\x1b[1;32mok\x1b[0m\n"}, []string{"ok"}},
		{"what steers a terminal", []string{"\x1b]0;x\a\n"}, []string{"?]0;x?"}},
		{"empty lines", []string{"\n\n\na\n\n\n\nb\n"}, []string{"a", "", "b"}},
		{"a long line", []string{strings.Repeat("x", 5000) + "\n"}, []string{strings.Repeat("x", consoleLine)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var tr transcript
			for _, text := range tt.says {
				fmt.Fprint(&tr, text)
			}
			if diff := cmp.Diff(tt.want, tr.said()); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTranscriptForgets(t *testing.T) {
	var tr transcript
	for n := range consoleLines + 10 {
		fmt.Fprintf(&tr, "line %d\n", n)
	}
	got := tr.said()
	if len(got) != consoleLines || got[0] != "line 10" || got[len(got)-1] != fmt.Sprintf("line %d", consoleLines+9) {
		t.Errorf("%d lines from %q to %q, want the last %d", len(got), got[0], got[len(got)-1], consoleLines)
	}
}

// A console is of a box by its name, or by its MAC in each way that one is written.
func TestTranscriptOf(t *testing.T) {
	for box, want := range map[string]bool{"gw0": true, "52:54:00:00:00:01": true, "52-54-00-00-00-01": true, "52-54-00-00-00-0A": false, "gw1": false} {
		list, err := parseTranscripts([]string{box + "=/dev/ttyUSB0"})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(list[0], "words")
		if got := list.of(pxeBox0, "gw0"); (got != nil) != want {
			t.Errorf("--console %s: gw0 has %q", box, got)
		}
	}
	if got := (transcripts{{box: ""}}).of(event.MAC{}, ""); got != nil {
		t.Errorf("nobody has %q", got)
	}
}

// TestTranscriptComesBack pulls the adapter, and plugs it in again.
func TestTranscriptComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ttyS0")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for n := range 2 {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "boot %d\r\n", n)
			c.Close()
		}
	}()
	list, err := parseTranscripts([]string{"gw0=" + path})
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	list[0].run(t.Context(), func(context.Context) error {
		if tries++; tries == 2 {
			return errors.New("enough")
		}
		return nil
	})
	want := []string{"boot 0", "", "[" + path + ": EOF]", "boot 1", "", "[" + path + ": EOF]"}
	if diff := cmp.Diff(want, list.of(pxeBox0, "gw0")); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if got := list.of(pxeBox0, "gw1"); got != nil {
		t.Errorf("the console of gw1 is %q, want none", got)
	}
}
