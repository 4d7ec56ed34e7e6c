package track

import (
	"fmt"
	"net/netip"
	"time"

	"tench/release/netboot"
)

// scene is what a diagnosis is made of.
type scene struct {
	*boot
	install *Install
	foreign netip.Addr // another DHCP server that was heard lately
}

// limit is one line of what may go wrong: a box in the stages from first to last
// of which cond is so has until after since something got on; then say is what to
// tell the operator. The first line that applies speaks.
type limit struct {
	first, last Stage
	after       time.Duration
	cond        func(scene) bool
	say         func(scene) string
}

// limits are generous: firmware waits 10 s for a router's advertisement, a server
// takes two minutes to its boot loader. A diagnosis stops nothing.
var limits = []limit{
	{first: Quiet, last: Failed, cond: gaveUp, say: func(s scene) string {
		return "the install is given up: " + s.install.Why + "; it boots its disk until it is armed again"
	}},
	{first: Quiet, last: Quiet, after: 3 * time.Minute, cond: awaited, say: func(scene) string {
		return "is armed, and was not heard of: is it on, and its cable in? is booting from the network on in its firmware?"
	}},
	{first: Unanswered, last: Unanswered, say: func(s scene) string { return "is not answered: " + s.silent }},
	{first: Failed, last: Failed, cond: running, say: func(s scene) string { return "says that it is not healthy: " + s.text }},
	{first: Failed, last: Failed, say: func(s scene) string { return "the installer gave up: " + s.text }},
	{first: Confirm, last: Confirm, say: func(s scene) string { return "waits for an answer on its console: " + s.text }},
	{first: Discovers, last: Kernel, cond: refused, say: func(s scene) string { return "may not have what it asks for: " + s.refused }},

	{first: Discovers, last: Loader, after: 5 * time.Second, cond: asksOn, say: asksWords},
	{first: Discovers, last: Offered, after: 30 * time.Second, say: asksWords},
	{first: Addressed, last: Addressed, after: 40 * time.Second, cond: missing, say: func(s scene) string {
		return "has an address, and asks for " + s.missing + ", which is not there: does another DHCP server name a boot file?"
	}},
	{first: Addressed, last: Addressed, after: 40 * time.Second, say: func(s scene) string {
		if s.elsewhere != "" {
			return "took an address of another DHCP server, " + s.elsewhere + ", and fetches nothing from here: does that server name this one as next-server?"
		}
		return "has an address, and fetches nothing: does a firewall of this computer stop UDP port 69? does the box have a way to this computer?"
	}},

	{first: Loader, last: Initramfs, after: 20 * time.Second, cond: halfway, say: func(s scene) string {
		if s.broke != "" {
			return fmt.Sprintf("%s broke off at %s: %s", s.file, s.percent(), s.broke)
		}
		return fmt.Sprintf("%s stopped at %s: is the cable sound? did the box go off?", s.file, s.percent())
	}},
	{first: Loader, last: Initramfs, after: 30 * time.Second, cond: missing, say: func(s scene) string {
		return fmt.Sprintf("fetched %s, and then asked for %s, which is not there", s.file, s.missing)
	}},
	{first: Loader, last: Loader, after: 60 * time.Second, say: func(s scene) string {
		return "fetched the loader " + s.file + ", and then nothing: is it of the right kind (BIOS or UEFI, 32 or 64 bit)? does Secure Boot refuse it? its screen says more"
	}},
	{first: Script, last: Script, after: 60 * time.Second, say: func(s scene) string {
		return "fetched the script " + s.file + ", and then nothing: its console says more"
	}},
	{first: Kernel, last: Kernel, cond: isOurs, after: 30 * time.Second, say: func(s scene) string {
		return "fetched the kernel, and never the initramfs: does the box have too little memory? its console says more"
	}},
	{first: Initramfs, last: Initramfs, cond: isOurs, after: 30 * time.Second, say: func(s scene) string {
		return "fetched the initramfs, and never the kernel: its console says more"
	}},
	{first: Starting, last: Starting, cond: isOurs, after: 2 * time.Minute, say: func(s scene) string {
		return "has kernel and initramfs, and is silent since: is the image of this board? is the cable in a port that its kernel has a driver for? its serial console says more"
	}},

	{first: Disks, last: Verify, after: time.Minute, say: func(s scene) string {
		return fmt.Sprintf("the installer is silent at %s: did the box go off? its console says more", s.percent())
	}},
	{first: Reboots, last: FirstBoot, after: 5 * time.Minute, say: func(s scene) string {
		return "is written, and was not heard of since: does its firmware boot from that disk? its console says more"
	}},
	{first: Ready, last: Ready, after: 10 * time.Minute, say: func(scene) string {
		return "its network is up, and it does not call itself healthy: tenchd health on its console says why"
	}},
}

func gaveUp(s scene) bool { return s.install != nil && s.install.State == StateFailed }
func awaited(s scene) bool {
	return s.install != nil && s.install.Pending() && s.install.Port.IsZero()
}
func running(s scene) bool {
	return s.install != nil && (!s.install.Pending() || s.install.Mode == netboot.Run)
}

// isOurs is a box whose system says that it runs. Another one, which has no board,
// says nothing, and may have its root in its kernel.
func isOurs(s scene) bool  { return s.install == nil || s.install.Board != "" }
func refused(s scene) bool { return s.refused != "" }
func missing(s scene) bool { return s.missing != "" }
func halfway(s scene) bool { return s.total > s.done || s.broke != "" }

// asksOn is a box that asked so often that no loader's patience explains it.
func asksOn(s scene) bool { return s.asks >= 4 }

// asksWords says why a box may ask again and again.
func asksWords(s scene) string {
	times := "once"
	if s.asks > 1 {
		times = fmt.Sprintf("%d times", s.asks)
	}
	switch {
	case s.proxied:
		return "asked for an address " + times + ", and no DHCP server of this cable gave it one: is that server on? is spanning tree holding the switch's port?"
	case s.offers == 0:
		return "asked for an address " + times + ", and nobody answered: is the DHCP server of this cable on?"
	case s.foreign.IsValid():
		return "asked for an address " + times + ", and never took ours: another DHCP server, " + s.foreign.String() + ", is on this cable. is spanning tree holding the switch's port?"
	}
	return "asked for an address " + times + ", and never took ours: is another DHCP server on this cable? is spanning tree holding the switch's port?"
}

// diagnose says what is wrong; "" for nothing. Requests for an address count from
// the first of them, all else from what got on last.
func diagnose(s scene, now time.Time) string {
	for _, l := range limits {
		if s.stage < l.first || s.stage > l.last || l.cond != nil && !l.cond(s) {
			continue
		}
		from := s.moved
		if s.asks > 0 && s.stage <= Loader {
			from = s.asked
		}
		if l.after == 0 || now.Sub(from) > l.after {
			return l.say(s)
		}
	}
	return ""
}

// diagnose is of a box in the table. The caller holds mu.
func (t *Table) diagnose(b *box, now time.Time) string {
	return diagnose(scene{boot: &b.boot, install: t.installOf(b), foreign: t.foreign.lately(now)}, now)
}
