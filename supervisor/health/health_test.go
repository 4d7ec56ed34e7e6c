package health

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestJudge(t *testing.T) {
	const s = time.Second
	wrong := Facts{Network: []string{"lan down"}}
	type look struct {
		at        time.Duration
		facts     Facts
		interrupt bool
		want      Outcome
	}
	for name, looks := range map[string][]look{
		"well from the start": {
			{3 * s, wrong, false, Waiting}, {4 * s, Facts{}, false, Waiting}, {63 * s, Facts{}, false, Waiting}, {64 * s, Facts{}, false, Good}},
		"good stays good": {
			{4 * s, Facts{}, false, Waiting}, {64 * s, Facts{}, false, Good}, {70 * s, wrong, false, Good}, {900 * s, wrong, false, Good}},
		"never well": {
			{10 * s, wrong, false, Waiting}, {299 * s, wrong, false, Waiting}, {300 * s, wrong, false, Failed}},
		"flaps until its time is over": {
			{10 * s, Facts{}, false, Waiting}, {60 * s, wrong, false, Waiting}, {280 * s, Facts{}, false, Waiting}, {310 * s, wrong, false, Failed}},
		"well shortly before its time is over": {
			{290 * s, wrong, false, Waiting}, {295 * s, Facts{}, false, Waiting}, {305 * s, Facts{}, false, Waiting}, {355 * s, Facts{}, false, Good}},
		"a restart between two looks": {
			{10 * s, Facts{}, false, Waiting}, {60 * s, Facts{}, true, Waiting}, {80 * s, Facts{}, false, Waiting}, {120 * s, Facts{}, false, Good}},
		"recovers late": {
			{400 * s, wrong, false, Failed}, {401 * s, Facts{}, false, Waiting}, {461 * s, Facts{}, false, Good}},
	} {
		t.Run(name, func(t *testing.T) {
			var j Judge
			for _, l := range looks {
				if l.interrupt {
					j.Interrupt()
				}
				if got := j.Look(Default, l.facts, l.at); got.Outcome != l.want {
					t.Errorf("at %v: %s; want %s", l.at, got.Outcome, l.want)
				}
			}
		})
	}
}

func TestReasons(t *testing.T) {
	var j Judge
	v := j.Look(Default, Facts{Console: []string{"d"}, Loop: []string{"b"}, Data: []string{"a"}, Network: []string{"c"}}, time.Second)
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, v.Reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}
