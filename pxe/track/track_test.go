package track

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tench/pxe/event"
	"tench/release/netboot"
)

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
