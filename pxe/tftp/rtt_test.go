package tftp

import (
	"testing"
	"time"
)

func TestWaits(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name     string
		measured []time.Duration
		want     []time.Duration
	}{
		{name: "nothing measured", want: []time.Duration{250 * ms, 500 * ms, time.Second, time.Second}},
		{name: "a cable", measured: []time.Duration{ms / 10},
			want: []time.Duration{10 * ms, 10 * ms, 200 * ms, 400 * ms, 800 * ms, time.Second, time.Second}},
		// SRTT 300 ms and RTTVAR 150 ms, RFC 6298 section 2.2
		{name: "a mobile network, measured once", measured: []time.Duration{300 * ms},
			want: []time.Duration{900 * ms, 900 * ms, 900 * ms, time.Second}},
		{name: "steady", measured: []time.Duration{40 * ms, 40 * ms, 40 * ms, 40 * ms, 40 * ms, 40 * ms, 40 * ms, 40 * ms, 40 * ms, 40 * ms, 40 * ms},
			want: []time.Duration{80 * ms, 80 * ms, 200 * ms, 400 * ms}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r rtt
			for _, d := range tt.measured {
				r.measured(d, true)
			}
			for try, want := range tt.want {
				if got := r.wait(try); got != want {
					t.Errorf("wait(%d) = %v, want %v (%+v)", try, got, want, r)
				}
			}
		})
	}
}
