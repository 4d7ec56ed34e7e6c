package tftp

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fetch asks for a file and takes at most blocks of it, 0 for all; then it ends
// the transfer with an ERROR, as loaders do. It returns what it got; ok is
// whether there is such a file.
func (p *peer) fetch(name string, size, blocks int, end string, options ...option) (got []byte, ok bool) {
	p.Helper()
	p.ask(name, options...)
	block := size
	if len(options) > 0 {
		first := p.receive("\x00\x06")
		if first[1] == opERROR {
			return nil, false
		}
		if first[1] != opOACK {
			p.Fatalf("%s: got %.40q, want an OACK", name, first)
		}
		p.answer(ack(0))
	}
	for n := 1; ; n++ {
		packet := p.receive(data(n, nil))
		if packet[1] == opERROR {
			if n > 1 || packet[3] != errorNotFound {
				p.Fatalf("%s: block %d: got %.60q", name, n, packet)
			}
			return nil, false
		}
		if want := data(n, nil); string(packet[:4]) != want {
			p.Fatalf("%s: got %.40q, want block %d", name, packet, n)
		}
		got = append(got, packet[4:]...)
		if n == blocks {
			p.answer(end)
			return got, true
		}
		p.answer(ack(n))
		if len(packet) < 4+block {
			return got, true
		}
	}
}

// OpenBSD's pxeboot 3.42 (amd64): no options; every kernel is opened, dropped
// after eight blocks with ERROR 3, and opened again from the same port.
func TestOpenBSDsLoader(t *testing.T) {
	kernel := content(300_000)
	addr, events, stop := serving(t, tree{"pxeboot": content(90_000), "etc/boot.conf": []byte("boot tftp:/bsd.rd\n"), "bsd.rd": kernel})
	rom := newPeer(t, addr)
	rom.fetch("pxeboot", 1432, 0, "", option{"blksize", "1432"}, option{"tsize", "0"})
	loader := newPeer(t, addr)
	enough := string(appendError(nil, 3, ""))
	if _, ok := loader.fetch("/bsd.upgrade", 512, 0, ""); ok {
		t.Error("there is a bsd.upgrade")
	}
	conf, _ := loader.fetch("/etc/boot.conf", 512, 0, "")
	if got, want := string(conf), "boot tftp:/bsd.rd\n"; got != want {
		t.Errorf("boot.conf is %q, want %q", got, want)
	}
	loader.fetch("/etc/random.seed", 512, 0, "")
	loader.fetch("/bsd.rd", 512, 8, enough)
	for range 2 {
		got, _ := loader.fetch("/bsd.rd", 512, 0, "")
		if !bytes.Equal(got, kernel) {
			t.Errorf("the kernel has %d bytes, and not its own", len(got))
		}
	}
	want := []string{
		"transfer pxeboot 0/90000", "transfer pxeboot 90000/90000", "missing bsd.upgrade 0/0", "transfer etc/boot.conf 18/18", "missing etc/random.seed 0/0",
		"probe bsd.rd 3584/300000 error 3:", "transfer bsd.rd 300000/300000", "transfer bsd.rd 300000/300000",
	}
	if diff := cmp.Diff(sorted(want), said(t, events, stop, len(want))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// FreeBSD 15.1's loader: a new port for each request, most files opened twice
// and first dropped with ERROR 0, and a hundred names that are not there.
func TestFreeBSDsLoader(t *testing.T) {
	files := tree{}
	var order []string
	for _, n := range []string{"loader", "cli", "config", "hook", "core", "color", "password", "screen"} {
		order = append(order, "/FreeBSD/boot/lua/"+n+".lua")
	}
	order = append(order, "/FreeBSD/boot/defaults/loader.conf", "/FreeBSD/boot/device.hints", "/FreeBSD/boot/loader.conf",
		"/FreeBSD/boot/kernel/kernel", "/FreeBSD/boot/mfsroot.gz")
	for i, name := range order {
		files[name[1:]] = content(2000 + 700*i)
	}
	var absent []string
	for _, n := range []string{"loader.conf.d", "loader.conf.local", "nextboot.conf", "lua/local.lua", "kernel/linker.hints", "kernel/kernel.ko",
		"kernel/kernel.debug", "kernel/acpi.ko", "modules/acpi.ko", "firmware/acpi.ko", "dtb/acpi.ko", "dtb/overlays/acpi.ko", "mfsroot", "entropy"} {
		for _, suffix := range []string{"", ".gz", ".bz2"} {
			if n+suffix != "mfsroot.gz" {
				absent = append(absent, "/FreeBSD/boot/"+n+suffix)
			}
		}
	}
	addr, events, stop := serving(t, files)
	options := []option{{"blksize", "1428"}, {"tsize", "0"}}
	var want []string
	for i, name := range order {
		size := len(files[name[1:]])
		newPeer(t, addr).fetch(name, 1428, 1, string(appendError(nil, 0, "file closed")), options...)
		got, _ := newPeer(t, addr).fetch(name, 1428, 0, "", options...)
		if !bytes.Equal(got, files[name[1:]]) {
			t.Errorf("%s has %d bytes, and not its own", name, len(got))
		}
		for _, missing := range absent[i*len(absent)/len(order) : (i+1)*len(absent)/len(order)] {
			if _, ok := newPeer(t, addr).fetch(missing, 1428, 0, "", options...); ok {
				t.Errorf("there is a %s", missing)
			}
			want = append(want, fmt.Sprintf("missing %s 0/0", missing[1:]))
		}
		want = append(want, fmt.Sprintf("transfer %s 0/%d", name[1:], size), fmt.Sprintf("probe %s 0/%d error 0: file closed", name[1:], size),
			fmt.Sprintf("transfer %s 0/%d", name[1:], size), fmt.Sprintf("transfer %s %d/%d", name[1:], size, size))
	}
	if diff := cmp.Diff(sorted(want), said(t, events, stop, len(want))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
