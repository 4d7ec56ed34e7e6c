package track

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tench/pxe/event"
	"tench/release/netboot"
)

// desk is a table with a clock that the test moves.
type desk struct {
	*Table
	t   *testing.T
	now time.Time
	o   Options
	log []event.Event // what the table said itself
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, now: start}
	d.o = Options{
		Dir: filepath.Join(t.TempDir(), "installs"), Now: func() time.Time { return d.now }, Random: rand.Reader, Boots: 3, Strangers: 4,
		Name: func(m event.MAC) string { return map[event.MAC]string{gw0: "gw0", gw1: "gw1"}[m] },
		Sink: func(e event.Event) { d.log = append(d.log, e) },
	}
	d.open()
	t.Cleanup(func() { d.Close() })
	return d
}

func (d *desk) open() {
	d.t.Helper()
	var err error
	if d.Table, err = New(d.o); err != nil {
		d.t.Fatal(err)
	}
}

// restart is a server that ends and starts.
func (d *desk) restart() {
	d.t.Helper()
	if err := d.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.open()
}

// hear takes events of a box, a second after another.
func (d *desk) hear(mac event.MAC, events ...event.Event) {
	for _, e := range events {
		d.now = d.now.Add(time.Second)
		e.Box, e.Time = mac, d.now
		d.Event(e)
	}
}

func (d *desk) arm(o Order) Install {
	d.t.Helper()
	i, err := d.Arm(o)
	if err != nil {
		d.t.Fatal(err)
	}
	return i
}

// state is the arming of a box, and whether it is pending, in words.
func (d *desk) state(mac event.MAC) string {
	for _, b := range d.Snapshot() {
		if b.MAC == mac && b.Install != nil {
			if _, pending := d.Pending(mac); pending {
				return string(b.Install.State) + ", pending"
			}
			return string(b.Install.State)
		}
	}
	return "not armed"
}

func (d *desk) want(state string) {
	d.t.Helper()
	if got := d.state(gw0); got != state {
		d.t.Errorf("gw0 is %q, want %q", got, state)
	}
}

// install has the box install itself from the kernel to the word that it is done.
func (d *desk) install(i Install) {
	d.t.Helper()
	d.hear(gw0, bios...)
	d.hear(gw0, report(netboot.Disks))
	if _, err := d.Begin(i.Token); err != nil {
		d.t.Fatal(err)
	}
	d.hear(gw0, report(netboot.Write), report(netboot.Check))
	if _, err := d.Done(i.Token, "aa"); err != nil {
		d.t.Fatal(err)
	}
	d.hear(gw0, kind(event.Written), report(netboot.Reboot))
}

var install0 = Order{Box: gw0, Name: "gw0", Mode: netboot.Install, Board: "apu2", Release: "2026.11"}

func TestOneInstall(t *testing.T) {
	d := newDesk(t)
	d.want("not armed")
	i := d.arm(install0)
	d.want("armed, pending")
	d.hear(gw0, bios[:4]...)
	d.want("armed, pending")
	d.hear(gw0, bios[4:]...)
	d.want("booting, pending")
	if _, err := d.Begin(i.Token); err != nil {
		t.Fatal(err)
	}
	d.want("installing, pending")
	if _, err := d.Done(i.Token, "aa"); err != nil {
		t.Fatal(err)
	}
	d.want("written")
	d.restart()
	d.want("written")
	d.hear(gw0, discover(""), kind(event.Disk))
	if got := d.Snapshot()[0].Stage; got != FirstBoot {
		t.Errorf("it is at %q, want the first boot", got)
	}
	d.hear(gw0, kind(event.Ready))
	d.want("written")
	d.hear(gw0, kind(event.Healthy))
	d.want("healthy")
	d.hear(gw0, discover(""), kind(event.Disk))
	if got := d.Snapshot()[0].Stage; got != Disk {
		t.Errorf("it is at %q, want its disk", got)
	}
	d.want("healthy")
}

func TestTokens(t *testing.T) {
	d := newDesk(t)
	i := d.arm(install0)
	if len(i.Token) != 32 {
		t.Errorf("the token is %q, want 128 bits in hexadecimal", i.Token)
	}
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := d.Begin("0123")
	check("another token", err, ErrToken)
	_, err = d.Begin("")
	check("no token", err, ErrToken)
	_, err = d.Done(i.Token, "aa")
	check("done, before the image was fetched", err, ErrEarly)
	d.install(i)
	_, err = d.Begin(i.Token)
	check("the token again, after the install", err, ErrOver)
	_, err = d.Done(i.Token, "aa")
	check("done again, its answer got lost", err, nil)
	_, err = d.Done(i.Token, "bb")
	check("done again, of something else", err, ErrOver)
	_, err = d.Token(i.Token)
	check("a report after the install", err, nil)
	d.want("written")

	again := d.arm(install0)
	if again.Token == i.Token {
		t.Error("the second arming has the first one's token")
	}
	_, err = d.Begin(i.Token)
	check("the first token, after a second arming", err, ErrToken)
	if err := d.Disarm(gw0); err != nil {
		t.Fatal(err)
	}
	_, err = d.Begin(again.Token)
	check("after it was disarmed", err, ErrToken)
	d.want("not armed")
	if err := d.Disarm(gw0); err == nil {
		t.Error("disarmed what is not armed: no error")
	}
	d.restart()
	d.want("not armed")
}

func TestSnapshotHasNoToken(t *testing.T) {
	d := newDesk(t)
	i := d.arm(install0)
	d.hear(gw0, bios...)
	for _, b := range d.Snapshot() {
		if b.Install.Token != "" {
			t.Error("the snapshot holds the token")
		}
	}
	if strings.Contains(d.Explain(gw0), i.Token) {
		t.Error("Explain shows the token")
	}
	for _, e := range d.log {
		if strings.Contains(e.Text, i.Token) {
			t.Error("an event shows the token")
		}
	}
}

func TestArmTwice(t *testing.T) {
	d := newDesk(t)
	first := d.arm(install0)
	if same := d.arm(install0); same.Token != first.Token {
		t.Error("the same order again made another token")
	}
	other := install0
	other.Disk = "S3Z9NB0K"
	second := d.arm(other)
	if second.Token == first.Token {
		t.Error("another order, before the box started, has the token of the first")
	}
	d.hear(gw0, bios...)
	if same := d.arm(other); same.Token != second.Token {
		t.Error("the same order, while the box boots, made another token")
	}
	if _, err := d.Arm(install0); err == nil || !strings.Contains(err.Error(), "hint: tench pxe disarm") {
		t.Errorf("another order, while the box boots: %v, want an error with a hint", err)
	}
	d.restart()
	if same := d.arm(other); same.Token != second.Token {
		t.Error("the same order after a restart of the server made another token")
	}
	if _, err := d.Arm(Order{Box: gw1}); err == nil {
		t.Error("armed for nothing: no error")
	}
	if _, err := d.Arm(Order{Mode: netboot.Run}); err == nil {
		t.Error("armed nobody: no error")
	}
}

func TestArmedByTwoPorts(t *testing.T) {
	d := newDesk(t)
	first := d.arm(install0)
	second := install0
	second.Box = gw1
	if same := d.arm(second); same.Token != first.Token {
		t.Error("the same order by another port of the box made another token")
	}
	second.Disk = "S3Z9NB0K"
	if _, err := d.Arm(second); err == nil || !strings.Contains(err.Error(), "gw0 is armed by its port 52:54:00:00:00:01") {
		t.Errorf("another order by another port: %v, want an error that names the first", err)
	}
	d.install(first)
	if _, ok := d.Pending(gw1); ok {
		t.Error("installed once, and pending by another port")
	}
	d.arm(second)
}

func TestKilledMidInstall(t *testing.T) {
	d := newDesk(t)
	i := d.arm(install0)
	d.hear(gw0, bios...)
	if _, err := d.Begin(i.Token); err != nil {
		t.Fatal(err)
	}
	d.hear(gw0, report(netboot.Write))
	d.hear(gw0, discover(""))
	d.want("booting, pending")
	if p, _ := d.Pending(gw0); p.Token != i.Token {
		t.Error("the box that was killed gets another token")
	}
	d.restart()
	d.want("booting, pending")
	d.install(i)
	d.want("written")
}

// A box that boots by another of its ports than the armed one is one box: its boots
// count, by whichever port, and what is installed by one is not so by the other.
func TestBootsByAnotherPort(t *testing.T) {
	for name, ports := range map[string][]event.MAC{
		"by the other one":   {gw1, gw1, gw1, gw1, gw1},
		"by turns":           {gw0, gw1, gw0, gw1, gw0},
		"first by the armed": {gw0, gw1, gw1, gw1, gw1},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.Close()
			d.o.Name = func(event.MAC) string { return "gw0" }
			d.open()
			d.arm(install0)
			for n, port := range ports[:4] {
				d.want(map[bool]string{true: "armed, pending", false: "booting, pending"}[n == 0])
				d.hear(port, bios[:13]...)
			}
			d.want("booting, pending")
			d.hear(ports[4], bios[:13]...)
			d.want("failed")
			if b := d.Snapshot(); len(b) == 0 || b[0].Install.Boots != 5 {
				t.Errorf("the boxes are %+v, want 5 boots", b)
			}
		})
	}
}

// Firmware that tries one port after the other starts the box once.
func TestPortsInTurnAreOneBoot(t *testing.T) {
	d := newDesk(t)
	d.Close()
	d.o.Name = func(event.MAC) string { return "gw0" }
	d.open()
	i := d.arm(install0)
	d.hear(gw0, bios[:4]...)
	d.hear(gw1, bios...)
	d.hear(gw0, discover(""))
	d.hear(gw1, bios...)
	b := d.Snapshot()[0]
	if b.Install.Boots != 2 || b.Install.Port != gw1 || b.Diagnosis != "" {
		t.Errorf("it is %+v, %+v; want 2 boots by gw1", b, b.Install)
	}
	if _, err := d.Begin(i.Token); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Done(i.Token, "aa"); err != nil {
		t.Fatal(err)
	}
	d.hear(gw1, kind(event.Written), report(netboot.Reboot), discover(""), kind(event.Disk))
	if list := d.Snapshot(); list[1].Stage != FirstBoot {
		t.Errorf("by the port that it booted from it is at %q, want its first boot", list[1].Stage)
	}
	if text := d.Explain(gw0); !strings.Contains(text, "It boots by its port "+gw1.String()) {
		t.Errorf("Explain:\n%s", text)
	}
}

func TestFailsAfterBootsWithoutProgress(t *testing.T) {
	d := newDesk(t)
	i := d.arm(install0)
	toKernel := bios[:13]
	for range 4 { // one that got somewhere, three that got no further
		d.want(map[bool]string{true: "armed, pending", false: "booting, pending"}[d.Snapshot()[0].Stage == Quiet])
		d.hear(gw0, toKernel...)
	}
	d.want("booting, pending")
	d.hear(gw0, discover(""))
	d.want("failed")
	b := d.Snapshot()[0]
	if want := `3 boots in a row came no further than "kernel"`; b.Install.Why != want {
		t.Errorf("it failed because %q, want %q", b.Install.Why, want)
	}
	if !strings.Contains(b.Diagnosis, "given up") {
		t.Errorf("diagnosis %q, want that it is given up", b.Diagnosis)
	}
	if last := d.log[len(d.log)-1]; last.Kind != event.Failed || last.Box != gw0 {
		t.Errorf("the table said last %+v, want that gw0 failed", last)
	}
	if _, err := d.Begin(i.Token); !errors.Is(err, ErrOver) {
		t.Errorf("the token of a failed install: %v, want %v", err, ErrOver)
	}
	d.restart()
	d.want("failed")
	d.arm(install0)
	d.want("armed, pending")
}

func TestProgressBeginsTheCountAnew(t *testing.T) {
	d := newDesk(t)
	d.arm(install0)
	for _, upTo := range []int{7, 7, 7, 13, 13, 13, 16, 16, 16} {
		d.hear(gw0, bios[:upTo]...)
	}
	d.want("booting, pending")
	for range 4 {
		d.hear(gw0, bios[:7]...)
	}
	d.want("failed")
}

func TestAskingAgainIsNoBoot(t *testing.T) {
	d := newDesk(t)
	d.arm(install0)
	for range 20 {
		d.hear(gw0, discover(""), kind(event.Offer))
	}
	d.want("armed, pending")
}

func TestWrittenButNeverHealthy(t *testing.T) {
	d := newDesk(t)
	d.install(d.arm(install0))
	for range 4 {
		d.hear(gw0, discover(""), kind(event.Disk))
		d.want("written")
	}
	d.hear(gw0, discover(""), kind(event.Disk))
	d.want("failed")
	if want := `"first boot"`; !strings.Contains(d.Snapshot()[0].Install.Why, want) {
		t.Errorf("it failed because %q, want that it stuck at %s", d.Snapshot()[0].Install.Why, want)
	}
}

func TestWrittenAndNotWell(t *testing.T) {
	d := newDesk(t)
	d.install(d.arm(install0))
	d.hear(gw0, discover(""), kind(event.Disk), kind(event.Ready), report(netboot.Failed))
	d.want("written")
	if got, want := d.Snapshot()[0].Diagnosis, "says that it is not healthy: words"; got != want {
		t.Errorf("diagnosis %q, want %q", got, want)
	}
}

func TestRunsAsOftenAsItStarts(t *testing.T) {
	d := newDesk(t)
	run := install0
	run.Mode = netboot.Run
	i := d.arm(run)
	for range 10 {
		d.hear(gw0, bios...)
		d.want("booting, pending")
		d.hear(gw0, kind(event.Ready), kind(event.Healthy))
		d.want("healthy, pending")
	}
	if _, err := d.Begin(i.Token); err == nil {
		t.Error("a box that is to run got an image: no error")
	}
	if _, err := d.Done(i.Token, "aa"); err == nil {
		t.Error("a box that is to run said that it is installed: no error")
	}
	d.arm(install0) // no install is in its way
	d.want("armed, pending")
}

func TestStoredForItsOwnerAlone(t *testing.T) {
	d := newDesk(t)
	i := d.arm(install0)
	path := filepath.Join(d.o.Dir, "52-54-00-00-00-01.json")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%s: %v, %v, want mode 0600", path, info.Mode(), err)
	}
	if dir, err := os.Stat(d.o.Dir); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v, want mode 0700", d.o.Dir, dir.Mode(), err)
	}
	got, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(i, got); diff != "" {
		t.Errorf("on disk (-want +got):\n%s", diff)
	}
}

func TestOpen(t *testing.T) {
	tests := []struct{ name, file, data, err string }{
		{"torn", "52-54-00-00-00-01.json", `{"box":"52:54:00`, "hint: remove it"},
		{"empty", "52-54-00-00-00-01.json", ``, "hint: remove it"},
		{"without a token", "52-54-00-00-00-01.json", `{"box":"52:54:00:00:00:01","state":"armed","mode":"install"}`, "no token"},
		{"a stage that there is not", "52-54-00-00-00-01.json", `{"box":"52:54:00:00:00:01","token":"00000000000000000000000000000000","reached":"asleep"}`, "no such stage"},
		{"another box's", "52-54-00-00-00-02.json", `{"box":"52:54:00:00:00:01","token":"00000000000000000000000000000000","state":"armed","mode":"install"}`, "another's"},
		{"what a power cut left", ".52-54-00-00-00-01.json123", `{`, ""},
		{"a note", "README", `hello`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.Close()
			if err := os.WriteFile(filepath.Join(d.o.Dir, tt.file), []byte(tt.data), 0o600); err != nil {
				t.Fatal(err)
			}
			table, err := New(d.o)
			if tt.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				table.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), tt.file) {
				t.Errorf("New: %v, want an error about %q that names the file", err, tt.err)
			}
		})
	}
}

// The directory may be somebody's home.
func TestOpenLeavesWhatIsNotOurs(t *testing.T) {
	d := newDesk(t)
	d.Close()
	left := map[string]bool{".bashrc": true, ".json": true, "package.json": true, ".52-54-00-00-00-01": true,
		".52-54-00-00-00-01.json123": false, ".52-54-00-00-00-01.toml123": false}
	for name := range left {
		if err := os.WriteFile(filepath.Join(d.o.Dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.open()
	for name, want := range left {
		if _, err := os.Stat(filepath.Join(d.o.Dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want that it is there: %v", name, err, want)
		}
	}
}

func TestOneTableADirectory(t *testing.T) {
	d := newDesk(t)
	if _, err := New(d.o); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("a second table in the directory: %v, want an error with a hint", err)
	}
}

func TestWhatCannotBeKept(t *testing.T) {
	d := newDesk(t)
	i := d.arm(install0)
	if err := os.RemoveAll(d.o.Dir); err != nil { // root may write into what is read-only
		t.Fatal(err)
	}
	other := install0
	other.Box, other.Name = gw1, "gw1"
	if _, err := d.Arm(other); err == nil {
		t.Error("armed what cannot be kept: no error")
	}
	if got := d.state(gw1); got != "not armed" {
		t.Errorf("gw1 is %q, want that it is not armed", got)
	}
	d.hear(gw0, bios...)
	d.flush()
	if last := d.log[len(d.log)-1]; last.Kind != event.Trouble || last.Box != gw0 {
		t.Errorf("the table said last %+v, want trouble", last)
	}
	if _, err := d.Begin(i.Token); err == nil {
		t.Error("begun, and not kept: no error")
	}
	if _, err := d.Done(i.Token, "aa"); err == nil {
		t.Error("done, and not kept: no error, so the box would not say it again")
	}
}

func TestRunKeepsWhatEventsChange(t *testing.T) {
	d := newDesk(t)
	d.arm(install0)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.Run(ctx); close(ended) }()
	d.hear(gw0, bios...)
	stop()
	<-ended
	got, err := read(d.path(gw0))
	if err != nil || got.State != StateBooting || got.Reached != Starting {
		t.Errorf("on disk: %s, at %q, %v; want booting, starting", got.State, got.Reached, err)
	}
}

// TestNoWayBack walks at random: whatever a box sends, and however often server
// and box are started anew, an install that is written is not made again, one
// that failed stays so, and a token that was refused is not taken later.
func TestNoWayBack(t *testing.T) {
	kinds := []event.Kind{
		event.Discover, event.Offer, event.Request, event.Ack, event.Nak, event.Decline, event.Elsewhere, event.Proxy, event.Silent, event.Disk, event.Solicit, event.Probe, event.Missing,
		event.Transfer, event.Aborted, event.Refused, event.Installer, event.Ready, event.Healthy, event.Armed, event.Disarmed, event.Written, event.Failed, event.Foreign, "unheard of",
	}
	files := []string{"ipxe.0", "boot.ipxe", "vmlinuz", "initrd", "font", ""}
	loaders := []string{"", "iPXE", "U-Boot", event.System}
	installerStages := []netboot.Stage{netboot.Disks, netboot.Confirm, netboot.Write, netboot.Check, netboot.Reboot, netboot.Failed, "", "dance"}
	for seed := range uint64(16) {
		d := newDesk(t)
		r := mathrand.New(mathrand.NewPCG(seed, 5))
		token := d.arm(install0).Token
		over := false
		for range 400 {
			d.now = d.now.Add(time.Duration(r.IntN(90)) * time.Second)
			switch r.IntN(30) {
			case 0:
				d.restart()
			case 1:
				if _, err := d.Begin(token); err == nil && over {
					t.Fatalf("seed %d: an install that is over began again", seed)
				}
			case 2:
				_, _ = d.Done(token, "aa")
			default:
				total := int64(r.IntN(3))
				d.Event(event.Event{
					Time: d.now, Box: []event.MAC{gw0, gw1}[r.IntN(2)], Kind: kinds[r.IntN(len(kinds))], File: files[r.IntN(len(files))], Loader: loaders[r.IntN(len(loaders))],
					Stage: installerStages[r.IntN(len(installerStages))], Total: total, Done: r.Int64N(3),
				})
			}
			_ = d.Explain(gw0)
			now := d.Snapshot()[0].Install
			if now == nil {
				t.Fatalf("seed %d: the arming is gone", seed)
			}
			if over && now.Pending() {
				t.Fatalf("seed %d: it was over, and is %s", seed, now.State)
			}
			over = over || !now.Pending()
		}
		if i, ok := d.Pending(gw1); ok {
			t.Errorf("seed %d: gw1, which nobody armed, is %s", seed, i.State)
		}
		d.Close()
	}
}

func TestStrangersMakeRoom(t *testing.T) {
	d := newDesk(t)
	d.arm(install0)
	for n := range byte(20) {
		d.hear(event.MAC{2, 0, 0, 0, 0, n}, event.Event{Kind: event.Discover, Text: "x\x1b[2J"})
	}
	d.hear(gw1, discover(""))
	var got []event.MAC
	for _, b := range d.Snapshot() {
		got = append(got, b.MAC)
		if strings.ContainsRune(b.Who, '\x1b') {
			t.Errorf("%v: %q steers a terminal", b.MAC, b.Who)
		}
	}
	want := []event.MAC{gw0, gw1, {2, 0, 0, 0, 0, 16}, {2, 0, 0, 0, 0, 17}, {2, 0, 0, 0, 0, 18}, {2, 0, 0, 0, 0, 19}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("boxes (-want +got):\n%s", diff)
	}
	if !slices.IsSortedFunc(d.Snapshot()[2:], func(a, b Box) int { return a.MAC.Compare(b.MAC) }) {
		t.Error("the snapshot is not sorted")
	}
}

func TestStrangersThatArmThemselves(t *testing.T) {
	d := newDesk(t)
	run := func(n byte) Order {
		return Order{Box: event.MAC{2, 0, 0, 0, 0, n}, Mode: netboot.Run, Board: "apu2", Any: true}
	}
	for n := range byte(4 * 4) {
		d.arm(run(n))
	}
	if _, err := d.Arm(run(99)); err == nil || !strings.Contains(err.Error(), "16 boxes that nobody named") {
		t.Errorf("armed one more: %v, want an error with the number", err)
	}
	d.arm(run(0))   // is armed
	d.arm(install0) // has a name
	if err := d.Disarm(run(1).Box); err != nil {
		t.Fatal(err)
	}
	d.arm(run(99))
}

func TestAnEventOfAnAddress(t *testing.T) {
	d := newDesk(t)
	ack := kind(event.Ack)
	ack.IP = mustAddr("192.0.2.10")
	d.hear(gw0, discover(""), ack)
	d.hear(event.MAC{}, event.Event{Kind: event.Transfer, IP: ack.IP, File: "vmlinuz", Done: 3, Total: 4})
	d.hear(event.MAC{}, event.Event{Kind: event.Transfer, IP: mustAddr("192.0.2.11"), File: "vmlinuz", Done: 3, Total: 4})
	want := []Box{{MAC: gw0, Name: "gw0", IP: ack.IP, Stage: Kernel, File: "vmlinuz", Done: 3, Total: 4}}
	if diff := cmp.Diff(want, d.Snapshot(), cmpopts.EquateComparable(ack.IP), cmpopts.IgnoreFields(Box{}, "Seen", "Since")); diff != "" {
		t.Errorf("boxes (-want +got):\n%s", diff)
	}
	nak := kind(event.Nak)
	nak.IP = ack.IP
	d.hear(gw1, nak) // it is not gw1's
	if got := d.Snapshot()[0]; got.IP != ack.IP {
		t.Errorf("gw0 has the address %v, want %v", got.IP, ack.IP)
	}
	d.hear(gw1, ack) // the lease went to another
	d.hear(event.MAC{}, event.Event{Kind: event.Transfer, IP: ack.IP, File: "vmlinuz", Done: 3, Total: 4})
	if got := d.Snapshot()[1]; got.MAC != gw1 || got.Stage != Kernel {
		t.Errorf("%v is at %q, want gw1 at the kernel", got.MAC, got.Stage)
	}
}

func TestWatch(t *testing.T) {
	d := newDesk(t)
	changes, stop := d.Watch()
	d.hear(gw0, discover(""), kind(event.Offer))
	select {
	case <-changes:
	default:
		t.Error("a change was not told")
	}
	select {
	case <-changes:
		t.Error("two changes were told one by one")
	default:
	}
	stop()
	d.hear(gw0, discover(""))
	select {
	case <-changes:
		t.Error("told after the end")
	default:
	}
}
