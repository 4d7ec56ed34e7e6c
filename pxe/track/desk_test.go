package track

import (
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

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
