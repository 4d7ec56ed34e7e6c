package supervisor

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/config"
	"tench/supervisor/door"
)

// The loop tells where to listen once it knows the devices, and again only when
// that changes.
func TestDoorFollowsDevices(t *testing.T) {
	l := newTestLoop(t, testConfig+"\n[ssh]\ninterface = [\"lan\"]\nport = 2222\n")
	told := func() string {
		l.told.Reset()
		l.cycle(t.Context())
		for line := range strings.Lines(l.told.String()) {
			if strings.HasPrefix(line, wordDoor) {
				return strings.TrimSpace(line)
			}
		}
		return ""
	}
	first := told()
	want := l.wish()
	if len(want.Devices) != 1 || want.Port != 2222 || first != "door "+want.String() {
		t.Fatalf("PID 1 was told %q, the wish is %+v", first, want)
	}
	if again := told(); again != "" {
		t.Errorf("PID 1 was told %q without a change", again)
	}
	l.fake.Change(func() { l.fake.Net.Links[0].Index = 9 }) // pulled and put back
	if got := told(); got != "door 2222 eth0/9" {
		t.Errorf("after the device came back PID 1 was told %q", got)
	}
	l.cfg.SSH = config.SSH{}
	if off := told(); off != "door" {
		t.Errorf("without [ssh] PID 1 was told %q", off)
	}
}

func TestDescribeDoor(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	up := door.State{Fingerprint: "SHA256:abc", Port: 22, Devices: []string{"eth1"}, Keys: 1, Logins: 3, BadLogins: 2, TurnedAway: 1}
	with := func(change func(*door.State)) door.State {
		s := up
		change(&s)
		return s
	}
	for name, tc := range map[string]struct {
		s     door.State
		state string
		cause string
		also  string // in a detail
	}{
		"up":        {up, "up", "", "port 22 on eth1; host key SHA256:abc; 3 logins, 2 refused, 1 turned away"},
		"no device": {with(func(s *door.State) { s.Devices = nil }), "waiting", "none of its interfaces is there", ""},
		"no key":    {with(func(s *door.State) { s.Keys = 0 }), "closed", "no key may log in: data:/identity/authorized_keys has none that can be used", ""},
		"spare key": {with(func(s *door.State) { s.Spare = "host key: read-only file system" }), "up", "its host key is for this boot only: host key: read-only file system", ""},
		"port taken": {with(func(s *door.State) { s.Problems = []string{"door: listen on eth1 port 22: in use"} }), "down",
			"door: listen on eth1 port 22: in use", ""},
		"sessions and refusals": {with(func(s *door.State) {
			s.Sessions = []door.Session{{ID: "anna@desk/1", From: "192.0.2.1", Since: now.Add(-time.Minute)}}
			s.LastRefused = &door.Refused{From: "192.0.2.2", Why: "it offered no key", When: now.Add(time.Hour)}
		}), "up", "", "last refused 192.0.2.2, 0s ago: it offered no key; session anna@desk/1 from 192.0.2.1 for 1m0s"},
	} {
		n := describeDoor(tc.s, now)
		if n.State != tc.state || n.OK != (tc.cause == "") {
			t.Errorf("%s: state %q, OK %v", name, n.State, n.OK)
		}
		if diff := cmp.Diff(tc.cause, n.Cause); diff != "" {
			t.Errorf("%s: cause (-want +got)\n%s", name, diff)
		}
		if detail := strings.Join(n.Detail, "; "); !strings.Contains(detail, tc.also) {
			t.Errorf("%s: details %s", name, detail)
		}
	}
}

func TestDoorStateOfADoorThatIsGone(t *testing.T) {
	dir := t.TempDir()
	if _, err := door.ReadState(dir); err != door.ErrNoDoor {
		t.Errorf("without a file: %v", err)
	}
	for text, want := range map[string]string{`{"pid":0}`: "the door does not run", `{"pid":-1}`: "the door does not run", "{": "door: read state"} {
		if err := os.WriteFile(dir+"/"+door.StateName, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := door.ReadState(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %s: %v", text, err)
		}
	}
}
