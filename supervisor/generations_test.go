package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/config"
	"tench/supervisor/status"
	"tench/supervisor/system"
	"tench/supervisor/update"
)

// moved is testConfig with another address on lan.
var moved = strings.Replace(testConfig, "192.168.1.1", "192.168.9.1", 1)

// put applies a text for the time of a trial, 0 for good, and runs a cycle.
func (l *testLoop) put(t *testing.T, text string, trial time.Duration) status.Outcome {
	t.Helper()
	cfg, err := config.Parse("router.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o, err := l.apply(cfg, status.Change{Text: text, Trial: trial, Session: "anna/1"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	l.cycle(t.Context())
	return o
}

// wantLAN fails unless lan has the address after a cycle, and the generation is
// in force.
func (l *testLoop) wantLAN(t *testing.T, address string, generation int) {
	t.Helper()
	l.cycle(t.Context())
	var all []string
	for _, a := range l.fake.Net.Addresses {
		if a.Link == "eth0" {
			all = append(all, a.Prefix.String())
		}
	}
	if diff := cmp.Diff([]string{address}, all); diff != "" {
		t.Errorf("addresses of lan (-want +got):\n%s", diff)
	}
	if l.current.Generation != generation {
		t.Errorf("generation %d is in force; want %d", l.current.Generation, generation)
	}
}

// again is the loop after this one, on the same disk and the same kernel.
func (l *testLoop) again(t *testing.T) {
	t.Helper()
	l.loop = newLoop(l.o, l.fake)
	t.Cleanup(l.units.stopAll)
}

func (l *testLoop) pass(d time.Duration) { l.fake.Since += d }

func TestTrialOfAConfiguration(t *testing.T) {
	const before, after = "192.168.1.1/24", "192.168.9.1/24"
	for _, tc := range []struct {
		name    string
		happens func(t *testing.T, l *testLoop)
		keeps   bool
		why     string
	}{
		{name: "confirmed", keeps: true, happens: func(t *testing.T, l *testLoop) {
			if _, err := l.confirm(0); err != nil {
				t.Error(err)
			}
			l.pass(time.Hour)
		}},
		{name: "confirmed, and the box restarts", keeps: true, happens: func(t *testing.T, l *testLoop) {
			if _, err := l.confirm(2); err != nil {
				t.Error(err)
			}
			l.again(t)
		}},
		{name: "not confirmed", why: "not confirmed in time", happens: func(_ *testing.T, l *testLoop) { l.pass(5 * time.Minute) }},
		{name: "the clock is set meanwhile", keeps: true, happens: func(t *testing.T, l *testLoop) {
			l.fake.Time = l.fake.Time.AddDate(30, 0, 0)
			l.wantLAN(t, after, 2)
			if _, err := l.confirm(0); err != nil {
				t.Error(err)
			}
		}},
		{name: "the loop is killed", why: "the network loop ended", happens: func(t *testing.T, l *testLoop) { l.again(t) }},
		{name: "the power fails", why: "the box restarted", happens: func(t *testing.T, l *testLoop) {
			l.fake.Boot = "another"
			l.again(t)
		}},
		{name: "its session is lost", why: "the session that applied it was lost", happens: func(_ *testing.T, l *testLoop) {
			l.sessionNews("anna/1", false)
			l.pass(update.Grace)
		}},
		{name: "its operator is back in time", keeps: true, happens: func(t *testing.T, l *testLoop) {
			l.sessionNews("anna/1", false)
			l.pass(update.Grace - time.Second)
			l.sessionNews("anna/2", true)
			l.pass(update.Grace)
			l.wantLAN(t, after, 2)
			if _, err := l.confirm(2); err != nil {
				t.Error(err)
			}
		}},
		{name: "rolled back by hand", why: "by hand", happens: func(t *testing.T, l *testLoop) {
			if o, err := l.rollback(0, status.Change{}); o.Generation != 1 || err != nil {
				t.Errorf("rollback = %+v, %v", o, err)
			}
		}},
		{name: "the disk is dead when it is taken back", why: "not confirmed in time", happens: func(t *testing.T, l *testLoop) {
			if err := os.RemoveAll(l.store.Dir); err != nil {
				t.Fatal(err)
			}
			l.pass(5 * time.Minute)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newTestLoop(t, testConfig)
			l.fake.Since = time.Minute
			l.cycle(t.Context())
			o := l.put(t, moved, 5*time.Minute)
			want := status.Outcome{Generation: 2, Trial: &status.Trial{Generation: 2, Back: 1, Left: 300, Session: "anna/1"}}
			if diff := cmp.Diff(want, o); diff != "" {
				t.Errorf("apply (-want +got):\n%s", diff)
			}
			l.wantLAN(t, after, 2)
			tc.happens(t, l)
			if tc.keeps {
				l.wantLAN(t, after, 2)
			} else {
				l.wantLAN(t, before, 1)
			}
			if !strings.Contains(l.ended, tc.why) || (l.ended == "") != tc.keeps {
				t.Errorf("it ended with %q; want %q", l.ended, tc.why)
			}
			if n, _ := l.tree().Find("config"); tc.why != "" && !strings.Contains(strings.Join(n.Detail, " "), tc.why) {
				t.Errorf("status says %v; want %q", n.Detail, tc.why)
			}
		})
	}
}

func TestConfirmErrors(t *testing.T) {
	l := newTestLoop(t, testConfig)
	refused := func(n int, want string) {
		t.Helper()
		if _, err := l.confirm(n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("confirm(%d) = %v; want %q", n, err, want)
		}
	}
	refused(0, "nothing is on trial")
	l.put(t, moved, time.Minute)
	refused(1, "generation 2 is on trial, not 1")
	l.pass(time.Minute)
	refused(2, "it was not confirmed in time")
	refused(2, "it was not confirmed in time")
	l.wantLAN(t, "192.168.1.1/24", 1)
	// Whoever did not get the answer may ask again.
	l.put(t, moved, time.Minute)
	for range 2 {
		if o, err := l.confirm(3); o.Generation != 3 || err != nil {
			t.Errorf("confirm(3) = %+v, %v", o, err)
		}
	}
}

// A store that takes no writes refuses a trial before anything is applied.
func TestTrialNeedsTheDisk(t *testing.T) {
	l := newTestLoop(t, testConfig)
	l.cycle(t.Context())
	l.store.Dir = filepath.Join(l.store.Dir, "current", "below a file")
	cfg, err := config.Parse("router.toml", []byte(moved))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.apply(cfg, status.Change{Text: moved, Trial: time.Minute}, 0); err == nil {
		t.Error("apply on trial worked without a disk")
	}
	l.wantLAN(t, "192.168.1.1/24", 1)
}

// A loop that starts again after the disk has died goes on with what was in force
// for good.
func TestLoopStartsAgainWithoutTheDisk(t *testing.T) {
	const before, after = "192.168.1.1/24", "192.168.9.1/24"
	for _, tc := range []struct {
		name       string
		happens    func(t *testing.T, l *testLoop)
		address    string
		generation int
	}{
		{"as it started", func(*testing.T, *testLoop) {}, before, 1},
		{"applied", func(t *testing.T, l *testLoop) { l.put(t, moved, 0) }, after, 2},
		{"on trial", func(t *testing.T, l *testLoop) { l.put(t, moved, time.Hour) }, before, 1},
		{"confirmed", func(t *testing.T, l *testLoop) {
			l.put(t, moved, time.Hour)
			if _, err := l.confirm(2); err != nil {
				t.Error(err)
			}
		}, after, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newTestLoop(t, testConfig)
			l.o.RunDir = filepath.Join(l.o.RunDir, "run") // which is new, as in a lab
			l.again(t)
			l.cycle(t.Context())
			tc.happens(t, l)
			// For EIO: a file in the place of the folder, in which nothing can be opened.
			if err := errors.Join(os.RemoveAll(l.store.Dir), os.WriteFile(l.store.Dir, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			l.again(t)
			l.wantLAN(t, tc.address, tc.generation)
			if n, _ := l.tree().Find("config"); n.OK || !strings.Contains(n.Cause, "not a directory") {
				t.Errorf("the status of config is %+v; want the error of the disk", n)
			}
		})
	}
}

func TestTrialsInTurn(t *testing.T) {
	l := newTestLoop(t, testConfig)
	l.put(t, moved, time.Minute)
	l.put(t, strings.Replace(testConfig, "192.168.1.1", "192.168.8.1", 1), 2*time.Minute)
	l.wantLAN(t, "192.168.8.1/24", 3)
	l.pass(time.Minute)
	l.wantLAN(t, "192.168.8.1/24", 3)
	l.pass(time.Minute)
	l.wantLAN(t, "192.168.1.1/24", 1)

	// A change for good ends the trial.
	l.put(t, moved, time.Minute)
	l.put(t, strings.Replace(testConfig, "192.168.1.1", "192.168.7.1", 1), 0)
	l.pass(time.Hour)
	l.wantLAN(t, "192.168.7.1/24", 5)
	l.again(t)
	l.wantLAN(t, "192.168.7.1/24", 5)
	got, err := l.generations()
	if err != nil {
		t.Fatal(err)
	}
	want := []status.Generation{
		{Number: 1, State: "before"},
		{Number: 2, State: "taken back", By: "anna/1", Note: "generation 3 took its place", Changed: 2, First: 5},
		{Number: 3, State: "taken back", By: "anna/1", Note: "it was not confirmed in time", Changed: 2, First: 5},
		{Number: 4, State: "taken back", By: "anna/1", Note: "generation 5 took its place", Changed: 2, First: 5},
		{Number: 5, State: "current", By: "anna/1", Changed: 2, First: 5},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("generations (-want +got):\n%s", diff)
	}
}

func TestRollback(t *testing.T) {
	l := newTestLoop(t, testConfig)
	l.facts.Clock.Set, l.fake.Time = true, time.Date(2026, 11, 25, 14, 2, 3, 4, time.UTC)
	if _, err := l.rollback(0, status.Change{}); err == nil || !strings.Contains(err.Error(), "no generation before") {
		t.Errorf("rollback of the first generation = %v", err)
	}
	l.put(t, moved, 0)
	if _, err := l.rollback(7, status.Change{}); err == nil || !strings.Contains(err.Error(), "there is no generation 7\nhint: there are 1 2") {
		t.Errorf("rollback to one that is not there = %v", err)
	}
	if o, err := l.rollback(0, status.Change{}); o.Generation != 3 || o.Trial != nil || err != nil {
		t.Errorf("rollback = %+v, %v; want generation 3 for good", o, err)
	}
	l.wantLAN(t, "192.168.1.1/24", 3)
	if o, err := l.rollback(2, status.Change{Trial: time.Minute, Session: "bert/1"}); o.Generation != 4 || o.Trial == nil || err != nil {
		t.Errorf("rollback on trial = %+v, %v", o, err)
	}
	l.wantLAN(t, "192.168.9.1/24", 4)
	got, err := l.generations()
	if err != nil {
		t.Fatal(err)
	}
	added := time.Date(2026, 11, 25, 14, 2, 3, 0, time.UTC)
	want := []status.Generation{
		{Number: 1, State: "before"},
		{Number: 2, State: "before", Added: added, By: "anna/1", Changed: 2, First: 5},
		{Number: 3, State: "current", Added: added, Note: "copy of generation 1", Changed: 2, First: 5},
		{Number: 4, State: "on trial", Added: added, By: "bert/1", Note: "1m0s left, then generation 3 is back; copy of generation 2", Changed: 2, First: 5},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("generations (-want +got):\n%s", diff)
	}
	if n, ok := l.tree().Find("trial"); !ok || n.State != "1m0s left" || n.Facts["back"] != "3" {
		t.Errorf("status has the trial as %+v", n)
	}
	l.pass(time.Minute)
	l.wantLAN(t, "192.168.1.1/24", 3)
}

func TestCompare(t *testing.T) {
	l := newTestLoop(t, testConfig)
	d := compare(l.current, strings.Replace(moved, "forwarding = true\n", "", 1), "router.toml")
	const want = "--- generation 1\n+++ router.toml\n@@ -1,8 +1,7 @@\n hostname = \"gw0\"\n-forwarding = true\n [interface.lan]\n device = \"eth0\"\n" +
		"-address = [\"192.168.1.1/24\"]\n+address = [\"192.168.9.1/24\"]\n [interface.dmz]\n device = \"eth1\"\n address = [\"192.168.2.1/24\"]\n"
	if diff := cmp.Diff(want, d.Text); diff != "" {
		t.Errorf("compare (-want +got):\n%s", diff)
	}
	words := []string{"forwarding on -> off", "interface lan: address 192.168.1.1/24 goes", "interface lan: address 192.168.9.1/24 comes"}
	if diff := cmp.Diff(words, d.Words); diff != "" {
		t.Errorf("compare in words (-want +got):\n%s", diff)
	}
	if d := compare(l.current, testConfig, "router.toml"); d.Text != "" || d.Words != nil {
		t.Errorf("compare with itself = %+v", d)
	}
	// One that this image cannot read has no words.
	if d := compare(status.Config{Generation: 3, Text: "hostnam = 1\n"}, testConfig, "router.toml"); d.Text == "" || d.Words != nil {
		t.Errorf("compare with a broken one = %+v", d)
	}
}

// A trial that is taken back leaves nothing behind on what it alone named.
func TestTrialGivesEverythingBack(t *testing.T) {
	lan, dmz, _ := strings.Cut(testConfig, "[interface.dmz]")
	lan = strings.Replace(lan, "[interface.lan]", "[sysctl]\n\"net.core.rmem_max\" = \"1000\"\n[interface.lan]", 1)
	trial := strings.Replace(lan, "1000", "2000", 1) + "mtu = 1000\n[interface.over]\nover = \"lan\"\nvlan = 10\n[interface.lo]\naddress = [\"10.255.0.1/32\"]\n[interface.dmz]" + dmz
	trial = strings.Replace(trial, "[interface.lan]", "\"net.core.somaxconn\" = 9\n[interface.lan]", 1)
	l := newTestLoop(t, lan)
	l.fake.Net.Links = append(l.fake.Net.Links, system.Link{Name: "lo", Index: 1, Loopback: true, Up: true})
	l.fake.Sysctl["net/core/rmem_max"], l.fake.Sysctl["net/core/somaxconn"] = "500", "4096"
	l.cycle(t.Context())
	before := l.network()
	l.put(t, trial, time.Minute)
	during := l.network()
	if !strings.Contains(during, "eth1 up") || !strings.Contains(during, "lo 10.255.0.1/32") || !strings.Contains(during, "mtu 1000") || !strings.Contains(during, "somaxconn 9") {
		t.Fatalf("the trial is not in force:\n%s", during)
	}
	l.pass(time.Minute)
	l.cycle(t.Context())
	if diff := cmp.Diff(before, l.network()); diff != "" {
		t.Errorf("after the trial (-before +after)\n%s", diff)
	}
	l.fake.TakeCalls()
	l.cycle(t.Context())
	if calls := l.fake.TakeCalls(); len(calls) > 0 {
		t.Errorf("one more cycle changed %v", calls)
	}
}

// network is the fake kernel's state in words.
func (l *testLoop) network() string {
	var b strings.Builder
	for _, k := range l.fake.Net.Links {
		fmt.Fprintf(&b, "%s up %v mtu %d\n", k.Name, k.Up, k.MTU)
	}
	for _, a := range l.fake.Net.Addresses {
		fmt.Fprintf(&b, "%s %s\n", a.Link, a.Prefix)
	}
	for _, key := range []string{"rmem_max", "somaxconn"} {
		fmt.Fprintf(&b, "%s %s\n", key, l.fake.Sysctl["net/core/"+key])
	}
	return strings.ReplaceAll(b.String(), "up true", "up")
}

// A loop that dies inside a trial: the next one knows what that had named.
func TestNextLoopGivesTheTrialsPortBack(t *testing.T) {
	lan, _, _ := strings.Cut(testConfig, "[interface.dmz]")
	l := newTestLoop(t, lan)
	l.cycle(t.Context())
	l.put(t, testConfig, time.Minute)
	l.units.stopAll()
	next := &testLoop{told: l.told, fake: l.fake}
	next.loop = newLoop(LoopOptions{DataDir: l.o.DataDir, RunDir: l.o.RunDir, Report: next.told, Log: l.o.Log}, l.fake)
	defer next.units.stopAll()
	next.takeOver(t.Context())
	next.cycle(t.Context())
	if got := next.network(); strings.Contains(got, "192.168.2.1") || strings.Contains(got, "eth1 up mtu") {
		t.Errorf("eth1 is still what the trial made of it:\n%s", got)
	}
}
