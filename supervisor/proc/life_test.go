package proc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// step is an event at a time since the start, and what follows from it: the
// action, and how long until the next timer (-1 for none).
type step struct {
	at   time.Duration
	ev   event
	do   action
	wake time.Duration
}

func TestLife(t *testing.T) {
	const s, ms, none = time.Second, time.Millisecond, time.Duration(-1)
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"restarts at once, then with growing delays", []step{
			{0, evStart, doStart, none},
			{1 * s, evExited, doNothing, 0}, {1 * s, evTimer, doStart, none},
			{1 * s, evExited, doNothing, 500 * ms}, {1500 * ms, evTimer, doStart, none},
			{2 * s, evExited, doNothing, 1 * s}, {3 * s, evTimer, doStart, none},
			{3 * s, evExited, doNothing, 2 * s}, {5 * s, evTimer, doStart, none},
		}},
		{"a calm minute forgets the ends before", []step{
			{0, evStart, doStart, none},
			{1 * s, evExited, doNothing, 0}, {1 * s, evTimer, doStart, none},
			{61 * s, evExited, doNothing, 0}, {61 * s, evTimer, doStart, none},
			{62 * s, evExited, doNothing, 500 * ms},
		}},
		{"a timer that is early does nothing", []step{
			{0, evStart, doStart, none},
			{0, evExited, doNothing, 0}, {0, evTimer, doStart, none},
			{0, evExited, doNothing, 500 * ms}, {499 * ms, evTimer, doNothing, 1 * ms},
			{500 * ms, evTimer, doStart, none},
		}},
		{"stops when told", []step{
			{0, evStart, doStart, none}, {1 * s, evStop, doTerm, grace}, {2 * s, evExited, doEnd, none},
		}},
		{"is killed when it does not stop", []step{
			{0, evStart, doStart, none}, {1 * s, evStop, doTerm, grace},
			{3 * s, evTimer, doNothing, grace - 2*s}, {6 * s, evTimer, doKill, none},
			{7 * s, evExited, doEnd, none},
		}},
		{"told to stop while it waits", []step{
			{0, evStart, doStart, none}, {0, evExited, doNothing, 0}, {0, evStop, doEnd, none},
		}},
		{"killed because it hangs, then started again", []step{
			{0, evStart, doStart, none}, {5 * s, evKill, doKill, none},
			{5 * s, evExited, doNothing, 0}, {5 * s, evTimer, doStart, none},
		}},
		{"a kill of what does not run does nothing", []step{
			{0, evStart, doStart, none}, {0, evExited, doNothing, 0}, {0, evKill, doNothing, 0},
		}},
		{"told to stop twice", []step{
			{0, evStart, doStart, none}, {0, evStop, doTerm, grace}, {1 * s, evStop, doNothing, grace - 1*s},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var l life
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i, want := range tc.steps {
				now := start.Add(want.at)
				got := want
				var wake time.Time
				got.do, wake = l.handle(want.ev, now)
				got.wake = none
				if !wake.IsZero() {
					got.wake = wake.Sub(now)
				}
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(step{})); diff != "" {
					t.Fatalf("step %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestDelay(t *testing.T) {
	var got []float64
	for ends := range 10 {
		got = append(got, delay(ends).Seconds())
	}
	if diff := cmp.Diff([]float64{0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30}, got); diff != "" {
		t.Errorf("delays in seconds (-want +got):\n%s", diff)
	}
	if got := delay(1000); got != maxDelay {
		t.Errorf("delay(1000) = %v; want %v", got, maxDelay)
	}
}
