package link

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)

// arrivals is when n packets of 1000 bytes arrive that are sent at once.
func arrivals(line Line, seed uint64, n int) (list []time.Duration) {
	l := New(line, seed)
	for range n {
		for _, at := range l.Carry(start, 1000) {
			list = append(list, at.Sub(start))
		}
	}
	return list
}

func TestCarry(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name string
		line Line
		want []time.Duration
	}{
		{"perfect", Line{}, []time.Duration{0, 0, 0}},
		{"delay", Line{Delay: ms}, []time.Duration{ms, ms, ms}},
		{"rate", Line{Delay: ms, Rate: 1_000_000}, []time.Duration{2 * ms, 3 * ms, 4 * ms}},
		{"queue", Line{Rate: 1_000_000, Queue: ms}, []time.Duration{ms, 2 * ms}},
		{"all lost", Line{Loss: 1}, nil},
		{"all doubled", Line{Delay: ms, Duplicate: 1}, []time.Duration{ms, ms, ms, ms, ms, ms}},
		{"all late", Line{Delay: ms, Reorder: 1, Late: 2 * ms}, []time.Duration{3 * ms, 3 * ms, 3 * ms}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, arrivals(tt.line, 1, 3)); diff != "" {
				t.Errorf("arrivals (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSeed(t *testing.T) {
	line := Line{Delay: time.Millisecond, Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Late: time.Millisecond}
	one := arrivals(line, 1, 1000)
	if diff := cmp.Diff(one, arrivals(line, 1, 1000)); diff != "" {
		t.Errorf("the same seed draws differently:\n%s", diff)
	}
	if cmp.Equal(one, arrivals(line, 2, 1000)) {
		t.Error("another seed draws the same")
	}
	if got := len(arrivals(Line{Loss: 0.1}, 1, 10000)); got < 8900 || got > 9100 {
		t.Errorf("%d of 10000 arrive at a loss of 10 %%", got)
	}
}
