package clock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/supervisor/system"
	"tench/supervisor/unit"
)

var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func TestMiddle(t *testing.T) {
	down := errors.New("i/o timeout")
	for _, tc := range []struct {
		name string
		in   []answer
		want string
		err  string
	}{
		{"one", []answer{{"a", 5, nil}}, "a", ""},
		{"one of three is wrong", []answer{{"a", time.Hour, nil}, {"b", 5, nil}, {"c", 7, nil}}, "c", ""},
		{"two", []answer{{"a", 9, nil}, {"b", 5, nil}}, "b", ""},
		{"some are silent", []answer{{"a", 0, down}, {"b", 5, nil}}, "b", ""},
		{"all are silent", []answer{{"b", 0, down}, {"a", 0, errors.New("kiss of death")}}, "", "a: kiss of death; b: i/o timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := middle(tc.in)
			if got.server != tc.want || (err != nil || tc.err != "") && (err == nil || err.Error() != tc.err) {
				t.Errorf("middle = %q, %v, want %q, %s", got.server, err, tc.want, tc.err)
			}
		})
	}
}

// run runs a keeper in fake time for a while; offset is what the only server
// says at each question, an error when there is none left.
func run(t *testing.T, f *system.Fake, offsets []time.Duration, while time.Duration) (facts unit.Facts, log []string, asked []time.Duration) {
	t.Helper()
	facts = unit.Facts{}.Clone()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		k := New(Config{Servers: []string{"ntp1"}, Interval: 30 * time.Minute, Epoch: epoch, Dir: f.Name}, f).(*keeper)
		k.ask = func(context.Context, string) (time.Duration, error) {
			n := len(asked)
			asked = append(asked, time.Since(start))
			if n >= len(offsets) || offsets[n] == silent {
				return 0, errors.New("i/o timeout")
			}
			return offsets[n], nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), while)
		defer cancel()
		events := make(chan unit.Event)
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx, events) }()
		for {
			select {
			case e := <-events:
				if e.Text != "" {
					log = append(log, e.Text)
				}
				if e.Apply != nil {
					e.Apply(&facts)
				}
				continue
			case err := <-done:
				if err != nil {
					t.Errorf("Run = %v after its context ended", err)
				}
			}
			return
		}
	})
	return facts, log, asked
}

const silent = time.Duration(1<<63 - 1)

func fake(t *testing.T, now time.Time) *system.Fake {
	return &system.Fake{Time: now, Name: t.TempDir()} // Name serves as the folder here
}

func TestClockIsStepped(t *testing.T) {
	f := fake(t, epoch)
	facts, log, asked := run(t, f, []time.Duration{silent, silent, 240 * time.Hour, 100 * time.Millisecond}, 40*time.Minute)
	to := epoch.Add(240 * time.Hour)
	want := []string{"step clock 2026-11-11T00:00:00Z", "slew clock 100ms"}
	if diff := cmp.Diff(want, f.TakeCalls()); diff != "" {
		t.Errorf("calls (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"set by ntp1 to 2026-11-11T00:00:00Z, was off by -240h0m0s"}, log); diff != "" {
		t.Errorf("log (-want +got)\n%s", diff)
	}
	if facts.Clock.Server != "ntp1" || !facts.Clock.Set || facts.Clock.When.Before(to) {
		t.Errorf("facts: %+v", facts.Clock)
	}
	if s := facts.Units["clock"]; !s.OK || s.Text != "set by ntp1" {
		t.Errorf("state: %+v", s)
	}
	wait := []time.Duration{0, time.Second, 3 * time.Second, 30*time.Minute + 3*time.Second}
	if diff := cmp.Diff(wait, asked); diff != "" {
		t.Errorf("asked at (-want +got)\n%s", diff)
	}
	if saved, err := readFloor(f.Name); err != nil || !saved.Equal(to) {
		t.Errorf("saved %v, %v, want %v", saved, err, to)
	}
}

func TestClockBackwards(t *testing.T) {
	f := fake(t, epoch.Add(time.Hour))
	run(t, f, []time.Duration{-10 * time.Minute}, time.Minute)
	if diff := cmp.Diff([]string{"step clock 2026-11-01T00:50:00Z"}, f.TakeCalls()); diff != "" {
		t.Errorf("calls (-want +got)\n%s", diff)
	}
}

func TestTimeBeforeTheReleaseIsRefused(t *testing.T) {
	f := fake(t, epoch.Add(time.Hour))
	facts, _, _ := run(t, f, []time.Duration{-2 * time.Hour}, 500*time.Millisecond)
	if calls := f.TakeCalls(); calls != nil || facts.Clock.Set {
		t.Errorf("calls %v, facts %+v, want the clock left alone", calls, facts.Clock)
	}
	want := "asking: ntp1 says it is 2026-10-31T23:00:00Z, which is before this release was built"
	if s := facts.Units["clock"]; s.Text != want || s.OK {
		t.Errorf("state %+v, want %s", s, want)
	}
}

func TestSilentServersAreAskedLessAndLess(t *testing.T) {
	_, log, asked := run(t, fake(t, epoch), nil, 24*time.Hour)
	if len(asked) < 50 || len(asked) > 60 || log != nil {
		t.Errorf("asked %d times in a day, log %v", len(asked), log)
	}
}

func TestSavedEveryHourAndAtTheEnd(t *testing.T) {
	f := fake(t, epoch)
	dir := f.Name
	synctest.Test(t, func(t *testing.T) {
		// saved tells whether the file was written since the last call.
		saved := func() bool { return os.Remove(filepath.Join(dir, "clock")) == nil }
		ctx, cancel := context.WithCancel(t.Context())
		events := make(chan unit.Event, 10)
		done := make(chan error, 1)
		go func() { done <- New(Config{Epoch: epoch, Dir: dir}, f).Run(ctx, events) }()
		time.Sleep(59 * time.Minute)
		if saved() {
			t.Error("saved within the first hour")
		}
		time.Sleep(2 * time.Minute)
		if !saved() {
			t.Error("not saved after an hour")
		}
		cancel()
		if err := <-done; err != nil || !saved() {
			t.Errorf("not saved at the end (%v)", err)
		}
		if e := <-events; e.Apply == nil || e.Text != "" {
			t.Errorf("event %+v, want the state only", e)
		}
	})
}

func TestSetFloor(t *testing.T) {
	for _, tc := range []struct {
		name, saved string
		now         time.Time
		want        string // call; "" for none
		err         bool
	}{
		{"1970, nothing saved", "", time.Unix(5, 0), "step clock 2026-11-01T00:00:00Z", false},
		{"1970, saved", "2026-11-05T00:00:00Z\n", time.Unix(5, 0), "step clock 2026-11-05T00:00:00Z", false},
		{"saved by an older release", "2025-01-01T00:00:00Z\n", time.Unix(5, 0), "step clock 2026-11-01T00:00:00Z", false},
		{"battery", "2026-11-05T00:00:00Z\n", epoch.Add(240 * time.Hour), "", false},
		{"saved half", "2026-11", time.Unix(5, 0), "step clock 2026-11-01T00:00:00Z", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := fake(t, tc.now)
			if tc.saved != "" {
				if err := os.WriteFile(filepath.Join(f.Name, "clock"), []byte(tc.saved), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := SetFloor(f, f.Name, epoch)
			var want []string
			if tc.want != "" {
				want = []string{tc.want}
			}
			if diff := cmp.Diff(want, f.TakeCalls()); diff != "" || (err != nil) != tc.err {
				t.Errorf("SetFloor: %v, calls (-want +got)\n%s", err, diff)
			}
		})
	}
}

// A clock that was stepped again is saved at once: until then the next boot would
// begin with what the first answer had made of it.
func TestEachStepIsSaved(t *testing.T) {
	f := fake(t, epoch.Add(time.Hour))
	dir := f.Name
	synctest.Test(t, func(t *testing.T) {
		offsets := []time.Duration{1000 * time.Hour, -1000 * time.Hour}
		k := New(Config{Servers: []string{"ntp1"}, Interval: 30 * time.Minute, Epoch: epoch, Dir: dir}, f).(*keeper)
		k.ask = func(context.Context, string) (time.Duration, error) {
			first := offsets[0]
			offsets = offsets[1:]
			return first, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		events := make(chan unit.Event, 10)
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx, events) }()
		time.Sleep(31 * time.Minute)
		if saved, err := readFloor(dir); err != nil || saved.After(f.Now()) {
			t.Errorf("saved is %v (%v), and it is %v", saved, err, f.Now())
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}
