package supervisor

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tench/config"
	"tench/supervisor/unit"
)

// A DHCP client that is to ask otherwise must not take the address away until it
// has looked for its lease: the operator may have come in by it.
func TestAddressStaysWhenItsClientIsChanged(t *testing.T) {
	const wan = "[interface.wan]\ndevice = \"eth0\"\ndhcp4 = { metric = 50 }\n"
	l := newTestLoop(t, strings.Replace(wan, "50", "100", 1))
	l.fake.Boot = "b1"
	l.fake.Net.Links[0].Carrier = false // no sockets
	lease := `{"boot-id":"b1","mac":"52:54:00:00:00:00","lease":{"address":"10.0.2.15/24","server":"10.0.2.2","duration":3600000000000,"t1":1800000000000,"t2":3000000000000}}`
	if err := os.WriteFile(filepath.Join(l.stateDir(), "dhcp-wan.json"), []byte(lease), 0o600); err != nil {
		t.Fatal(err)
	}
	l.takeOver(t.Context())
	l.cycle(t.Context())
	if calls := strings.Join(l.fake.TakeCalls(), "\n"); !strings.Contains(calls, "add address eth0 10.0.2.15/24") {
		t.Fatalf("the lease was not taken up:\n%s", calls)
	}
	var err error
	if l.cfg, err = config.Parse(configName, []byte(wan)); err != nil {
		t.Fatal(err)
	}
	l.cycle(t.Context()) // starts another client
	l.cycle(t.Context()) // which has not said anything yet
	if calls := l.fake.TakeCalls(); len(calls) > 0 {
		t.Errorf("while the client was exchanged: %q, want no change", calls)
	}
}

// hanging is a unit that a dead disk keeps from ending.
type hanging struct{ released chan struct{} }

func (h hanging) String() string { return "hanging" }

func (h hanging) Run(context.Context, chan<- unit.Event) error {
	<-h.released
	return nil
}

// The loop cycles on although units do not end, and PID 1 feeds the watchdog.
func TestUnitsThatHangAreLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLoop(t, testConfig)
		h := hanging{make(chan struct{})}
		for _, name := range []string{"dhcp wan", "dhcp umts", "reach gateway", "one", "two", "three", "four"} {
			l.units.start(t.Context(), name, wanted{spec: name, make: func() unit.Unit { return h }})
		}
		synctest.Wait() // all of them hang now
		began := time.Now()
		l.cycle(t.Context())
		if took := time.Since(began); took >= silenceLimit {
			t.Errorf("the cycle took %v; PID 1 kills the loop after %v", took, silenceLimit)
		}
		if len(l.units.running) != 1 || l.units.running["clock"] == nil {
			t.Errorf("running units: %v; want the clock alone", slices.Collect(maps.Keys(l.units.running)))
		}
		if log := strings.Join(l.log, "\n"); !strings.Contains(log, "dhcp wan: it does not end") {
			t.Errorf("log:\n%s\nwant that dhcp wan does not end", log)
		}
		close(h.released)
	})
}
