package supervisor

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/config"
	"tench/supervisor/health"
	"tench/supervisor/status"
	"tench/supervisor/system"
	"tench/supervisor/unit"
)

const testConfig = `hostname = "gw0"
forwarding = true
[interface.lan]
device = "eth0"
address = ["192.168.1.1/24"]
[interface.dmz]
device = "eth1"
address = ["192.168.2.1/24"]
`

// testLoop is a loop over a kernel in memory that has eth0 and eth1.
type testLoop struct {
	*loop
	fake *system.Fake
	told *strings.Builder // what PID 1 was told
	log  []string
}

func newTestLoop(t *testing.T, config string) *testLoop {
	t.Helper()
	dir := t.TempDir()
	generation := filepath.Join(dir, "config", "1")
	err := errors.Join(os.MkdirAll(generation, 0o755),
		os.WriteFile(filepath.Join(generation, "router.toml"), []byte(config), 0o644),
		os.WriteFile(filepath.Join(dir, "config", "current"), []byte("1\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	l := &testLoop{told: &strings.Builder{}, fake: &system.Fake{Sysctl: map[string]string{}}}
	for i, name := range []string{"eth0", "eth1"} {
		l.fake.Net.Links = append(l.fake.Net.Links, system.Link{Name: name, Index: 2 + i, MAC: "52:54:00:00:00:0" + name[3:], MTU: 1500, Carrier: true})
	}
	l.loop = newLoop(LoopOptions{DataDir: dir, RunDir: dir, Report: l.told,
		Log: func(format string, args ...any) { l.log = append(l.log, fmt.Sprintf(format, args...)) }}, l.fake)
	t.Cleanup(l.units.stopAll)
	return l
}

func TestCycleAppliesOnceAndTellsReady(t *testing.T) {
	l := newTestLoop(t, testConfig)
	l.cycle(t.Context())
	if calls := strings.Join(l.fake.TakeCalls(), "\n"); !strings.Contains(calls, "192.168.1.1/24") || !strings.Contains(calls, "192.168.2.1/24") {
		t.Errorf("the first cycle did not add the addresses:\n%s", calls)
	}
	l.cycle(t.Context())
	if calls := l.fake.TakeCalls(); len(calls) > 0 {
		t.Errorf("the second cycle changed %v, want nothing", calls)
	}
	if want := "console locked 0 \npolicy 1m0s 5m0s\nhealth\ncycle\ndoor\nready\nhealth\ncycle\n"; l.told.String() != want {
		t.Errorf("PID 1 was told %q, want %q", l.told.String(), want)
	}
}

func TestRefusedChangeDoesNotStopTheOthers(t *testing.T) {
	l := newTestLoop(t, testConfig)
	l.fake.Fail = map[string]error{}
	l.cycle(t.Context())
	var refused string
	for _, call := range l.fake.TakeCalls() {
		if strings.Contains(call, "192.168.1.1/24") {
			refused = call
		}
	}
	// The same again, with a kernel that refuses this one.
	l = newTestLoop(t, testConfig)
	l.fake.Fail = map[string]error{refused: errors.New("no buffer space available")}
	l.cycle(t.Context())
	root := l.tree()
	lan, _ := root.Find("lan")
	dmz, _ := root.Find("dmz")
	if lan.OK || !strings.Contains(lan.Cause, "no buffer space available") || !dmz.OK {
		t.Errorf("lan = %+v, dmz = %+v; want lan refused, dmz up", lan, dmz)
	}
	if strings.Contains(l.told.String(), "ready") {
		t.Errorf("PID 1 was told ready at once: %q", l.told.String())
	}
	lines := len(l.log)
	l.cycle(t.Context())
	if len(l.log) > lines {
		t.Errorf("the same refusal is logged with every cycle: %v", l.log[lines:])
	}
}

func TestTreeTellsCauses(t *testing.T) {
	l := newTestLoop(t, strings.Replace(testConfig, `"eth1"`, `"eth7"`, 1))
	l.cycle(t.Context())
	l.fake.Change(func() { l.fake.Net.Links[0].Carrier = false })
	l.cycle(t.Context())
	root := l.tree()
	for name, want := range map[string]string{
		"lan": "lan down: no carrier on eth0",
		"dmz": "dmz missing: ",
	} {
		lines, err := status.Why(root, name)
		if err != nil || len(lines) == 0 || !strings.HasPrefix(lines[0], want) {
			t.Errorf("Why(%s) = %q, %v; want %q", name, lines, err, want)
		}
	}
	if root.OK || root.State != "degraded" {
		t.Errorf("root = %s, OK %v; want degraded", root.State, root.OK)
	}
}

// A stick in a box that it was not made for: one port by a MAC address that went
// with the old box, one by a label that the new one lacks. What can be had comes
// up; the rest is told in the status, in the log, once, and to PID 1.
func TestUnlikeHardware(t *testing.T) {
	l := newTestLoop(t, `hostname = "gw0"
[interface.wan]
device = "eth0"
address = ["192.168.1.1/24"]
[interface.lan]
device = "52:54:00:00:00:99"
address = ["192.168.2.1/24"]
[interface.guest]
over = "lan"
vlan = 10
[interface.dmz]
device = "port:DMZ"
[[route]]
to = "10.0.0.0/8"
via = "192.168.2.9"
`)
	l.ports = map[string]config.Selector{"WAN": {Name: "eth0"}, "LAN": {Name: "eth1"}}
	l.started = time.Now().Add(-2 * readyWait)
	for range 3 {
		l.cycle(t.Context())
	}
	if calls := strings.Join(l.fake.TakeCalls(), "\n"); !strings.Contains(calls, "192.168.1.1/24") || strings.Contains(calls, "eth1") {
		t.Errorf("wan did not come up, or a port that nobody named was touched:\n%s", calls)
	}
	want := []string{
		"dmz: missing: the board has no port DMZ; it has LAN, WAN; unused: port:LAN (eth1)",
		"guest: missing: lan is missing",
		"lan: missing: no device with MAC 52:54:00:00:00:99; unused: port:LAN (eth1)",
	}
	var logged []string
	for _, line := range l.log {
		if strings.Contains(line, ": missing: ") {
			logged = append(logged, line)
		}
	}
	if diff := cmp.Diff(want, logged); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	root := l.tree()
	for _, line := range want {
		name, cause, _ := strings.Cut(line, ": missing: ")
		if n, ok := root.Find(name); !ok || n.OK || n.State != "missing" || n.Cause != cause {
			t.Errorf("status of %s = %+v; want it missing: %s", name, n, cause)
		}
	}
	if wan, _ := root.Find("wan"); !wan.OK {
		t.Errorf("status of wan = %+v; want it up", wan)
	}
	if told := l.told.String(); !strings.Contains(told, "ready dmz, guest, lan, route 10.0.0.0/8\n") {
		t.Errorf("PID 1 was told %q, want ready with what is missing", told)
	}
	// The port that was looked for is plugged in after all.
	l.fake.Change(func() { l.fake.Net.Links[1].MAC = "52:54:00:00:00:99" })
	l.cycle(t.Context())
	root = l.tree()
	if lan, _ := root.Find("lan"); !lan.OK {
		t.Errorf("status of lan = %+v; want it up", lan)
	}
	if last := l.log[len(l.log)-1]; last != "dmz: missing: the board has no port DMZ; it has LAN, WAN; all ports of the box are in use" {
		t.Errorf("the last line of the log is %q", last)
	}
}

func TestBrokenConfigIsTold(t *testing.T) {
	l := newTestLoop(t, "hostnam = \"x\"\n")
	l.cycle(t.Context())
	if !strings.Contains(l.current.Problem, `unknown key "hostnam"`) {
		t.Errorf("problem = %q", l.current.Problem)
	}
	if !strings.Contains(l.told.String(), "ready router.toml") {
		t.Errorf("PID 1 was told %q, want ready without router.toml", l.told.String())
	}
	if n, ok := l.tree().Find("config"); !ok || n.OK || strings.Contains(n.Cause, "\n") || !strings.Contains(n.Cause, "; hint: did you mean") {
		t.Errorf("config node = %+v, want one that is not OK, and its cause in a line", n)
	}
}

// What PID 1 knows of the data partition is in the status, and `why` has a cause.
func TestDataProblemIsTold(t *testing.T) {
	l := newTestLoop(t, testConfig)
	l.cycle(t.Context())
	if _, there := l.tree().Find("data partition"); there {
		t.Error("the status has a data partition that is well")
	}
	note := "data: ext4 found an error on sda4\nhint: reboot\n"
	if err := os.WriteFile(filepath.Join(l.o.RunDir, DataProblemName), []byte(note), 0o644); err != nil {
		t.Fatal(err)
	}
	root := l.tree()
	lines, err := status.Why(root, root.Name)
	if err != nil || root.OK || !slices.Contains(lines, "data partition trouble: data: ext4 found an error on sda4; hint: reboot") {
		t.Errorf("why %s = %q, %v; want what is wrong with the data partition", root.Name, lines, err)
	}
}

// Whoever is told that a change is made must not get in any more over what it
// took away, or they would confirm what cuts them off.
func TestAnswerComesWhenTheChangeIsInForce(t *testing.T) {
	l := newTestLoop(t, testConfig)
	l.cycle(t.Context())
	c := control{l.loop}
	for _, tc := range []struct {
		name, want string
		ask        func() (status.Outcome, error)
	}{
		{"apply", "192.168.9.1/24", func() (status.Outcome, error) {
			return c.Apply(t.Context(), status.Change{Text: moved, Trial: time.Minute})
		}},
		{"rollback", "192.168.1.1/24", func() (status.Outcome, error) { return c.Rollback(t.Context(), 0, status.Change{}) }},
	} {
		var atAnswer []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := tc.ask(); err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
		}()
		(<-l.requests)()
		for i, answer := range l.afterCycle {
			l.afterCycle[i] = func() {
				for _, a := range l.fake.Net.Addresses {
					if a.Link == "eth0" {
						atAnswer = append(atAnswer, a.Prefix.String())
					}
				}
				answer()
			}
		}
		l.cycle(t.Context())
		<-done
		if diff := cmp.Diff([]string{tc.want}, atAnswer); diff != "" {
			t.Errorf("%s: addresses of lan when it is answered (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestApplyStoresAGenerationOnce(t *testing.T) {
	l := newTestLoop(t, testConfig)
	c := control{l.loop}
	done := make(chan struct{})
	go func() { // the loop's goroutine
		defer close(done)
		for range 3 {
			(<-l.requests)()
			l.cycle(t.Context())
		}
	}()
	var got []int
	changed := strings.Replace(testConfig, "192.168.2.1", "192.168.3.1", 1)
	for _, text := range []string{testConfig, changed, changed} {
		o, err := c.Apply(t.Context(), status.Change{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o.Generation)
	}
	<-done
	if diff := cmp.Diff([]int{1, 2, 2}, got); diff != "" {
		t.Errorf("generations (-want +got)\n%s", diff)
	}
	if _, err := c.Apply(t.Context(), status.Change{Text: "hostnam = 1"}); err == nil {
		t.Error("a file with a mistake was applied")
	}
}

// What [health] asks for besides the network holds a trial up.
func TestUnhealthy(t *testing.T) {
	l := newTestLoop(t, testConfig+"[health]\nunit = [\"clock\"]\nreach = [\"192.0.2.9\"]\nmaintenance = [\"lan\"]\n")
	if err := (health.Note{Slot: "b", Trial: true}).Write(l.o.RunDir); err != nil {
		t.Fatal(err)
	}
	l.readTrial()
	l.applyAll() // no units: they would ask the network of the machine that runs the test
	l.fake.Change(func() { l.fake.Net.Links[0].Carrier = false })
	l.applyAll()
	l.facts.Units = map[string]unit.State{"clock": {Text: "no time server", OK: true}, "reach 192.0.2.9": {Text: "no answer"}}
	want := []string{"lan down: no carrier on eth0", "reach 192.0.2.9: no answer"}
	if diff := cmp.Diff(want, l.unhealthy()); diff != "" {
		t.Errorf("unhealthy (-want +got):\n%s", diff)
	}
	l.fake.Change(func() { l.fake.Net.Links[0].Carrier = true })
	l.facts.Units["reach 192.0.2.9"] = unit.State{Text: "answers", OK: true}
	l.applyAll()
	if got := l.unhealthy(); got != nil {
		t.Errorf("unhealthy = %q, want nothing", got)
	}
}

// A line that is down holds up a trial, unless [health] says that it may.
func TestUnhealthyWithoutALease(t *testing.T) {
	const uplinks = "[interface.wan]\ndevice = \"eth0\"\ndhcp4 = true\n[interface.umts]\ndevice = \"eth7\"\naddress = [\"192.0.2.1/24\"]\n" +
		"[[route]]\nto = \"10.0.0.0/8\"\nvia = \"192.0.2.9\"\n[[route]]\nto = \"198.51.100.0/24\"\nvia = \"10.0.2.9\"\ninterface = \"wan\"\n"
	noLease, noDevice := "dhcp wan: it has not reported yet", "umts: no device called eth7; unused: eth1"
	overUMTS, overWAN := "route 10.0.0.0/8: umts is missing", "route 198.51.100.0/24: wan has no lease yet"
	for _, tc := range []struct {
		health string
		want   []string
	}{
		{"", []string{noLease, overUMTS, overWAN, noDevice}},
		{"[health]\noptional = [\"wan\"]\n", []string{overUMTS, noDevice}},
		{"[health]\noptional = [\"umts\", \"wan\"]\n", nil},
	} {
		l := newTestLoop(t, uplinks+tc.health)
		l.applyAll()
		if diff := cmp.Diff(tc.want, l.unhealthy()); diff != "" {
			t.Errorf("%q: unhealthy (-want +got):\n%s", tc.health, diff)
		}
	}
}

// Two routes to one destination are two things: the one that is there is not shown
// as missing with the other.
func TestRoutesToOneDestination(t *testing.T) {
	l := newTestLoop(t, testConfig+"[interface.umts]\ndevice = \"eth7\"\naddress = [\"192.0.2.1/24\"]\n"+
		"[[route]]\nto = \"default\"\nvia = \"192.168.1.9\"\n[[route]]\nto = \"default\"\nvia = \"192.0.2.9\"\nmetric = 20\n")
	l.cycle(t.Context())
	root := l.tree()
	first, _ := root.Find("route 0.0.0.0/0")
	second, there := root.Find("route 0.0.0.0/0 metric 20")
	if !first.OK || !there || second.OK {
		t.Errorf("routes %+v, %+v; want the second one missing", first, second)
	}
}

// An interface that router.toml keeps down is as it should be.
func TestInterfaceThatIsOff(t *testing.T) {
	l := newTestLoop(t, "[interface.umts]\ndevice = \"eth0\"\nup = false\ndhcp4 = true\n")
	l.cycle(t.Context())
	root := l.tree()
	if n, _ := root.Find("umts"); !root.OK || !n.OK || n.State != "off" {
		t.Errorf("the box is %+v, umts %+v; want both well, and umts off", root, n)
	}
}

// Of a VLAN that cannot be made the operator reads that, and not that nothing on
// it can be had either.
func TestNothingIsTriedOnWhatCannotBeMade(t *testing.T) {
	l := newTestLoop(t, testConfig+"[interface.guest]\nover = \"lan\"\nvlan = 10\naddress = [\"192.168.3.1/24\"]\n")
	l.fake.Fail = map[string]error{"make vlan guest eth0 10": errors.New("guest: make vlan: taken")}
	l.cycle(t.Context())
	if diff := cmp.Diff([]string{"guest: make VLAN 10 over lan"}, slices.Sorted(maps.Keys(l.refused))); diff != "" {
		t.Errorf("refused (-want +got)\n%s", diff)
	}
}

func TestDHCPWithoutACable(t *testing.T) {
	l := newTestLoop(t, testConfig)
	l.facts.Units["dhcp wan"] = unit.State{Text: "waiting: no carrier"}
	if n := l.dhcpNode("wan"); n.State != "waiting" || n.Cause != "no carrier" || n.OK {
		t.Errorf("dhcpNode = %+v, want that it waits for a carrier", n)
	}
}
