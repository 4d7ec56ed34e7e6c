package tftp

import (
	"testing"
	"time"
)

func TestHurry(t *testing.T) {
	tests := []struct {
		name          string
		part          float64 // of a window that each flight brings
		level         bool
		before, since int64 // blocks for each flight of 5 ms, before and since
		tried         bool
		wanted        bool
	}{
		{"losses by chance", 0.3, true, 18, 36, true, true},
		{"few losses", 0.7, true, 45, 45, false, false},
		{"it is not quicker", 0.3, true, 18, 20, true, false},
		{"a line that is slow with windows", 0.3, false, 18, 18, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, now := hurry{share: 1}, epoch
			some := func(n int, blocks int64) {
				for range n {
					now = now.Add(5 * time.Millisecond)
					h.arrived(now, blocks, tt.part, tt.level)
				}
			}
			some(hurryTrial+1, tt.before)
			if h.wanted() != tt.tried {
				t.Errorf("wanted after a first %d flights: %v", hurryTrial+1, h.wanted())
			}
			some(hurryTrial+1, tt.since)
			if h.wanted() != tt.wanted {
				t.Errorf("wanted after as many more: %v", h.wanted())
			}
			h.ahead = hurryAhead
			if h.wanted() {
				t.Errorf("wanted with %d flights of which nothing was heard", h.ahead)
			}
		})
	}
}
