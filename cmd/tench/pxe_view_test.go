package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tench/pxe/event"
	"tench/pxe/track"
)

var (
	pxeBox0  = event.MAC{0x52, 0x54, 0, 0, 0, 1}
	pxeStart = time.Date(2026, 11, 26, 1, 0, 0, 0, time.Local)
)

func TestPXELines(t *testing.T) {
	writing := track.Box{MAC: pxeBox0, Name: "gw0", Stage: track.Write, Done: 43 << 20, Total: 100 << 20, Rate: 12 << 20, Left: 4.75}
	stuck := track.Box{MAC: event.MAC{2}, Stage: track.Offered, Who: "iPXE, x86 BIOS", Diagnosis: "asked for an address 4 times, and never took ours: is another DHCP server on this cable? is spanning tree holding the switch's port?"}
	healthy := track.Box{MAC: event.MAC{4}, Name: "gw1", Stage: track.Healthy}
	armed := track.Box{MAC: event.MAC{6}, Name: "gw2", Install: &track.Install{State: track.StateArmed}}
	kernel := track.Box{MAC: event.MAC{8}, Name: "gw3", Stage: track.Kernel, Done: 1, Total: 3, File: strings.Repeat("long/", 30)}
	tests := []struct {
		name          string
		list          []track.Box
		width, height int
		want          []string
	}{
		{"nobody", nil, 80, 24, []string{"no box was heard of yet: put a cable in, and switch one on"}},
		{"a write", []track.Box{writing}, 80, 24, []string{"gw0                write            43 %  12.0 MiB/s  4.8 s left"}},
		{"armed", []track.Box{armed}, 80, 24, []string{"gw2                armed"}},
		{"a wide screen", []track.Box{stuck}, 200, 24, []string{"02:00:00:00:00:00  offered         " + stuck.Diagnosis}},
		{"a narrow one", []track.Box{stuck}, 60, 24, []string{
			"02:00:00:00:00:00  offered", "    asked for an address 4 times, and never took ours: is", "    another DHCP server on this cable? is spanning tree", "    holding the switch's port?"}},
		{"a long name", []track.Box{kernel}, 60, 24, []string{"gw3                kernel           33 %  long/long/long/l…"}},
		{"what needs somebody first", []track.Box{healthy, writing, stuck}, 300, 24, []string{
			"02:00:00:00:00:00  offered         " + stuck.Diagnosis, "gw0                write            43 %  12.0 MiB/s  4.8 s left", "gw1                healthy"}},
		{"a low one", []track.Box{healthy, armed, writing, stuck}, 300, 4, []string{
			"02:00:00:00:00:00  offered         " + stuck.Diagnosis, "gw0                write            43 %  12.0 MiB/s  4.8 s left", "and 2 more boxes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := pxeLines(tt.list, tt.width, tt.height)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			for _, line := range got {
				if utf8.RuneCountInString(line) >= tt.width {
					t.Errorf("%q is wider than %d", line, tt.width)
				}
			}
		})
	}
}

func newPXETable(t *testing.T) *track.Table {
	t.Helper()
	table, err := track.New(track.Options{Dir: t.TempDir(), Now: func() time.Time { return pxeStart }, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

// ended is a context that is over: run shows what there is, and returns.
func ended() context.Context {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	return ctx
}

func TestPXENews(t *testing.T) {
	var out bytes.Buffer
	v, table := newPXEView(&out, false), newPXETable(t)
	hear := func(e event.Event) {
		e.Box, e.Time = pxeBox0, pxeStart
		table.Event(e)
		v.event(e)
		v.run(ended(), table)
	}
	hear(event.Event{Kind: event.Discover, Text: "iPXE\x1b[2J\r\nroot@desk:~#"})
	hear(event.Event{Kind: event.Solicit})
	for n := range int64(9) {
		hear(event.Event{Kind: event.Transfer, File: "vmlinuz\u009b2J", Done: n, Total: 8})
	}
	hear(event.Event{Kind: event.Foreign, IP: netip.MustParseAddr("192.0.2.254")})
	hear(event.Event{Kind: event.Foreign, IP: netip.MustParseAddr("192.0.2.254")})
	hear(event.Event{Kind: event.Trouble, Text: "out/apu2: another hash\x1b[2J"})
	want := []string{
		"01:00:00  52:54:00:00:00:01  discover        iPXE?[2J??root@desk:~#",
		"01:00:00  52:54:00:00:00:01  kernel            0 %  vmlinuz?2J",
		"01:00:00  52:54:00:00:00:01  kernel           25 %  vmlinuz?2J",
		"01:00:00  52:54:00:00:00:01  kernel           50 %  vmlinuz?2J",
		"01:00:00  52:54:00:00:00:01  kernel           75 %  vmlinuz?2J",
		"01:00:00  52:54:00:00:00:01  kernel          100 %  vmlinuz?2J",
		"01:00:00  52:54:00:00:00:01 foreign 192.0.2.254",
		"01:00:00  52:54:00:00:00:01 trouble out/apu2: another hash?[2J",
		"",
	}
	if diff := cmp.Diff(want, strings.Split(out.String(), "\n")); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestPXENewsForgetsStrangers(t *testing.T) {
	v := newPXEView(io.Discard, false)
	for n := range byte(100) {
		v.news([]track.Box{{MAC: event.MAC{2, n}, Stage: track.Discovers, Seen: pxeStart}})
	}
	if len(v.said) != 1 {
		t.Errorf("%d boxes are kept of one that is there", len(v.said))
	}
}

func TestPXEScript(t *testing.T) {
	var out bytes.Buffer
	v := newPXEView(&out, true)
	v.event(event.Event{Time: pxeStart, Box: pxeBox0, Kind: event.Missing, File: "a\n\x1b[2J\u009b{\"kind\":\"healthy\"}"})
	v.event(event.Event{Time: pxeStart, Kind: event.Serving, Text: strings.Repeat("x", 5000)})
	v.run(ended(), newPXETable(t))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 2 || strings.ContainsAny(out.String(), "\x1b\u009b") {
		t.Fatalf("%d lines, want one an event:\n%q", len(lines), out.String())
	}
	var got event.Event
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil || got.Box != pxeBox0 || got.Kind != event.Missing {
		t.Errorf("line %s: %+v, %v", lines[0], got, err)
	}
}

// TestPXEScriptDoesNotHoldTheBoxesUp sends more than a reader takes.
func TestPXEScriptDoesNotHoldTheBoxesUp(t *testing.T) {
	var out bytes.Buffer
	v := newPXEView(&out, true)
	for range 2 * cap(v.events) {
		v.event(event.Event{Time: pxeStart, Kind: event.Discover})
	}
	if len(v.lost) != 1 {
		t.Error("events were lost, and nobody is told")
	}
	v.run(ended(), newPXETable(t))
	if got := strings.Count(out.String(), "\n"); got < cap(v.events) {
		t.Errorf("%d lines, want those that there was room for", got)
	}
}

// TestPXEDrawsInPlace plays what a terminal does with the few sequences that are
// used.
func TestPXEDrawsInPlace(t *testing.T) {
	var out bytes.Buffer
	v := newPXEView(&out, false)
	v.draw([]string{"gw0 discover, at length", "gw1 kernel", "gw2 kernel"})
	v.take(event.Event{Time: pxeStart, Kind: event.Serving, Text: "on enp3s0"})
	v.draw([]string{"gw0 kernel", "gw1 healthy"})
	v.draw([]string{"gw0 healthy"})
	want := []string{"01:00:00  serving on enp3s0", "gw0 healthy", ""}
	if diff := cmp.Diff(want, screenOf(t, out.String())); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
}

// screenOf is what is on an endless screen after text.
func screenOf(t *testing.T, text string) []string {
	t.Helper()
	lines, row, col := []string{""}, 0, 0
	for len(text) > 0 {
		var n int
		switch {
		case text[0] == '\r':
			text, col = text[1:], 0
		case text[0] == '\n':
			text, row, col = text[1:], row+1, 0
			if row == len(lines) {
				lines = append(lines, "")
			}
		case strings.HasPrefix(text, eraseLine):
			text, lines[row] = text[len(eraseLine):], lines[row][:col]
		case strings.HasPrefix(text, eraseRest):
			text, lines = text[len(eraseRest):], lines[:row+1]
			lines[row] = lines[row][:col]
		case strings.HasPrefix(text, wrapOff), strings.HasPrefix(text, wrapOn):
			text = text[len(wrapOn):]
		case text[0] == 0x1b:
			if _, err := fmt.Sscanf(text, cursorUp, &n); err != nil || n > row {
				t.Fatalf("a sequence that is not known, or leads off the screen: %q", text)
			}
			text, row = text[len(fmt.Sprintf(cursorUp, n)):], row-n
		default:
			lines[row] = lines[row][:col] + text[:1] + lines[row][min(col+1, len(lines[row])):]
			text, col = text[1:], col+1
		}
	}
	return lines
}
