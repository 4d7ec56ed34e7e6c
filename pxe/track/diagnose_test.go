package track

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tench/pxe/event"
	"tench/release/netboot"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestDiagnose(t *testing.T) {
	offered := func(n int) (events []event.Event) {
		for range n {
			events = append(events, discover(""), kind(event.Offer))
		}
		return events
	}
	foreign := event.Event{Kind: event.Foreign, IP: mustAddr("192.0.2.254")}
	tests := []struct {
		name   string
		events []event.Event
		wait   time.Duration
		want   string // begins with; "" for no diagnosis
	}{
		{"a system renews with a server that was started anew", []event.Event{kind(event.Request), kind(event.Ack)}, time.Hour, ""},
		{"nothing heard", nil, time.Hour, ""},
		{"it asked just now", offered(1), 0, ""},
		{"iPXE waits for a proxy", offered(2), 3 * time.Second, ""},
		{"it never takes ours", offered(4), 4 * time.Second, "asked for an address 4 times, and never took ours: is another DHCP server on this cable? is spanning tree"},
		{"it never takes ours, and another was heard", append(offered(4), foreign), 4 * time.Second, "asked for an address 4 times, and never took ours: another DHCP server, 192.0.2.254, is"},
		{"it asked once and was lost", offered(1), time.Minute, "asked for an address once, and never took"},
		{"nobody answers where another router does", []event.Event{discover("")}, time.Minute, "asked for an address once, and nobody answered"},
		{"a proxy, and no DHCP server", []event.Event{discover(""), kind(event.Proxy), discover(""), kind(event.Proxy), discover(""), kind(event.Proxy), discover(""), kind(event.Proxy)}, 4 * time.Second,
			"asked for an address 4 times, and no DHCP server of this cable gave it one"},
		{"a stranger", []event.Event{discover(""), {Kind: event.Silent, Text: "it is not in boxes.toml"}}, 0, "is not answered: it is not in boxes.toml"},
		{"an address, nothing fetched", bios[:4], time.Minute, "has an address, and fetches nothing: does a firewall"},
		{"iPXE waits for a router", bios[:4], 15 * time.Second, ""},
		{"an address, and a file that is not there", append(bios[:4:4], event.Event{Kind: event.Missing, File: "x.efi"}), time.Minute, "has an address, and asks for x.efi, which is not there"},
		{"another server's address", []event.Event{discover(""), {Kind: event.Elsewhere, Text: "192.0.2.254"}}, time.Minute, "took an address of another DHCP server, 192.0.2.254, and fetches nothing"},
		{"a loader, and nothing", bios[:7], 70 * time.Second, "fetched the loader ipxe.0, and then nothing"},
		{"a loader that asks for an address in vain", append(bios[:7:7], discover("iPXE"), discover("iPXE"), discover("iPXE"), discover("iPXE")), 5 * time.Second, "asked for an address 4 times, and nobody"},
		{"a loader, and a script that is not there", append(bios[:7:7], event.Event{Kind: event.Missing, File: "autoexec.ipxe"}), 40 * time.Second, "fetched ipxe.0, and then asked for autoexec.ipxe, which is not there"},
		{"a script, and nothing", bios[:12], 70 * time.Second, "fetched the script boot.ipxe, and then nothing"},
		{"half a kernel", bios[:14], 25 * time.Second, "vmlinuz stopped at 50 %"},
		{"half a kernel, and why", append(bios[:14:14], event.Event{Kind: event.Aborted, Text: "no answer"}), 25 * time.Second, "vmlinuz broke off at 50 %: no answer"},
		{"a kernel, and no initramfs", bios[:15], 40 * time.Second, "fetched the kernel, and never the initramfs"},
		{"all, and then silence", bios, 3 * time.Minute, "has kernel and initramfs, and is silent since"},
		{"all, a minute ago", bios, time.Minute, ""},
		{"wrong board", append(bios[:12:12], event.Event{Kind: event.Refused, Text: "the image is of board apu2"}), 0, "may not have what it asks for: the image is of board apu2"},
		{"refused one file, and got on", append(bios[:12:12], event.Event{Kind: event.Refused, Text: "not this one"}, fetch("vmlinuz", 1, 9)), 0, ""},
		{"a question", []event.Event{report(netboot.Confirm)}, 0, "waits for an answer on its console: words"},
		{"an installer that is silent", []event.Event{{Kind: event.Installer, Stage: netboot.Write, Done: 43, Total: 100}}, 2 * time.Minute, "the installer is silent at 43 %"},
		{"an installer that gave up", []event.Event{report(netboot.Failed)}, 0, "the installer gave up: words"},
		{"written, and gone", []event.Event{kind(event.Written)}, 6 * time.Minute, "is written, and was not heard of since"},
		{"ready, and no more", []event.Event{kind(event.Ready)}, 11 * time.Minute, "its network is up, and it does not call itself healthy"},
		{"healthy", []event.Event{kind(event.Healthy)}, 24 * time.Hour, ""},
		{"it boots its disk", []event.Event{discover(""), kind(event.Disk)}, 24 * time.Hour, ""},
		{"UEFI that boots its disk", slices.Repeat([]event.Event{discover(""), kind(event.Offer), kind(event.Disk)}, 4), 24 * time.Hour, ""},
		{"UEFI that boots its disk, by a proxy's word", slices.Repeat([]event.Event{discover(""), kind(event.Disk)}, 4), 24 * time.Hour, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.hear(gw0, tt.events...)
			d.now = d.now.Add(tt.wait)
			got := ""
			if list := d.Snapshot(); len(list) > 0 {
				got = list[0].Diagnosis
			}
			if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("diagnosis %q, want it to begin with %q", got, tt.want)
			}
		})
	}
}

func TestArmedAndNotHeardOf(t *testing.T) {
	d := newDesk(t)
	d.arm(install0)
	for wait, want := range map[time.Duration]string{0: "", 4 * time.Minute: "is armed, and was not heard of: is it on"} {
		d.now = start.Add(wait)
		if got := d.Snapshot()[0].Diagnosis; want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("after %v: %q, want %q", wait, got, want)
		}
	}
	d.now = start.Add(4 * time.Minute)
	d.restart()
	if got := d.Snapshot()[0].Diagnosis; got != "" {
		t.Errorf("just after a restart of the server: %q, want nothing", got)
	}
}

// TestEveryStageHasALimit keeps a box from being silent for ever unnoticed. The
// stages named here are where it may be so.
func TestEveryStageHasALimit(t *testing.T) {
	quiet := map[Stage]bool{Quiet: true, Disk: true, Healthy: true}
	for _, s := range Stages() {
		sc := scene{boot: &boot{stage: s, moved: start, asked: start}}
		if got := diagnose(sc, start.Add(time.Hour)); (got == "") != quiet[s] {
			t.Errorf("an hour in stage %q: %q", s, got)
		}
	}
}

func TestRate(t *testing.T) {
	d := newDesk(t)
	d.hear(gw0, fetch("vmlinuz", 0, 100<<20), fetch("vmlinuz", 10<<20, 100<<20), fetch("vmlinuz", 20<<20, 100<<20))
	b := d.Snapshot()[0]
	if b.Rate != 10<<20 || b.Left != 8 {
		t.Errorf("%v bytes/s, %v s left, want 10 MiB/s and 8 s", b.Rate, b.Left)
	}
	write := func(done int64) event.Event {
		return event.Event{Kind: event.Installer, Stage: netboot.Write, Done: done, Total: 100 << 20}
	}
	d.hear(gw1, write(0), write(1<<20), write(2<<20), write(0), write(30<<20)) // the line broke after the third
	if b := d.Snapshot()[1]; b.Rate != 30<<20 {
		t.Errorf("after a line that broke: %v bytes/s, want 30 MiB/s", b.Rate)
	}
	d.hear(gw0, fetch("initrd", 0, 100))
	if b := d.Snapshot()[0]; b.Rate != 0 || b.Left != 0 {
		t.Errorf("another file: %v bytes/s, %v s left, want that they are not known", b.Rate, b.Left)
	}
}

// The table's own words come back to it, and are not the box's.
func TestArmedIsNotHeardOf(t *testing.T) {
	d := newDesk(t)
	d.arm(install0)
	if err := d.Disarm(gw0); err != nil {
		t.Fatal(err)
	}
	d.arm(install0)
	for _, e := range d.log {
		d.Event(e)
	}
	if b := d.Snapshot()[0]; !b.Seen.IsZero() {
		t.Errorf("a box that said nothing was heard of at %v", b.Seen)
	}
	if got := d.Explain(gw0); !strings.Contains(got, "was not heard of since this server started") || !strings.Contains(got, "armed install") {
		t.Errorf("Explain:\n%s", got)
	}
	d.hear(gw0, kind(event.Solicit))
	if got := d.Explain(gw0); !strings.Contains(got, "(gw0): last heard of at") {
		t.Errorf("Explain of a box that only asked for a router:\n%s", got)
	}
}

func TestExplain(t *testing.T) {
	d := newDesk(t)
	if got := d.Explain(gw0); !strings.Contains(got, "was not heard of") {
		t.Errorf("nothing heard: %q", got)
	}
	d.arm(install0)
	if got := d.Explain(gw0); !strings.Contains(got, "was not heard of since this server started") || !strings.Contains(got, "Armed at") {
		t.Errorf("armed: %q", got)
	}
	d.hear(gw0, discover(""), event.Event{Kind: event.Offer, IP: mustAddr("192.0.2.10"), File: "ipxe.0"},
		event.Event{Kind: event.Ack, IP: mustAddr("192.0.2.10"), File: "ipxe.0", Rule: "gw0 in boxes.toml: install"})
	d.hear(gw0, bios[5:7]...)
	d.hear(gw0, bios[11:14]...)
	got := d.Explain(gw0)
	for _, want := range []string{"(gw0): kernel, since", "by the rule: gw0 in boxes.toml: install", "Armed at", "transfer vmlinuz 500 of 1000 bytes", `furthest to "kernel"`, "heard, the last"} {
		if !strings.Contains(got, want) {
			t.Errorf("Explain says nothing of %q:\n%s", want, got)
		}
	}
	if strings.Count(got, "transfer vmlinuz") != 1 {
		t.Errorf("a transfer is more than one line:\n%s", got)
	}
	d.hear(gw1, discover(""), event.Event{Kind: event.Silent, Text: "it is not in boxes.toml", Rule: "unknown boxes are shown, not served"})
	if got := d.Explain(gw1); !strings.Contains(got, "silent it is not in boxes.toml; by the rule: unknown boxes are shown, not served") {
		t.Errorf("a stranger:\n%s", got)
	}
	for range 1000 {
		d.hear(gw1, discover(""))
	}
	if got := strings.Count(d.Explain(gw1), "\n"); got > heard+10 {
		t.Errorf("%d lines of history, want at most %d", got, heard)
	}
}

// A system that is not ours says nothing when it runs, and need not have an initramfs.
func TestAnotherSystemIsSilent(t *testing.T) {
	for name, events := range map[string][]event.Event{
		"a Pi's kernel alone": {discover(""), kind(event.Ack), fetch("start4.elf", 9, 9), fetch("kernel8.img", 9, 9), discover(event.System)},
		"OpenBSD's":           {discover(""), kind(event.Ack), fetch("pxeboot", 9, 9), fetch("bsd.rd", 9, 9)},
	} {
		d := newDesk(t)
		d.arm(Order{Box: gw0, Name: "gw0", Mode: netboot.Run})
		d.hear(gw0, events...)
		d.now = d.now.Add(time.Hour)
		if got := d.Snapshot()[0].Diagnosis; got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
