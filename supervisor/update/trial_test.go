package update

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// try stores text as a generation on trial.
func try(t *testing.T, s Store, text string) Record {
	t.Helper()
	r, err := s.Try([]byte(text), About{By: "anna/1"}, Record{Back: 1, Deadline: time.Hour, Boot: "this", Session: "anna/1"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Notes that cannot be read cost a generation in force its proof, not its life.
func TestPruneKeepsWhatIsInForce(t *testing.T) {
	s := store(t, "in force")
	write(t, filepath.Join(s.Dir, "1", "about.json"), "{")
	for range keepUnproven + 1 {
		if err := s.TakeBack(try(t, s, "x").Number, "why"); err != nil {
			t.Fatal(err)
		}
	}
	wantCurrent(t, s, 1, "in force")
}

func wantNoTrial(t *testing.T, s Store) {
	t.Helper()
	if r, err := s.record(); r != nil || err != nil {
		t.Errorf("the file trial says %+v, %v; want none", r, err)
	}
}

func TestTrialLeavesTheCurrentGeneration(t *testing.T) {
	s := store(t, "old")
	want := Record{Number: 2, Back: 1, Deadline: time.Hour, Boot: "this", Session: "anna/1"}
	if diff := cmp.Diff(want, try(t, s, "new")); diff != "" {
		t.Errorf("Try (-want +got):\n%s", diff)
	}
	wantCurrent(t, s, 1, "old")
	r, err := s.record()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, r); diff != "" {
		t.Errorf("the file trial (-want +got):\n%s", diff)
	}
	if err := s.Confirm(2); err != nil {
		t.Fatal(err)
	}
	wantCurrent(t, s, 2, "new")
	wantNoTrial(t, s)
	if diff := cmp.Diff(About{By: "anna/1"}, s.About(2)); diff != "" {
		t.Errorf("About of a confirmed generation (-want +got):\n%s", diff)
	}
}

// steps runs the first cut steps of a change: the power fails after them.
func steps(t *testing.T, all []func() error, cut int) {
	t.Helper()
	for _, step := range all[:cut] {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

// start is what the loop does with the store after a power cut.
func start(t *testing.T, s Store, wantText string) {
	t.Helper()
	if _, _, err := s.Settle("the next"); err != nil {
		t.Fatal(err)
	}
	g, problem, err := s.Load(func(string, []byte) error { return nil })
	if err != nil || problem != nil || string(g.Data) != wantText {
		t.Errorf("the box starts with %q, %v, %v; want %q", g.Data, problem, err, wantText)
	}
	wantNoTrial(t, s)
	wantCurrent(t, s, add(t, s, "next"), "next")
	if left, _ := filepath.Glob(filepath.Join(s.Dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A power cut after any step of a trial leads back to the old generation; one
// after any step of its confirmation to the old or the new one.
func TestPowerCutOnTrial(t *testing.T) {
	begin := func(s Store) []func() error {
		return s.trySteps([]byte("new"), About{}, Record{Number: 2, Back: 1, Deadline: time.Hour, Boot: "this"})
	}
	for _, tc := range []struct {
		name  string
		steps func(s Store) []func() error
		want  func(cut int) string
		count int
	}{
		{"try", begin, func(int) string { return "old" }, 11},
		{"confirm", func(s Store) []func() error { return append(s.currentSteps(2), s.provenSteps(2)...) }, func(cut int) string {
			if cut == 0 {
				return "old"
			}
			return "new"
		}, 6},
		{"take back", func(s Store) []func() error { return s.takeBackSteps(2, "why") }, func(int) string { return "old" }, 4},
	} {
		for cut := 0; cut <= tc.count; cut++ {
			t.Run(fmt.Sprintf("%s, after %d steps", tc.name, cut), func(t *testing.T) {
				s := store(t, "old")
				if tc.name != "try" {
					before := begin(s)
					steps(t, before, len(before))
				}
				all := tc.steps(s)
				if len(all) != tc.count {
					t.Fatalf("%d steps; want %d", len(all), tc.count)
				}
				steps(t, all, cut)
				start(t, s, tc.want(cut))
			})
		}
	}
}

func TestSettleTellsHowTheTrialEnded(t *testing.T) {
	for _, tc := range []struct {
		name, boot, want string
		before           func(s Store) error
	}{
		{name: "the power failed", boot: "another", want: "the box restarted"},
		{name: "the loop was killed", boot: "this", want: "the network loop ended"},
		{name: "known already", boot: "another", want: "not in time",
			before: func(s Store) error {
				return errors.Join(s.TakeBack(2, "not in time"), s.writeJSON(trialName, Record{Number: 2}))
			}},
		{name: "the generation is gone", boot: "another", want: "the box restarted",
			before: func(s Store) error { return os.RemoveAll(filepath.Join(s.Dir, "2")) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := store(t, "old")
			try(t, s, "new")
			if tc.before != nil {
				if err := tc.before(s); err != nil {
					t.Fatal(err)
				}
			}
			r, why, err := s.Settle(tc.boot)
			if err != nil || r == nil || r.Number != 2 || !strings.Contains(why, tc.want) {
				t.Errorf("Settle = %+v, %q, %v; want generation 2, %q", r, why, err, tc.want)
			}
			wantCurrent(t, s, 1, "old")
			wantNoTrial(t, s)
			if r, _, err := s.Settle(tc.boot); r != nil || err != nil {
				t.Errorf("Settle once more = %+v, %v; want nothing", r, err)
			}
		})
	}
}

func TestGarbageInTheFileTrial(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "cut": `{"number":2`, "zeros": "\x00\x00\x00", "long": strings.Repeat(" ", maxJSON) + "{}"} {
		t.Run(name, func(t *testing.T) {
			s := store(t, "old")
			write(t, filepath.Join(s.Dir, trialName), text)
			start(t, s, "old")
		})
	}
}

// A Confirm that failed half-way was reported as failed, and the trial goes on.
func TestTakeBackAfterAFailedConfirm(t *testing.T) {
	s := store(t, "old")
	try(t, s, "new")
	steps(t, s.currentSteps(2), 1)
	wantCurrent(t, s, 2, "new")
	if err := s.TakeBack(2, "why"); err != nil {
		t.Fatal(err)
	}
	wantCurrent(t, s, 1, "old")
	wantNoTrial(t, s)
}

// What was never confirmed is no way out of a broken current generation.
func TestLoadFallsBackToProvenGenerationsOnly(t *testing.T) {
	s := store(t, "good")
	try(t, s, "locks me out")
	if err := s.TakeBack(2, "why"); err != nil {
		t.Fatal(err)
	}
	add(t, s, "bad")
	accept := func(_ string, data []byte) error {
		if string(data) == "bad" {
			return errors.New("bad")
		}
		return nil
	}
	if g, problem, err := s.Load(accept); g.Number != 1 || problem == nil || err != nil {
		t.Errorf("Load = generation %d, %v, %v; want 1 with a problem", g.Number, problem, err)
	}
	write(t, filepath.Join(s.Dir, "1", aboutName), "{")
	if g, _, err := s.Load(accept); err == nil {
		t.Errorf("Load = generation %d; want an error: nothing proven is left", g.Number)
	}
}

// The very first generation may be a trial: then there is none to go back to.
func TestTrialOfTheFirstGeneration(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "config")}
	try(t, s, "new")
	if _, err := s.Current(); !errors.Is(err, ErrNone) {
		t.Errorf("Current = %v; want ErrNone", err)
	}
	if _, _, err := s.Load(func(string, []byte) error { return nil }); !errors.Is(err, ErrNone) {
		t.Errorf("Load = %v; want ErrNone", err)
	}
	if err := s.Confirm(1); err != nil {
		t.Fatal(err)
	}
	wantCurrent(t, s, 1, "new")
}

// Trials in the place of each other: the end of the first leaves the second.
func TestTrialInThePlaceOfAnother(t *testing.T) {
	s := store(t, "old")
	try(t, s, "first")
	try(t, s, "second")
	if err := s.TakeBack(2, "generation 3 took its place"); err != nil {
		t.Fatal(err)
	}
	if r, err := s.record(); err != nil || r == nil || r.Number != 3 {
		t.Errorf("the file trial says %+v, %v; want generation 3", r, err)
	}
}

func TestFailedTrialsDoNotPushOutWhatWorked(t *testing.T) {
	s := store(t, "one", "two")
	for range 2 * keep {
		r := try(t, s, "wrong")
		if err := s.TakeBack(r.Number, "why"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 2, 20, 21, 22}, got); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	if n, err := s.Previous(); n != 1 || err != nil {
		t.Errorf("Previous = %d, %v; want 1", n, err)
	}
	add(t, s, "three")
	if n, err := s.Previous(); n != 2 || err != nil {
		t.Errorf("Previous = %d, %v; want 2, not a trial that failed", n, err)
	}
}

// at is an event at a time, in seconds since boot.
type at struct {
	seconds int
	event   Event
	session Session
}

func TestTrial(t *testing.T) {
	const deadline = 300
	for _, tc := range []struct {
		name    string
		console bool // it was applied on the box's console
		events  []at
		want    Verdict
		why     string
	}{
		{name: "nothing happens", events: []at{{10, Tick, ""}, {299, Tick, ""}}},
		{name: "confirmed", events: []at{{10, Tick, ""}, {299, Confirm, ""}}, want: Keep},
		{name: "confirmed too late", events: []at{{300, Confirm, ""}}, want: TakeBack, why: "not confirmed in time"},
		{name: "not confirmed", events: []at{{300, Tick, ""}}, want: TakeBack, why: "not confirmed in time"},
		{name: "rolled back by hand", events: []at{{20, Rollback, ""}}, want: TakeBack, why: "by hand"},
		{name: "its session is lost", events: []at{{100, Lost, "anna/1"}, {129, Tick, ""}}},
		{name: "its session is lost and not back", events: []at{{100, Lost, "anna/1"}, {130, Tick, ""}}, want: TakeBack, why: "lost, and not back within 30s"},
		{name: "the loss is told twice", events: []at{{100, Lost, "anna/1"}, {120, Lost, "anna/1"}, {130, Tick, ""}}, want: TakeBack, why: "lost"},
		{name: "lost shortly before the end", events: []at{{280, Lost, "anna/1"}, {300, Tick, ""}}, want: TakeBack, why: "not confirmed in time"},
		{name: "the same operator is back", events: []at{{100, Lost, "anna/1"}, {129, Seen, "anna/2"}, {299, Tick, ""}}},
		{name: "back too late", events: []at{{100, Lost, "anna/1"}, {131, Seen, "anna/2"}}, want: TakeBack, why: "lost"},
		{name: "back, and lost again", events: []at{{100, Lost, "anna/1"}, {110, Seen, "anna/2"}, {200, Lost, "anna/2"}, {230, Tick, ""}}, want: TakeBack, why: "lost"},
		{name: "the old session's end is told late", events: []at{{90, Seen, "anna/2"}, {100, Lost, "anna/1"}, {200, Tick, ""}}},
		{name: "another operator's session does not count", events: []at{{100, Lost, "anna/1"}, {110, Seen, "bert/1"}, {130, Tick, ""}}, want: TakeBack, why: "lost"},
		{name: "another operator may confirm", events: []at{{100, Lost, "anna/1"}, {110, Confirm, "bert/1"}}, want: Keep},
		{name: "another session is lost", events: []at{{100, Lost, "anna/9"}, {200, Tick, ""}}},
		{name: "a console cannot be lost", console: true, events: []at{{100, Lost, ""}, {110, Seen, ""}, {200, Tick, ""}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			trial := Trial{Record: Record{Number: 2, Back: 1, Deadline: deadline * time.Second, Session: "anna/1"}}
			if tc.console {
				trial.Session = ""
			}
			for i, e := range tc.events {
				got, why := trial.Next(e.event, e.session, time.Duration(e.seconds)*time.Second)
				want, wantWhy := Wait, ""
				if i == len(tc.events)-1 {
					want, wantWhy = tc.want, tc.why
				}
				if got != want || !strings.Contains(why, wantWhy) || (why == "") != (want != TakeBack) {
					t.Fatalf("event %d, %+v: %v, %q; want %v, %q", i, e, got, why, want, wantWhy)
				}
			}
		})
	}
}

func TestTrialLeft(t *testing.T) {
	trial := Trial{Record: Record{Deadline: 300 * time.Second, Session: "anna/1"}}
	left := func(seconds int) time.Duration { return trial.Left(time.Duration(seconds) * time.Second) }
	got := []time.Duration{left(100), left(301)}
	trial.Next(Lost, "anna/1", 100*time.Second)
	got = append(got, left(110))
	if diff := cmp.Diff([]time.Duration{200 * time.Second, 0, 20 * time.Second}, got); diff != "" {
		t.Errorf("Left (-want +got):\n%s", diff)
	}
}

func TestOperator(t *testing.T) {
	for s, want := range map[Session]string{"anna@desk/17": "anna@desk", "SHA256:a/b/3": "SHA256:a/b", "17": "17", "": ""} {
		if got := s.Operator(); got != want {
			t.Errorf("Session(%q).Operator() = %q; want %q", s, got, want)
		}
	}
}
