package proc

import (
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadLines(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"lines, also empty ones", "a\n\nb\n", []string{"a", "", "b"}},
		{"no newline at the end", "a\nb", []string{"a", "b"}},
		{"a line of the longest size", strings.Repeat("x", maxLine-1) + "\ny\n", []string{strings.Repeat("x", maxLine-1), "y"}},
		{"a long line is cut", strings.Repeat("x", 5*maxLine) + "\ny\n", []string{strings.Repeat("x", maxLine), "y"}},
		{"a long line without an end", strings.Repeat("x", 5*maxLine), []string{strings.Repeat("x", maxLine)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, r := range []struct {
				name string
				one  bool
			}{{"whole", false}, {"byte by byte", true}} {
				var got []string
				var in = strings.NewReader(tc.in)
				handle := func(line string) { got = append(got, line) }
				if r.one {
					readLines(iotest.OneByteReader(in), maxLine, handle)
				} else {
					readLines(in, maxLine, handle)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", r.name, diff)
				}
			}
		})
	}
}

func TestLimitedDropsAFloodAndSaysSo(t *testing.T) {
	now := time.Unix(1, 0)
	var got []string
	handle := limited(func(line string) { got = append(got, line) }, func() time.Time { return now })
	for range burst + 200 {
		handle("flood")
	}
	if len(got) != burst {
		t.Errorf("%d lines came through at once; want %d", len(got), burst)
	}
	got = nil
	now = now.Add(100 * time.Millisecond) // worth five lines
	for range 10 {
		handle("later")
	}
	if diff := cmp.Diff([]string{"(200 lines dropped)", "later", "later", "later", "later", "later"}, got); diff != "" {
		t.Errorf("after 100 ms (-want +got):\n%s", diff)
	}
}
