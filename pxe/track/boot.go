package track

import (
	"fmt"
	"time"

	"tench/pxe/event"
	"tench/release/netboot"
)

// boot is one boot of a box, as seen from the desk:
//
//	quiet ─▶ discover ─▶ offered ─▶ addressed ─▶ loader ─▶ script ─▶ kernel ─▶ initramfs ─▶ starting
//	            │ ▲                     │                                                       │
//	            ▼ │                     ▼                                                       ▼
//	        not answered         boots its disk                                   looks at disks, confirm
//	                                                                                            │
//	     healthy ◀─ ready ◀─ first boot ◀── boots what we wrote ── reboots ◀─ verify ◀── write ◀┘
//
// Any stage may be skipped: files come from elsewhere, servers are started late.
// Within a boot it only goes on, but for the installer, which may begin again
// (failed ─▶ disks). What begins another boot is in again. moves is the whole of
// the automaton; an event that is not in it changes no stage.
type boot struct {
	stage Stage
	since time.Time // it is in this stage
	moved time.Time // something last got on

	asks      int       // requests for an address since it last had one
	asked     time.Time // the first of them; zero where none was heard in this boot
	offers    int       // our offers to them
	proxied   bool      // another server gives the addresses
	fetched   bool      // something, since it last asked
	asker     string    // the loader that asked last, see event.Event
	who       string    // the same in words
	elsewhere string    // the server whose offer it took

	file        string // that it fetched last
	done, total int64
	began       time.Time   // of the file, or of the installer's stage
	first       int64       // Done at that time
	whole       [roles]bool // fetched completely

	silent  string // why we were silent
	missing string // the last file that is not there
	broke   string // why the last file broke off
	refused string // what it may not have, and why
	text    string // the installer's words
}

// move is one line of the automaton: on the event, in the stages from first to
// last, the box is at to.
type move struct {
	on          event.Kind
	stage       netboot.Stage // of the installer
	first, last Stage
	to          Stage
}

var moves = []move{
	{on: event.Discover, first: Quiet, last: Disk, to: Discovers},
	{on: event.Silent, first: Quiet, last: Addressed, to: Unanswered},
	{on: event.Offer, first: Quiet, last: Unanswered, to: Offered},
	{on: event.Ack, first: Quiet, last: Offered, to: Addressed},
	{on: event.Proxy, first: Quiet, last: Offered, to: Addressed},
	{on: event.Elsewhere, first: Quiet, last: Offered, to: Addressed},
	{on: event.Disk, first: Quiet, last: Script, to: Disk},

	{on: event.Installer, stage: netboot.Disks, first: Quiet, last: Verify, to: Disks},
	{on: event.Installer, stage: netboot.Confirm, first: Quiet, last: Verify, to: Confirm},
	{on: event.Installer, stage: netboot.Write, first: Quiet, last: Verify, to: Write},
	{on: event.Installer, stage: netboot.Check, first: Quiet, last: Verify, to: Verify},
	{on: event.Installer, stage: netboot.Reboot, first: Quiet, last: Reboots, to: Reboots},
	{on: event.Installer, stage: netboot.Failed, first: Quiet, last: Failed, to: Failed},
	{on: event.Installer, stage: netboot.Disks, first: Failed, last: Failed, to: Disks},
	{on: event.Written, first: Quiet, last: Reboots, to: Reboots},
	{on: event.Ready, first: Quiet, last: Ready, to: Ready},
	{on: event.Healthy, first: Quiet, last: Healthy, to: Healthy},
}

// next takes an event, and reports whether it began another boot. written says
// that the box's disk holds what we wrote.
func (b *boot) next(e event.Event, role Role, written bool) (again bool) {
	if again = b.again(e, role); again {
		*b = boot{asker: b.asker, who: b.who}
	}
	switch e.Kind {
	case event.Discover:
		b.discover(e)
		if e.Loader == event.System {
			b.system(e, written)
			return again
		}
	case event.Transfer:
		b.transfer(e, role)
		return again
	default:
		b.note(e)
	}
	for _, m := range moves {
		if m.on == e.Kind && m.stage == e.Stage && m.first <= b.stage && b.stage <= m.last {
			to := m.to
			if e.Kind == event.Ack && b.asked.IsZero() {
				to = Disk // it asked for none in this boot: its system renews the address that it has
			}
			if to == Disk && written {
				to = FirstBoot
			}
			b.enter(to, e.Time)
			break
		}
	}
	return again
}

// again tells whether the event begins another boot. Loaders and installers ask
// for an address of their own, after the firmware: whoever asks and is no later
// in that order than who asked before has started from the beginning, if
// anything was fetched between. Where its requests are not heard, a box that
// fetches what it already had is all there is to see.
func (b *boot) again(e event.Event, role Role) bool {
	switch e.Kind {
	case event.Discover:
		if b.stage < Loader || e.Loader == event.System {
			return false
		}
		repeats := b.stage <= Script && !b.fetched && order(e.Loader) == order(b.asker)
		return order(e.Loader) <= order(b.asker) && !repeats
	case event.Transfer:
		return b.asked.IsZero() && b.stage >= Kernel && b.whole[role] && role != Other && b.starts(e)
	}
	return false
}

// order is who runs after whom: the firmware, its loaders, the system.
func order(loader string) int {
	switch loader {
	case "":
		return 0
	case event.System:
		return 2
	}
	return 1
}

// starts reports whether e is the first that is heard of a transfer.
func (b *boot) starts(e event.Event) bool { return e.File != b.file || e.Done < b.done }

func (b *boot) discover(e event.Event) {
	if b.asks == 0 {
		b.asked, b.offers = e.Time, 0
	}
	b.asks++
	b.asker, b.who, b.moved, b.fetched = e.Loader, e.Text, e.Time, false
}

// system is an address asked for by what the box runs now: the disk's system, or
// the installer, whose stages tell more.
func (b *boot) system(e event.Event, written bool) {
	b.asks = 0 // it is no netboot that waits for an answer
	switch {
	case written && (b.stage < Disk || b.stage == Reboots):
		b.enter(FirstBoot, e.Time)
	case b.stage < Disk || b.stage == Reboots:
		b.enter(Disk, e.Time)
	}
}

// note remembers what an event says besides the stage.
func (b *boot) note(e event.Event) {
	switch e.Kind {
	case event.Offer:
		b.offers++
	case event.Proxy:
		b.proxied = true
	case event.Ack:
		b.asks, b.elsewhere, b.silent = 0, "", ""
	case event.Elsewhere:
		b.asks, b.elsewhere = 0, e.Text
	case event.Disk:
		b.asks = 0 // it was told all there is
	case event.Silent:
		b.silent = e.Text
	case event.Missing:
		b.missing = e.File
	case event.Aborted:
		b.broke = e.Text
	case event.Refused:
		b.refused = e.Text
	case event.Installer:
		if e.Done < b.done { // from the start again
			b.began, b.first = e.Time, e.Done
		}
		b.moved, b.file = e.Time, ""
		b.text, b.done, b.total = e.Text, e.Done, e.Total
	}
}

// transfer is a file on its way.
func (b *boot) transfer(e event.Event, role Role) {
	if b.starts(e) {
		b.began, b.first, b.broke, b.missing, b.refused = e.Time, e.Done, "", "", ""
	}
	b.file, b.done, b.total = e.File, e.Done, e.Total
	b.moved, b.asks, b.fetched = e.Time, 0, true
	if to := roleStages[role]; to > b.stage && b.stage <= Initramfs {
		b.enter(to, e.Time)
	}
	if e.Done == e.Total && e.Total > 0 {
		b.whole[role] = true
	}
	if b.complete() && b.stage < Starting {
		b.enter(Starting, e.Time)
	}
}

// complete reports whether all was fetched that a kernel needs.
func (b *boot) complete() bool { return b.whole[IsSystem] || b.whole[IsKernel] && b.whole[IsInitramfs] }

func (b *boot) enter(s Stage, now time.Time) {
	if b.moved = now; s == b.stage {
		return
	}
	b.stage, b.since = s, now
	if s >= Disks {
		b.began, b.first = now, b.done
	}
}

// rate is in bytes a second; 0 while that is not known.
func (b *boot) rate() float64 {
	spent := b.moved.Sub(b.began).Seconds()
	if spent < 1 || b.done <= b.first {
		return 0
	}
	return float64(b.done-b.first) / spent
}

// percent is how much of the file or of the installer's work is done, in words.
func (b *boot) percent() string {
	if b.total <= 0 {
		return fmt.Sprintf("%d bytes", b.done)
	}
	return fmt.Sprintf("%d %%", int(100*min(1, float64(b.done)/float64(b.total))))
}

// busy reports whether done and total are about what the stage is.
func (b *boot) busy() bool {
	return Loader <= b.stage && b.stage <= Initramfs || b.stage == Write || b.stage == Verify
}
