package track

import (
	"errors"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"tench/pxe/event"
	"tench/release/netboot"
)

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

// Another system than ours says nothing after it is written: it is not given up for
// that, however often it boots.
func TestAnotherSystemIsWritten(t *testing.T) {
	d := newDesk(t)
	d.install(d.arm(Order{Box: gw0, Name: "gw0", Mode: netboot.Install, Once: true}))
	for range 6 {
		d.hear(gw0, discover(""), kind(event.Disk), discover(event.System))
		d.want("written")
	}
	d.now = d.now.Add(time.Hour)
	if b := d.Snapshot()[0]; b.Diagnosis != "" || b.Stage != Disk {
		t.Errorf("it is at %q: %s", b.Stage, b.Diagnosis)
	}
}

// A boot by a third port counts for the arming that is pending, whichever port had
// one before.
func TestThreePorts(t *testing.T) {
	gw2 := event.MAC{0x52, 0x54, 0, 0, 0, 3}
	d := newDesk(t)
	d.o.Name = func(event.MAC) string { return "gw0" }
	d.restart()
	d.install(d.arm(install0))
	d.hear(gw0, kind(event.Ready), kind(event.Healthy))
	second := install0
	second.Box = gw1
	d.arm(second)
	d.mu.Lock()
	defer d.mu.Unlock()
	for range 30 {
		if got := d.installOf(d.box(gw2)).Box; got != gw1 {
			t.Fatalf("its boot counts for the arming of %s", got)
		}
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

// Armed anew, a box is at its beginning at each of its ports.
func TestArmedAnewAtEveryPort(t *testing.T) {
	for _, mode := range []netboot.Mode{netboot.Install, netboot.Run} {
		d := newDesk(t)
		d.o.Name = func(event.MAC) string { return "gw0" }
		d.restart()
		i := d.arm(install0)
		d.hear(gw1, bios...)
		if _, err := d.Begin(i.Token); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Done(i.Token, "aa"); err != nil {
			t.Fatal(err)
		}
		d.hear(gw1, kind(event.Ready), kind(event.Healthy))
		again := install0
		again.Mode = mode
		d.arm(again)
		d.hear(gw1, kind(event.Request), kind(event.Ack)) // its system renews
		d.want("armed, pending")
	}
}
