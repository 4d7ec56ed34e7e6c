package console

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/supervisor/health"
	"tench/supervisor/status"
)

var update = flag.Bool("update", false, "write the golden transcripts anew")

// fakeBox answers from memory and notes what it was told to do.
type fakeBox struct {
	updates []string
	sticks  chan Stick
	noLoop  bool
	config  status.Config
	applied []string
	downs   []string
	log     string
	remote  bool // the menu runs over the network
	trial   string
	slots   SlotReport
	used    []string
}

func (f *fakeBox) Title() string    { return "tench gw0 (qemu-amd64, slot a)" }
func (f *fakeBox) Hostname() string { return "gw0" }

func (f *fakeBox) loop() error {
	if f.noLoop {
		return fmt.Errorf("control: %w: connection refused\nhint: PID 1 restarts it", status.ErrNoLoop)
	}
	return nil
}

func (f *fakeBox) Status(context.Context) (status.Node, error) {
	return status.Node{Name: "gw0", State: "degraded", Cause: "lan is down", Children: []status.Node{
		{Name: "wan", State: "up", OK: true, Detail: []string{"10.0.2.15/24"}},
		{Name: "lan", State: "down", Cause: "no carrier on eth1"}}}, f.loop()
}

func (f *fakeBox) Why(ctx context.Context, name string) ([]string, error) {
	root, err := f.Status(ctx)
	if err != nil {
		return nil, err
	}
	return status.Why(root, name)
}

func (f *fakeBox) Config(context.Context) (status.Config, error) { return f.config, f.loop() }

func (f *fakeBox) Compare(_ context.Context, _, _ int, text string) (status.Difference, error) {
	if err := f.check(text); err != nil || text == f.config.Text {
		return status.Difference{}, err
	}
	return status.Difference{Text: "--- generation 3\n+++ router.toml\n@@ -1 +1 @@\n-old\n+\x1b[2Jnew\n",
		Words: []string{"interface lan: address 192.168.1.1/24 goes"}}, nil
}

func (f *fakeBox) check(text string) error {
	for i, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "bad") {
			return fmt.Errorf("router.toml:%d: unknown key \"bad\"\n  hint: did you mean \"bed\"?", i+1)
		}
	}
	return f.loop()
}

func (f *fakeBox) Window() time.Duration {
	if f.remote {
		return status.DefaultTrial
	}
	return 0
}

func (f *fakeBox) Apply(_ context.Context, c status.Change) (status.Outcome, error) {
	if err := f.check(c.Text); err != nil {
		return status.Outcome{}, err
	}
	f.applied = append(f.applied, c.Text)
	f.config = status.Config{Generation: 4, Text: c.Text}
	if c.Trial > 0 {
		f.config.Trial = &status.Trial{Generation: 4, Back: 3, Left: int(c.Trial.Seconds())}
	}
	return status.Outcome{Generation: 4, Trial: f.config.Trial}, nil
}

func (f *fakeBox) Confirm(context.Context, int) (status.Outcome, error) {
	if f.config.Trial == nil {
		return status.Outcome{}, errors.New("confirm: nothing is on trial\nhint: `tenchd generations` lists them")
	}
	f.config.Trial = nil
	return status.Outcome{Generation: 4}, nil
}

func (f *fakeBox) Rollback(context.Context, int, status.Change) (status.Outcome, error) {
	f.config = status.Config{Generation: 3, Text: routerTOML}
	return status.Outcome{Generation: 3}, nil
}

func (f *fakeBox) Interfaces() (string, error) { return "lo  up\neth0  up\n", nil }
func (f *fakeBox) Log(int) (string, error)     { return f.log, nil }
func (f *fakeBox) FollowLog(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, "[    1.000] loop: hello\n")
	return err
}
func (f *fakeBox) Ping(_ context.Context, host string, w io.Writer) error {
	_, err := fmt.Fprintf(w, "ping %s: answered\n", host)
	return err
}
func (f *fakeBox) Shell(context.Context) error {
	return errors.New("shell: \"gosh\" is not there\nhint: this image was built without it")
}
func (f *fakeBox) Trial() string { return f.trial }
func (f *fakeBox) Slots() (SlotReport, error) {
	if f.slots.Problem != "" {
		return f.slots, errors.New(f.slots.Problem)
	}
	return f.slots, nil
}
func (f *fakeBox) UseSlot(slot string) (string, error) {
	f.used = append(f.used, slot)
	return "slot " + slot + " is tried at the next boot; slot a comes back unless it is healthy", nil
}
func (f *fakeBox) Update(_ context.Context, from string, downgrade bool, w io.Writer) error {
	if strings.HasSuffix(from, "/2026.10") {
		if !downgrade {
			fmt.Fprintln(w, "tenchd: update: release 2026.10 is older than the newest that was confirmed")
			return ErrOlder
		}
		from += " (a downgrade)"
	}
	if strings.HasPrefix(from, "/mnt") {
		fmt.Fprintln(w, "tenchd: update: ticket: the update is not signed")
		return errors.New("nothing was changed that the box starts from")
	}
	f.updates = append(f.updates, from)
	return nil
}
func (f *fakeBox) Sticks() <-chan Stick { return f.sticks }
func (f *fakeBox) Reboot() error        { f.downs = append(f.downs, "reboot"); return nil }
func (f *fakeBox) PowerOff() error      { f.downs = append(f.downs, "power off"); return nil }

// echo shows what is typed in the transcript, as the kernel does on a terminal.
type echo struct {
	lines []string
	out   io.Writer
}

func (e *echo) Read(p []byte) (int, error) {
	if len(e.lines) == 0 {
		return 0, io.EOF
	}
	n := copy(p, e.lines[0]+"\n")
	fmt.Fprintf(e.out, "«%s»\n", e.lines[0])
	e.lines = e.lines[1:]
	return n, nil
}

const routerTOML = "hostname = \"gw0\"\n\n[interface.lan]\ndevice = \"eth1\"\naddress = [\"192.168.1.1/24\"]\n"

func TestSessions(t *testing.T) {
	long := ""
	for i := range 50 {
		long += fmt.Sprintf("[%9.3f] loop: line %d\n", float64(i), i)
	}
	for _, tc := range []struct {
		name    string
		box     fakeBox
		locked  bool
		typed   []string
		applied []string
		downs   []string
		used    []string
		updated string // and so rebooted
	}{
		{name: "pick the other slot", box: fakeBox{slots: SlotReport{Running: "a", Next: "a", Good: "a",
			Health: health.Note{Slot: "a", Outcome: health.Good, Well: true, LastTrial: "slot b (2026.12) was given up: it was not healthy within 5m0s: dhcp wan: no server answers"}}},
			typed: []string{"s", "", "s", "c", "s", "b", "no", "slots", "b", "yes"}, used: []string{"b"}},
		{name: "slot on trial", box: fakeBox{trial: "slot b is on trial: it reboots unless healthy 5m0s after its start\n! dhcp wan: no server answers",
			slots: SlotReport{Running: "b", Next: "b", Good: "a", Pending: true, Tries: 2,
				Health: health.Note{Slot: "b", Trial: true, Outcome: health.Waiting, Reasons: []string{"dhcp wan: no server answers"}, For: "1m0s", Within: "5m0s"}}},
			typed: []string{"s", ""}},
		{name: "no slots", box: fakeBox{slots: SlotReport{Problem: "slots: this box was not booted from a slot\nhint: the kernel's command line has no tench.disk= and tench.slot="}},
			typed: []string{"s"}},
		{name: "update", typed: []string{"u", "", "u", "/mnt/2026.12", "yes", "u", "/dev/sdb1", "no", "update", "http://192.0.2.1/2026.12", "yes"}, updated: "http://192.0.2.1/2026.12"},
		{name: "update to what is older", typed: []string{"u", "/data/2026.10", "yes", "no", "u", "/data/2026.10", "yes", "yes"}, updated: "/data/2026.10 (a downgrade)"},
		{name: "looking", box: fakeBox{log: "[    1.234] init: tench: ready\n"}, typed: []string{
			"1", "2", "3", "lan", "3", "", "3", "lam", "4", "", "4", "f", "status", "m", "42", ""}},
		{name: "answers behind the choice", box: fakeBox{log: "[    1.234] init: tench: ready\n"}, typed: []string{
			"why lan", "3  wan", "ping 192.0.2.1", "6 -f 192.0.2.1", "log f", "status lan", "reboot yes", "u /data/2026.10", "yes", "no"}},
		{name: "long log is paged", box: fakeBox{log: long}, typed: []string{"4", "", "", "q", "4", "", "", ""}},
		{name: "no loop", box: fakeBox{noLoop: true}, typed: []string{"1", "3", "lan", "5", "2"}},
		{name: "ping and shell", typed: []string{"6", "192.0.2.1", "6", "-f 192.0.2.1", "6", "a;reboot", "6", "", "7"}},
		{name: "locked", locked: true, typed: []string{"1", "8", "yes"}},
		{name: "reboot", typed: []string{"8", "y", "8", "yes"}, downs: []string{"reboot"}},
		{name: "power off", typed: []string{"9", "", "9", "yes"}, downs: []string{"power off"}},
		{name: "edit and apply", box: fakeBox{config: status.Config{Generation: 3, Text: routerTOML}}, typed: []string{
			"5", "?", "p", "p 1-2", "r 5", "address = [\"192.168.7.1/24\"]", "i 5", "mtu = 1400", "bad = 1", ".",
			"c", "apply", "d 7", "p", "c", "apply", "q"},
			applied: []string{"hostname = \"gw0\"\n\n[interface.lan]\ndevice = \"eth1\"\naddress = [\"192.168.7.1/24\"]\nmtu = 1400\n"}},
		{name: "edit with mistakes", box: fakeBox{config: status.Config{Generation: 3, Text: routerTOML}}, typed: []string{
			"5", "x", "r 6", "r", "i 9", "d 3-2", "d 0", "p 1-99", "", "d 1", "q", "no", "q", "yes"}},
		{name: "try and confirm", box: fakeBox{config: status.Config{Generation: 3, Text: routerTOML}}, typed: []string{
			"5", "confirm", "d 2", "try 10", "try 2s", "try 10m", "q", "", "5", "confirm", "q", ""},
			applied: []string{strings.Replace(routerTOML, "\n\n", "\n", 1)}},
		{name: "try and roll back", box: fakeBox{config: status.Config{Generation: 3, Text: routerTOML}}, typed: []string{
			"5", "d 2", "try", "rollback", "p", "c", "d 2", "rollback", "p 1-2", "q", "yes"},
			applied: []string{strings.Replace(routerTOML, "\n\n", "\n", 1)}},
		{name: "apply over the network is a trial", box: fakeBox{remote: true, config: status.Config{Generation: 3, Text: routerTOML}}, typed: []string{
			"5", "d 2", "apply", "confirm", "q"},
			applied: []string{strings.Replace(routerTOML, "\n\n", "\n", 1)}},
		{name: "paste a whole file", box: fakeBox{config: status.Config{Generation: 3, Text: routerTOML}}, typed: []string{
			"5", "w", "hostname = \"gw1\"", "# \x1b[Atwo\b\b\bends", ".", "apply", "q"},
			applied: []string{"hostname = \"gw1\"\n# ends\n"}},
		{name: "mend a broken file", box: fakeBox{config: status.Config{Generation: 2, Text: routerTOML,
			Problem: "config/3/router.toml:1: unknown key \"bad\"", Newest: "bad = 1\n"}}, typed: []string{
			"5", "p", "r 1", "hostname = \"gw0\"", "apply", "q"},
			applied: []string{"hostname = \"gw0\"\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			m := Menu{Box: &tc.box, Out: &out, Locked: tc.locked,
				In: NewInput(&echo{lines: tc.typed, out: &out}, make(chan struct{}))}
			defer m.In.Close()
			err := m.Run(t.Context())
			if down := len(tc.downs) > 0 || tc.updated != ""; !down && !errors.Is(err, io.EOF) || down && err != nil {
				t.Errorf("Run = %v", err)
			}
			if got := strings.Join(tc.box.updates, " "); got != tc.updated {
				t.Errorf("updated from %q, want %q", got, tc.updated)
			}
			if diff := cmp.Diff(tc.applied, tc.box.applied); diff != "" {
				t.Errorf("applied (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.downs, tc.box.downs); diff != "" {
				t.Errorf("orders (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.used, tc.box.used); diff != "" {
				t.Errorf("slots picked (-want +got):\n%s", diff)
			}
			golden(t, strings.ReplaceAll(tc.name, " ", "-"), out.String())
		})
	}
}

// golden compares a transcript with testdata, and checks that it fits a dumb
// terminal.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("transcript (-want +got):\n%s", diff)
	}
	for line := range strings.Lines(got) {
		printed, _, _ := strings.Cut(strings.TrimRight(line, "\n"), "«") // not what was typed
		if len(printed) > columns {
			t.Errorf("%d columns: %q", len(printed), printed)
		}
		for _, r := range printed {
			if r < ' ' || r > '~' {
				t.Errorf("%q is not plain ASCII", line)
			}
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"abc\r\n":            "abc",
		"abx\bc\n":           "abc",
		"\b\bx\x7fy":         "y",
		"a\x1b[Ab\x1b[1;5Cc": "abc",
		"a\x1bOPb":           "ab",
		"a\x1b[":             "a",
		"\x1b":               "",
		"a\tb\x00\x07c":      "a\tbc",
		"größe":              "größe",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q; want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[Ab\b\x7f")
	f.Fuzz(func(t *testing.T, in string) {
		once := clean(in)
		if strings.ContainsFunc(once, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			t.Errorf("clean(%q) = %q keeps control characters", in, once)
		}
		if twice := clean(once); twice != once {
			t.Errorf("clean(%q) = %q, and again %q", in, once, twice)
		}
	})
}
