package track

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/pxe/event"
	"tench/release/netboot"
)

var (
	gw0   = event.MAC{0x52, 0x54, 0, 0, 0, 1}
	gw1   = event.MAC{0x52, 0x54, 0, 0, 0, 2}
	start = time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC)
)

// Events of a boot, short.
func discover(loader string) event.Event { return event.Event{Kind: event.Discover, Loader: loader} }
func kind(k event.Kind) event.Event      { return event.Event{Kind: k} }
func fetch(file string, done, total int64) event.Event {
	return event.Event{Kind: event.Transfer, File: file, Done: done, Total: total}
}
func report(stage netboot.Stage) event.Event {
	return event.Event{Kind: event.Installer, Stage: stage, Text: "words"}
}

// bios is a boot by the firmware's PXE, with iPXE as its loader, until the kernel
// has started; the seconds between do not matter here.
var bios = []event.Event{
	discover(""), kind(event.Offer), kind(event.Request), kind(event.Ack), {Kind: event.Probe, File: "ipxe.0"}, fetch("ipxe.0", 0, 90), fetch("ipxe.0", 90, 90),
	discover("iPXE"), kind(event.Offer), kind(event.Ack), kind(event.Solicit), fetch("boot.ipxe", 10, 10),
	fetch("vmlinuz", 0, 1000), fetch("vmlinuz", 500, 1000), fetch("vmlinuz", 1000, 1000), fetch("initrd", 0, 2000), fetch("initrd", 2000, 2000),
}

func TestStagesOfABoot(t *testing.T) {
	tests := []struct {
		name    string
		events  []event.Event
		written bool
		want    string // the stages it was in
		boots   int    // that began after the first
	}{
		{name: "nothing of a boot", events: []event.Event{kind(event.Foreign), kind(event.Missing)}, want: ""},
		{name: "PXE, iPXE, kernel", events: bios, want: "discover, offered, addressed, loader, script, kernel, initramfs, starting"},
		{name: "iPXE in the ROM asks twice", events: []event.Event{discover("iPXE"), kind(event.Offer), discover("iPXE"), kind(event.Offer), kind(event.Ack), fetch("boot.ipxe", 1, 1)},
			want: "discover, offered, discover, offered, addressed, script"},
		{name: "a proxy beside a DHCP server", events: []event.Event{discover(""), kind(event.Proxy), kind(event.Elsewhere), fetch("grubx64.efi", 1, 2)}, want: "discover, addressed, loader"},
		{name: "another router answers", events: []event.Event{fetch("pxelinux.0", 1, 1), fetch("pxelinux.cfg/default", 1, 1), fetch("vmlinuz", 1, 1)}, want: "loader, script, kernel"},
		{name: "U-Boot fetches the initramfs first", events: []event.Event{discover("U-Boot"), kind(event.Ack), fetch("uInitrd", 2, 2), fetch("dtb", 1, 1), fetch("zImage", 1, 2), fetch("zImage", 2, 2)},
			want: "discover, addressed, initramfs, starting"},
		{name: "OpenBSD's kernel with its root", events: []event.Event{discover(""), kind(event.Ack), fetch("pxeboot", 1, 1), fetch("etc/boot.conf", 1, 1), fetch("bsd.rd", 1, 9), fetch("bsd.rd", 9, 9)},
			want: "discover, addressed, loader, script, kernel, starting"},
		{name: "a system renews its address", events: []event.Event{kind(event.Request), kind(event.Ack)}, want: "boots its disk"},
		{name: "a stranger", events: []event.Event{discover(""), {Kind: event.Silent, Text: "not in boxes.toml"}, discover("")}, want: "discover, not answered, discover"},
		{name: "an installer", events: append(bios[:len(bios):len(bios)], discover(event.System), kind(event.Ack), report(netboot.Disks), report(netboot.Confirm), report(netboot.Write), report(netboot.Check), kind(event.Written), report(netboot.Reboot)),
			want: "discover, offered, addressed, loader, script, kernel, initramfs, starting, looks at disks, confirm, write, verify, reboots"},
		{name: "an installer that begins again", events: []event.Event{report(netboot.Write), report(netboot.Failed), report(netboot.Write), report(netboot.Disks), report(netboot.Write)},
			want: "write, failed, looks at disks, write"},
		{name: "an old report does not call a box back", events: []event.Event{report(netboot.Check), kind(event.Written), report(netboot.Write), kind(event.Ready), report(netboot.Reboot), kind(event.Healthy), kind(event.Ready)},
			want: "verify, reboots, ready, healthy"},
		{name: "the first boot asks the network first", written: true, events: []event.Event{kind(event.Written), discover(""), kind(event.Disk), discover(event.System), kind(event.Ready), kind(event.Healthy)},
			want: "reboots, discover, first boot, ready, healthy", boots: 1},
		{name: "the first boot by way of a loader", written: true, events: []event.Event{kind(event.Written), discover(""), kind(event.Ack), fetch("ipxe.0", 1, 1), discover("iPXE"), kind(event.Ack), fetch("boot.ipxe", 1, 1), kind(event.Disk)},
			want: "reboots, discover, addressed, loader, script, first boot", boots: 1},
		{name: "the first boot does not ask", written: true, events: []event.Event{kind(event.Written), discover(event.System), kind(event.Healthy)}, want: "reboots, first boot, healthy"},
		{name: "a first boot after the server was started anew", written: true, events: []event.Event{discover(event.System), kind(event.Ready)}, want: "first boot, ready"},
		{name: "a box that needs nothing of us", events: []event.Event{discover(""), kind(event.Disk), discover(event.System), kind(event.Ack)}, want: "discover, boots its disk"},
		{name: "a system asks, nobody boots", events: []event.Event{discover(event.System), kind(event.Offer), kind(event.Ack)}, want: "boots its disk"},
		{name: "a loader that asks again and again", events: append(bios[:7:7], discover("iPXE"), discover("iPXE"), kind(event.Offer), discover("iPXE"), kind(event.Ack), fetch("boot.ipxe", 1, 1)),
			want: "discover, offered, addressed, loader, script"},
		{name: "off in the loader", events: append(bios[:7:7], discover("")), boots: 1, want: "discover, offered, addressed, loader, discover"},
		{name: "off in the middle of the kernel", events: append(bios[:13:13], bios[:6]...), boots: 1,
			want: "discover, offered, addressed, loader, script, kernel, discover, offered, addressed, loader"},
		{name: "off in the middle, where another router answers", events: []event.Event{fetch("a.efi", 1, 1), fetch("vmlinuz", 3, 3), fetch("initrd", 1, 3), fetch("a.efi", 0, 1), fetch("a.efi", 1, 1), fetch("vmlinuz", 1, 3)}, boots: 1,
			want: "loader, kernel, initramfs, loader, kernel"},
		{name: "a loader that looks at the kernel twice", events: append(bios[:15:15], fetch("vmlinuz", 0, 1000), fetch("vmlinuz", 1000, 1000)), want: "discover, offered, addressed, loader, script, kernel"},
		{name: "a broken kernel is fetched again", events: []event.Event{fetch("vmlinuz", 2, 3), kind(event.Aborted), fetch("vmlinuz", 0, 3), fetch("vmlinuz", 3, 3)}, want: "kernel"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b boot
			var got []string
			boots := 0
			for i, e := range tt.events {
				e.Time = start.Add(time.Duration(i) * time.Second)
				before, since := b.stage, b.since
				if b.next(e, RoleOf(e.File), tt.written) {
					boots++
				}
				if b.stage != before || b.since != since {
					got = append(got, b.stage.String())
				}
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("stages (-want +got):\n%s", diff)
			}
			if boots != tt.boots {
				t.Errorf("%d further boots, want %d", boots, tt.boots)
			}
		})
	}
}

func TestRoleOf(t *testing.T) {
	tests := map[string]Role{
		"pxelinux.0": IsLoader, "/boot/ipxe.efi": IsLoader, "undionly.kpxe": IsLoader, "ldlinux.c32": IsLoader, `EFI\BOOT\BOOTX64.EFI`: IsLoader, "auto_install": IsLoader,
		"boot.ipxe": IsScript, "pxelinux.cfg/01-52-54-00-00-00-01": IsScript, "pxelinux.cfg/default": IsScript, "/pxelinux.cfg/C0000264": IsScript, "grub/grub.cfg-01-52-54-00-00-00-01": IsScript, "grub/grub.cfg": IsScript, "/etc/boot.conf": IsScript, "boot/loader.conf": IsScript, "boot.scr.uimg": IsScript,
		"gw0/vmlinuz": IsKernel, "tench-apu2.vmlinuz": IsKernel, "vmlinuz.efi": IsKernel, "zImage": IsKernel, "Image.gz": IsKernel, "boot/kernel/kernel": IsKernel,
		"tench-apu2.initrd": IsInitramfs, "initramfs.img": IsInitramfs, "mfsroot.gz": IsInitramfs, "bsd.rd": IsSystem,
		"": Other, "sun7i-a20-lamobo-r1.dtb": Other, "../../etc/passwd": Other,
	}
	for file, want := range tests {
		if got := RoleOf(file); got != want {
			t.Errorf("RoleOf(%q) = %d, want %d", file, got, want)
		}
	}
}

func TestStageTexts(t *testing.T) {
	for _, s := range Stages() {
		text, _ := s.MarshalText()
		var got Stage
		if err := got.UnmarshalText(text); err != nil || got != s {
			t.Errorf("stage %d is %q, and read back %d, %v", s, text, got, err)
		}
	}
	if err := new(Stage).UnmarshalText([]byte("asleep")); err == nil {
		t.Error("a stage that there is not was read")
	}
}
