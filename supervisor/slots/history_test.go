package slots

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHistory(t *testing.T) {
	trial := func(left int) Start {
		return Start{Boot: Boot{Slot: "b", Trial: true, Left: left}, Release: "2026.12", State: pending("b", left)}
	}
	back := func(cause, crash string) Start {
		st := good("a")
		st.Failed = Failure{"b", cause}
		return Start{Boot: Boot{Slot: "a"}, Release: "2026.11", State: st, Crash: crash}
	}
	plain := Start{Boot: Boot{Slot: "a"}, Release: "2026.11", State: good("a")}
	for _, tc := range []struct {
		name   string
		before *Trial
		starts []Start
		reason string // that PID 1 leaves on a trial
		want   string // the last trial
		ended  bool
	}{
		{name: "no trial yet", starts: []Start{plain}},
		{name: "first boot of a trial", starts: []Start{trial(2)}, want: "slot b (2026.12) is on trial"},
		{name: "not healthy three times", starts: []Start{trial(2), trial(1), trial(0), back(CauseTries, "")}, reason: "it was not healthy: wan: no lease",
			want: "slot b (2026.12) was given up: it was not healthy: wan: no lease", ended: true},
		{name: "panics after it came up", starts: []Start{trial(2), trial(1), trial(0), back(CauseTries, "Kernel panic - not syncing: Fatal exception")},
			want: "slot b (2026.12) was given up: Kernel panic - not syncing: Fatal exception", ended: true},
		{name: "bitten after it came up", starts: []Start{trial(2), back(CauseTries, "")},
			want: "slot b (2026.12) was given up: it came up (1 of its tries) and stopped without a word: a crash, its watchdog or a power cut", ended: true},
		{name: "never comes up", starts: []Start{back(CauseTries, "")},
			want: "slot b was given up: it never came up: the kernel did not get as far as tenchd", ended: true},
		{name: "cannot be loaded", starts: []Start{back(CauseLoad, "")},
			want: "slot b was given up: the boot loader could not load its kernel or initramfs, or they are damaged", ended: true},
		{name: "an older trial is not blamed", before: &Trial{Slot: "b", Release: "2026.10", Reason: "old", Outcome: GivenUp}, starts: []Start{back(CauseTries, "")},
			want: "slot b was given up: it never came up: the kernel did not get as far as tenchd", ended: true},
		{name: "another release in the same slot", before: &Trial{Slot: "b", Release: "2026.10", Boots: 1}, starts: []Start{trial(2)},
			want: "slot b (2026.12) is on trial"},
		{name: "taken back", starts: []Start{trial(2), plain}, want: "slot b (2026.12) was taken back", ended: true},
		{name: "confirmed and not written down", starts: []Start{trial(2), {Boot: Boot{Slot: "b"}, Release: "2026.12", State: good("b")}},
			want: "slot b (2026.12) passed its trial", ended: true},
		{name: "told once", before: &Trial{Slot: "b", Outcome: GivenUp, Why: "x"}, starts: []Start{plain}, want: "slot b was given up: x"},
		{name: "armed and not tried yet", before: &Trial{Slot: "b", Boots: 1}, starts: []Start{{Boot: Boot{Slot: "a"}, State: pending("b", 2)}}, want: "slot b is on trial"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, ended := History{tc.before}, false
			for _, s := range tc.starts {
				if h, ended = h.Continue(s); s.Boot.Trial {
					h.Trial.Reason = tc.reason
				}
			}
			got := ""
			if h.Trial != nil {
				got = h.Trial.String()
			}
			if got != tc.want || ended != tc.ended {
				t.Errorf("Continue: %q, ended %v; want %q, %v", got, ended, tc.want, tc.ended)
			}
		})
	}
}

func TestHistoryFile(t *testing.T) {
	dir := t.TempDir()
	if h, err := ReadHistory(dir); err != nil || h.Trial != nil {
		t.Errorf("ReadHistory of none = %+v, %v", h, err)
	}
	want := History{&Trial{Slot: "b", Release: "2026.12", Boots: 2, Reason: "x", Outcome: GivenUp, Why: "y"}}
	if err := want.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := ReadHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(filepath.Join(dir, HistoryName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadHistory(dir); err == nil {
		t.Error("ReadHistory of half a file has no error")
	}
}
