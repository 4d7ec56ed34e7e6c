package event

import (
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseMAC(t *testing.T) {
	box := MAC{0x52, 0x54, 0x00, 0x12, 0x34, 0xab}
	tests := []struct {
		name, in string
		want     MAC
		err      string
	}{
		{name: "colons", in: "52:54:00:12:34:ab", want: box},
		{name: "dashes", in: "52-54-00-12-34-ab", want: box},
		{name: "capitals", in: "52:54:00:12:34:AB", want: box},
		{name: "both separators", in: "52:54-00:12:34:ab", err: "six bytes"},
		{name: "another separator", in: "52.54.00.12.34.ab", err: "six bytes"},
		{name: "nothing", in: "", err: "six bytes"},
		{name: "five bytes", in: "52:54:00:12:34", err: "six bytes"},
		{name: "pxelinux's file name", in: "01-52-54-00-12-34-ab", err: "six bytes"},
		{name: "not hexadecimal", in: "52:54:00:12:34:gg", err: "six bytes"},
		{name: "broadcast", in: "ff:ff:ff:ff:ff:ff", err: "no single station"},
		{name: "multicast", in: "01:00:5e:00:00:01", err: "no single station"},
		{name: "zeros", in: "00:00:00:00:00:00", err: "no single station"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseMAC(tt.in)
			if tt.err == "" && (err != nil || got != tt.want) {
				t.Errorf("ParseMAC(%q) = %v, %v, want %v", tt.in, got, err, tt.want)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("ParseMAC(%q) = %v, %v, want an error about %q", tt.in, got, err, tt.err)
			}
		})
	}
}

func TestMACTexts(t *testing.T) {
	box := MAC{0x52, 0x54, 0x00, 0x12, 0x34, 0xab}
	if got, want := box.String(), "52:54:00:12:34:ab"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	if got, want := box.Dashed(), "52-54-00-12-34-ab"; got != want {
		t.Errorf("Dashed() = %q, want %q", got, want)
	}
	if got := (MAC{}).String(); got != "" {
		t.Errorf("the zero MAC is %q, want nothing", got)
	}
}

func TestMACsAreSorted(t *testing.T) {
	a, b, c := MAC{2}, MAC{2, 0, 0, 0, 0, 1}, MAC{4}
	got := []MAC{c, a, b}
	slices.SortFunc(got, MAC.Compare)
	if diff := cmp.Diff([]MAC{a, b, c}, got); diff != "" {
		t.Errorf("sorted (-want +got):\n%s", diff)
	}
}

func FuzzParseMAC(f *testing.F) {
	for _, seed := range []string{"52:54:00:12:34:ab", "52-54-00-12-34-AB", "", "ff:ff:ff:ff:ff:ff", "::::::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMAC(s)
		if err != nil {
			return
		}
		// net.ParseMAC knows more shapes, and must read the same in ours.
		if hw, err := net.ParseMAC(s); err != nil || hw.String() != m.String() {
			t.Errorf("ParseMAC(%q) = %v, net.ParseMAC says %v, %v", s, m, hw, err)
		}
	})
}

func TestEventIsOneLineOfJSON(t *testing.T) {
	want := Event{
		Time: time.Date(2026, 11, 26, 0, 30, 0, 0, time.UTC), Box: MAC{0x52, 0x54, 0, 0x12, 0x34, 0xab},
		IP: netip.MustParseAddr("192.0.2.10"), Kind: Transfer, File: "kernel\n\x1b[2J", Done: 1, Total: 2,
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	const line = `{"time":"2026-11-26T00:30:00Z","box":"52:54:00:12:34:ab","ip":"192.0.2.10","kind":"transfer","file":"kernel\n\u001b[2J","done":1,"total":2}`
	if diff := cmp.Diff(line, string(text)); diff != "" {
		t.Errorf("json (-want +got):\n%s", diff)
	}
	var got Event
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("read back %+v, want %+v", got, want)
	}
	if text, err := json.Marshal(Event{Kind: Foreign}); err != nil || strings.Contains(string(text), "box") {
		t.Errorf("an event of nobody: %s, %v; want no box in it", text, err)
	}
}

func TestSinkOfNobody(t *testing.T) {
	Sink(nil).Send(Event{})
	var got []Event
	Sink(func(e Event) { got = append(got, e) }).Send(Event{Kind: Ack})
	if len(got) != 1 || got[0].Kind != Ack {
		t.Errorf("got %v, want the event sent", got)
	}
}
