package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/config"
	"tench/release/netboot"
	"tench/supervisor/door"
	"tench/supervisor/health"
	"tench/supervisor/proc"
	"tench/supervisor/slots"
	"tench/supervisor/status"
)

func TestReadyLine(t *testing.T) {
	for _, tc := range []struct {
		slot          string
		mode          netboot.Mode
		missing, want string
	}{
		{"a", "", "", "tench: ready in 1.234 s (kernel 0.9 s) slot=a"},
		{"b", "", "dhcp wan, lan", "tench: ready in 1.234 s (kernel 0.9 s) slot=b; missing: dhcp wan, lan"},
		{"", "", "", "tench: ready in 1.234 s (kernel 0.9 s)"},
		{"", netboot.Run, "", "tench: ready in 1.234 s (kernel 0.9 s) diskless"},
		{"", netboot.Install, "dhcp eth1", "tench: ready in 1.234 s (kernel 0.9 s) installing; missing: dhcp eth1"},
	} {
		if got := readyLine(1234*time.Millisecond, 900*time.Millisecond, startedFrom(tc.slot, tc.mode), tc.missing); got != tc.want {
			t.Errorf("readyLine = %q; want %q", got, tc.want)
		}
	}
}

func TestParseMessage(t *testing.T) {
	for _, tc := range []struct {
		line string
		want message
		err  string
	}{
		{line: "cycle", want: message{word: "cycle"}},
		{line: "ready", want: message{word: "ready"}},
		{line: "ready dhcp wan, lan", want: message{word: "ready", missing: "dhcp wan, lan"}},
		{line: "console locked 9600 ttyS0 ttyUSB0",
			want: message{word: "console", consoles: consoles{speed: 9600, ports: []string{"ttyS0", "ttyUSB0"}}}},
		{line: "door", want: message{word: "door"}},
		{line: "door 22", want: message{word: "door", door: door.Wish{Port: 22}}},
		{line: "door 22 eth1/3", want: message{word: "door", door: door.Wish{Port: 22, Devices: []door.Device{{Name: "eth1", Index: 3}}}}},
		{line: "door eth1", err: "\"eth1\" is not a port"},
		{line: "door 22 eth1", err: "\"eth1\" is not a device with its index"},
		{line: "policy 1m0s 5m0s", want: message{word: "policy", policy: health.Policy{For: time.Minute, Within: 5 * time.Minute}}},
		{line: "policy 1m0s", err: "want two durations"},
		{line: "policy 1m0s -5m", err: "want two durations"},
		{line: "health", want: message{word: "health"}},
		{line: "health dhcp wan: asking; lan: no device", want: message{word: "health", wrong: []string{"dhcp wan: asking", "lan: no device"}}},
		{line: "health " + strings.Repeat("a; ", 999), want: message{word: "health", wrong: strings.Split(strings.Repeat("a; ", 333)+"a", "; ")}},
		{line: "ready " + strings.Repeat("a", 2*maxWrong), want: message{word: "ready", missing: strings.Repeat("a", maxWrong)}},
		{line: "console yes 9600 ttyS0", err: "want trusted or locked"},
		{line: "console trusted", err: "want trusted or locked"},
		{line: "console trusted fast ttyS0", err: `"fast" is not a speed`},
		{line: "console trusted -1 ttyS0", err: `"-1" is not a speed`},
		{line: "", err: "does not start with"},
		{line: "reboot", err: "does not start with"},
	} {
		got, err := parseMessage(tc.line)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("parseMessage(%q) = %v; want %q", tc.line, err, tc.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("parseMessage(%q): %v", tc.line, err)
		}
		if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(message{}, consoles{})); diff != "" {
			t.Errorf("parseMessage(%q) (-want +got):\n%s", tc.line, diff)
		}
	}
}

func TestConsolesFor(t *testing.T) {
	yes, no := true, false
	board := boards.Console{Device: "ttyS0", Speed: 115200, Menu: true}
	for _, tc := range []struct {
		name  string
		board boards.Console
		cfg   config.Console
		want  string
	}{
		{"the board's", board, config.Console{}, "console trusted 115200 ttyS0"},
		{"router.toml locks it", board, config.Console{Trusted: &no}, "console locked 115200 ttyS0"},
		{"router.toml unlocks it", boards.Console{Device: "ttyS1", Speed: 9600}, config.Console{Trusted: &yes}, "console trusted 9600 ttyS1"},
		{"other ports and speed", board, config.Console{Ports: []string{"ttyS1", "ttyUSB0"}, Speed: 9600}, "console trusted 9600 ttyS1 ttyUSB0"},
	} {
		c := consolesFor(tc.board, tc.cfg)
		if c.String() != tc.want {
			t.Errorf("%s: %q; want %q", tc.name, c, tc.want)
		}
		back, err := parseMessage(c.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, back.consoles, cmp.AllowUnexported(consoles{})); diff != "" {
			t.Errorf("%s: read back (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestPolicyLine(t *testing.T) {
	own := health.Policy{For: 10 * time.Second, Within: 2 * time.Minute}
	for h, want := range map[*config.Health]health.Policy{
		{}:                                 health.Default, // no router.toml can be used
		{For: own.For, Within: own.Within}: own,
	} {
		if m, err := parseMessage(policyLine(*h)); err != nil || m.policy != want {
			t.Errorf("%+v: PID 1 reads %+v, %v; want %+v", *h, m.policy, err, want)
		}
	}
}

func TestHealthLine(t *testing.T) {
	for want, wrong := range map[string][]string{
		"health":                     nil,
		"health lan: no carrier":     {"lan: no carrier"},
		"health a, b c; router.toml": {"a; b\nc", "router.toml"},
	} {
		got := healthLine(wrong)
		if got != want {
			t.Errorf("healthLine(%q) = %q; want %q", wrong, got, want)
		}
		if m, err := parseMessage(got); err != nil || len(m.wrong) != len(wrong) {
			t.Errorf("parseMessage(%q) = %+v, %v", got, m, err)
		}
	}
}

// A trial's judge must not take an old word for a new one.
func TestFacts(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	for _, tc := range []struct {
		name string
		p    pid1
		want health.Facts
	}{
		{"waiting for the disk", pid1{}, health.Facts{Loop: []string{"the network loop waits for the data partition"}}},
		{"data partition read-only", pid1{dataErr: errors.New("data: /dev/sda4 is read-only\nhint: replace it"), loop: &running{}, pulse: pulse{started: at(1), cycled: at(19)}, trial: slotTrial{reported: true}},
			health.Facts{Data: []string{"data: /dev/sda4 is read-only; hint: replace it"}}},
		{"loop started anew", pid1{loop: &running{}, pulse: pulse{started: at(20), cycled: at(19)}, trial: slotTrial{reported: true}},
			health.Facts{Loop: []string{"the network loop has completed no cycle since it was started"}}},
		{"loop hangs", pid1{loop: &running{}, pulse: pulse{started: at(1), cycled: at(10)}, trial: slotTrial{reported: true}},
			health.Facts{Loop: []string{"the network loop hangs"}}},
		{"loop says nothing", pid1{loop: &running{}, pulse: pulse{started: at(1), cycled: at(19)}},
			health.Facts{Loop: []string{"the network loop has not said how the network is"}}},
		{"network", pid1{loop: &running{}, pulse: pulse{started: at(1), cycled: at(19)}, trial: slotTrial{reported: true, network: []string{"lan: no device"}}},
			health.Facts{Network: []string{"lan: no device"}}},
		{"one of two menus", pid1{loop: &running{}, pulse: pulse{started: at(1), cycled: at(19)}, menusAt: consoles{ports: []string{"ttyS0", "ttyUSB0"}},
			trial: slotTrial{reported: true, menus: map[string]bool{"ttyS0": true, "ttyUSB0": false}}},
			health.Facts{Console: []string{"no menu runs on ttyUSB0"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.p.facts(at(20))); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

// The count of errors is of all boots; what counts is whether it rises in this one.
func TestDataWatch(t *testing.T) {
	root := fakeRoot(t, map[string]string{"devices/usb/sda/sda4/partition": "4\n", "fs/ext4/sda4/errors_count": "2\n", "dev/block/x": ""})
	if err := os.Symlink("../../devices/usb/sda/sda4", filepath.Join(root, "dev/block/8:4")); err != nil {
		t.Fatal(err)
	}
	w, none := watchDevice(root, 8, 4), watchDevice(root, 0, 31)
	look := func(w dataWatch, want string) {
		t.Helper()
		err := w.look()
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "\nhint: ")) {
			t.Errorf("look = %v; want %q", err, want)
		}
	}
	look(w, "")
	if err := os.WriteFile(filepath.Join(root, "fs/ext4/sda4/errors_count"), []byte("3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	look(w, "data: ext4 found an error on sda4 and stopped using it: ")
	if err := os.RemoveAll(filepath.Join(root, "devices/usb")); err != nil {
		t.Fatal(err)
	}
	look(w, "data: sda4 is gone: ")
	look(none, "")
}

// A box without slots keeps its crashes too; the next boot has no news of them.
func TestLearn(t *testing.T) {
	pstore, dir := t.TempDir(), filepath.Join(t.TempDir(), "state")
	const reason = "Kernel panic - not syncing: x"
	if err := os.WriteFile(filepath.Join(pstore, "dmesg-ramoops-0"), []byte("<0>[ 1.0] "+reason+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, news := range [][]string{{"the boot before this one ended with: " + reason}, nil} {
		got := learn(slots.Boot{}, pstore, dir)
		if diff := cmp.Diff(past{crash: reason, news: news}, got, cmp.AllowUnexported(past{})); diff != "" {
			t.Errorf("learn (-want +got):\n%s", diff)
		}
	}
}

// Only a slot that was confirmed makes what is older a downgrade.
func TestRunsGood(t *testing.T) {
	for name, tc := range map[string]struct {
		boot slots.Boot
		st   slots.State
		want bool
	}{
		"as usual":                     {slots.Boot{Slot: "a"}, slots.State{Slot: "a", Good: "a"}, true},
		"the other one is armed":       {slots.Boot{Slot: "a"}, slots.State{Slot: "b", Good: "a", Pending: true, Tries: 3}, true},
		"on trial":                     {slots.Boot{Slot: "b", Trial: true}, slots.State{Slot: "b", Good: "a", Pending: true, Tries: 2}, false},
		"picked in GRUB's menu":        {slots.Boot{Slot: "b"}, slots.State{Slot: "a", Good: "a"}, false},
		"the good one fails to load":   {slots.Boot{Slot: "a"}, slots.State{Slot: "b", Good: "b"}, false},
		"confirmed in the boot before": {slots.Boot{Slot: "b"}, slots.State{Slot: "b", Good: "b"}, true},
	} {
		if got := runsGood(tc.boot, tc.st); got != tc.want {
			t.Errorf("%s: runsGood = %v, want %v", name, got, tc.want)
		}
	}
}

func TestSlotNodes(t *testing.T) {
	dir := t.TempDir()
	if got := slotNodes(dir); got != nil {
		t.Errorf("without PID 1: %+v", got)
	}
	n := health.Note{Slot: "b", Trial: true, Outcome: health.Waiting, Reasons: []string{"dhcp wan: asking"}, LastTrial: "slot b is on trial", LastCrash: "x"}
	if err := n.Write(dir); err != nil {
		t.Fatal(err)
	}
	want := []status.Node{
		{Name: "slot", State: "b", Cause: "on trial: dhcp wan: asking", Facts: map[string]string{"slot": "b", "health": "waiting", "trial": "yes"}},
		{Name: "last trial", State: "kept", OK: true, Detail: []string{"slot b is on trial"}},
		{Name: "last crash", State: "kept", OK: true, Detail: []string{"x"}},
	}
	if diff := cmp.Diff(want, slotNodes(dir)); diff != "" {
		t.Errorf("slotNodes (-want +got):\n%s", diff)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add("ready dhcp wan")
	f.Add("console trusted 115200 ttyS0")
	f.Fuzz(func(t *testing.T, line string) {
		if m, err := parseMessage(line); err == nil && m.word == wordConsole && m.consoles.speed <= 0 {
			t.Errorf("parseMessage(%q) = %+v", line, m)
		}
	})
}

func TestPulse(t *testing.T) {
	born := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return born.Add(time.Duration(seconds) * time.Second) }
	for _, tc := range []struct {
		name             string
		started, cycled  int // seconds; -1 for never
		now              int
		wantFeed, wantHu bool
	}{
		{"waiting for a slow disk", -1, -1, 25, true, false},
		{"no loop for too long", -1, -1, 60, false, false},
		{"started, not yet a cycle", 20, -1, 29, true, false},
		{"started, and slow", 20, -1, 49, true, false},
		{"started, and hangs", 20, -1, 50, true, true},
		{"cycles", 1, 100, 109, true, false},
		{"silent", 1, 100, 110, false, true},
		{"killed for silence, started again", 111, 100, 120, false, false},
		{"started again, and slow", 111, 100, 140, false, false},
		{"started again, hangs again", 111, 100, 141, false, true},
		{"started again and cycles", 111, 112, 113, true, false},
		{"the first cycle ends the boot allowance", 1, 2, 12, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pulse{born: born}
			if tc.started >= 0 {
				p.started = at(tc.started)
			}
			if tc.cycled >= 0 {
				p.cycled = at(tc.cycled)
			}
			if got := p.feed(at(tc.now)); got != tc.wantFeed {
				t.Errorf("feed = %v; want %v", got, tc.wantFeed)
			}
			if got := p.hung(at(tc.now)); got != tc.wantHu {
				t.Errorf("hung = %v; want %v", got, tc.wantHu)
			}
		})
	}
}

func TestLogFileRotates(t *testing.T) {
	now := 1234 * time.Millisecond
	path := filepath.Join(t.TempDir(), "log")
	l := &logFile{path: path, max: 100, uptime: func() time.Duration { return now }}
	l.add("loop", "wan: down -> up")
	const line = "[    1.234] loop: wan: down -> up\n"
	check := func(path, want string) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filepath.Base(path), diff)
		}
	}
	check(path, line)
	l.add("loop", "wan: down -> up")
	now = 100 * time.Second
	l.add("init", "third") // 34 + 34 + 26 bytes still fit
	check(path, line+line+"[  100.000] init: third\n")
	l.add("init", "fourth")
	check(path, "[  100.000] init: fourth\n")
	check(path+".1", line+line+"[  100.000] init: third\n")
	// A new process goes on where the last one ended.
	l = &logFile{path: path, max: 100, uptime: l.uptime}
	l.add("init", "fifth")
	check(path, "[  100.000] init: fourth\n[  100.000] init: fifth\n")
}

// All that was wrong with a slot on trial can be longer than the kernel takes.
func TestLongAlarmIsCut(t *testing.T) {
	for text, want := range map[string]int{"short": len("<3>tench: short"), strings.Repeat("x", 2*maxRecord): maxRecord} {
		if got := kmsgRecord(text); len(got) != want || !strings.HasPrefix(got, "<3>tench: "+text[:5]) {
			t.Errorf("kmsgRecord of %d bytes has %d; want %d", len(text), len(got), want)
		}
	}
}

func TestChooseWatchdog(t *testing.T) {
	for _, tc := range []struct {
		name, driver, want string
		there              []string
	}{
		{name: "none"},
		{name: "only the kernel's", there: []string{softDog}, want: softDog},
		{name: "hardware before the kernel's", there: []string{softDog, "iTCO_wdt"}, want: "iTCO_wdt"},
		{name: "the board's before others", driver: "i6300esb", there: []string{"iTCO_wdt", softDog, "i6300ESB timer"}, want: "i6300ESB timer"},
		{name: "the board's is missing", driver: "i6300esb", there: []string{softDog, "iTCO_wdt"}, want: "iTCO_wdt"},
		{name: "the board names the kernel's", driver: softDog, there: []string{softDog, "iTCO_wdt"}, want: softDog},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sys := t.TempDir()
			for i, id := range tc.there {
				dir := filepath.Join(sys, "watchdog"+string(rune('0'+i)))
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "identity"), []byte(id+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, got := chooseWatchdog(sys, tc.driver); got != tc.want {
				t.Errorf("chooseWatchdog(%q) = %q; want %q", tc.driver, got, tc.want)
			}
		})
	}
}

// TestStoppedWhileWaiting stops children that wait for those before them, as the
// way down does with menus that were to be replaced.
func TestStoppedWhileWaiting(t *testing.T) {
	tried := 0
	child := proc.New(proc.Spec{Name: "menu", Path: filepath.Join(t.TempDir(), "none"), Log: func(string) {},
		Logf: func(string, ...any) { tried++ }}, proc.NewReaper())
	before := &running{done: make(chan struct{})}
	r := (&pid1{}).runChildren(before, child)
	r.stop()
	close(before.done)
	<-r.done
	if tried != 0 {
		t.Error("it was started, although it was to end")
	}
}

// An installer's data partition is RAM: what the kernel said when it crashed stays
// where the next boot finds it.
func TestInstallerLeavesTheCrash(t *testing.T) {
	(&pid1{netboot: netboot.File{Mode: netboot.Install}, tasks: make(chan func())}).remember(nil) // else it waits for somebody to take the news
}
