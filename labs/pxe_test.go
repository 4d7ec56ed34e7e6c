package labs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/pxe/event"
)

const (
	// pxeBox is the port that a machine boots from.
	pxeBox = "52:54:00:12:34:56"
	// diskless is the ready line of a box that runs from RAM.
	diskless = `tench: ready in ([0-9.]+) s \(kernel ([0-9.]+) s\) diskless(; missing[^\r\n]*)?\r*\n`
)

// cable is a wire with a netboot server on one end, at 192.0.2.1, and a machine
// to come on the other.
type cable struct {
	t      testing.TB
	dir    string
	board  string // of the machine
	device string // the server's
	server *lab.Program
}

// newCable makes a wire in the test's own namespace. With a bridge, others may be
// plugged into it as well.
func newCable(t testing.TB, bridged bool) *cable {
	t.Helper()
	lab.Require(t, "ip")
	c := &cable{t: t, dir: t.TempDir(), board: "qemu-amd64", device: "tap0"}
	lab.Run(t, "", "ip", "link", "set", "lo", "up")
	if bridged {
		c.device = "br0"
		lab.Run(t, "", "ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0", "stp_state", "0")
		lab.Run(t, "", "ip", "link", "set", "br0", "up")
	}
	c.tap("tap0")
	lab.Run(t, "", "ip", "addr", "add", "192.0.2.1/24", "dev", c.device)
	return c
}

// tap makes a machine's end of the wire.
func (c *cable) tap(name string) {
	c.t.Helper()
	lab.Run(c.t, "", "ip", "tuntap", "add", name, "mode", "tap")
	if c.device != name {
		lab.Run(c.t, "", "ip", "link", "set", name, "master", c.device)
	}
	lab.Run(c.t, "", "ip", "link", "set", name, "up")
}

// tench is bin/tench pxe with this wire's list and state.
func (c *cable) tench(args ...string) []string {
	return append(append([]string{filepath.Join(lab.Root(c.t), "bin", "tench"), "pxe"}, args...),
		"--boxes", filepath.Join(c.dir, "boxes.toml"), "--state", filepath.Join(c.dir, "state"))
}

// listOne writes the wire's list, of one box; keys are more of its lines there.
func (c *cable) listOne(keys string) {
	c.t.Helper()
	c.writeList(fmt.Sprintf("[box.gw0]\nmac = [%q]\nboard = %q\n%s", pxeBox, c.board, keys))
}

func (c *cable) writeList(boxes string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, "boxes.toml"), []byte(boxes), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// serve starts the server with a list of one box.
func (c *cable) serve(keys string, args ...string) {
	c.t.Helper()
	c.listOne(keys)
	c.serveList(args...)
}

// serveList starts the server.
func (c *cable) serveList(args ...string) {
	c.t.Helper()
	args = append([]string{"serve", "-i", c.device, "--offline", "--json"}, args...)
	c.server = lab.Spawn(c.t, "", c.tench(args...)...)
	lab.Eventually(c.t, time.Minute, "the server serves", func() bool { return strings.Contains(c.server.Output(), `"kind":"serving"`) })
}

// order has the server arm gw0.
func (c *cable) order(args ...string) { lab.Run(c.t, "", c.tench(args...)...) }

// says waits for an event of the server.
func (c *cable) says(what string, limit time.Duration) {
	c.t.Helper()
	lab.Eventually(c.t, limit, "the server says "+what, func() bool { return strings.Contains(c.server.Output(), what) })
}

// firmwares are what QEMU's machines start with. QEMU's own iPXE is left out where
// the firmware shall use its driver.
var firmwares = map[string]struct {
	machine    []string // program and arguments
	rom        string
	code, vars string // of UEFI
}{
	"bios": {machine: []string{"qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-vga", "none"}},
	"uefi": {machine: []string{"qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-vga", "none"}, rom: ",romfile=",
		code: "/usr/share/OVMF/OVMF_CODE_4M.fd", vars: "/usr/share/OVMF/OVMF_VARS_4M.fd"},
	// It would try PXE first.
	"uefi-http": {machine: []string{"qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-vga", "none",
		"-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=no", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no"}, rom: ",romfile=",
		code: "/usr/share/OVMF/OVMF_CODE_4M.fd", vars: "/usr/share/OVMF/OVMF_VARS_4M.fd"},
	// A processor of 64 bits whose firmware has 32, as tablets' had.
	"uefi32": {machine: []string{"qemu-system-x86_64", "-machine", "q35,smm=on", "-cpu", "max", "-vga", "none"}, rom: ",romfile=",
		code: "/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd", vars: "/usr/share/OVMF/OVMF32_VARS_4M.fd"},
	"arm64": {machine: []string{"qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a53"}, rom: ",romfile=",
		code: "/usr/share/AAVMF/AAVMF_CODE.fd", vars: "/usr/share/AAVMF/AAVMF_VARS.fd"},
}

// events are what the server has said so far, of one kind.
func (c *cable) events(kind event.Kind) (list []event.Event) {
	c.t.Helper()
	for line := range strings.Lines(c.server.Output()) {
		var e event.Event
		if json.Unmarshal([]byte(line), &e) == nil && e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

// socket is a machine as it is plugged in.
type socket struct {
	tap, mac     string
	disk, serial string // of its disk; "" for none
}

// machine starts the one machine of a wire, which boots over it, then from a disk
// if there is one.
func (c *cable) machine(firmware, disk string) *lab.Console {
	c.t.Helper()
	return c.start(firmware, socket{"tap0", pxeBox, disk, "LAB-DISK-1"})
}

// start starts a QEMU.
func (c *cable) start(firmware string, p socket) *lab.Console {
	c.t.Helper()
	fw := firmwares[firmware]
	lab.Require(c.t, fw.machine[0])
	args := append(slices.Clone(fw.machine[1:]), "-accel", "tcg", "-m", "256", "-display", "none", "-serial", "mon:stdio", "-device", "i6300esb",
		"-netdev", "tap,id=wan,ifname="+p.tap+",script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=wan,addr=0x10,bootindex=0,mac="+p.mac+fw.rom,
		"-netdev", "user,id=lan,restrict=on", "-device", "virtio-net-pci,netdev=lan,addr=0x11,romfile=")
	args = append(args, c.flash(fw.code, fw.vars, p.tap)...)
	if p.disk != "" {
		args = append(args, "-drive", "if=none,id=disk,format=raw,cache=unsafe,file="+p.disk, "-device", "virtio-blk-pci,drive=disk,serial="+p.serial+",bootindex=1")
	}
	return lab.Start(c.t, fw.machine[0], args...)
}

// flash is QEMU's arguments for a UEFI, with variables of its own; none for a BIOS.
func (c *cable) flash(code, vars, name string) []string {
	if code == "" {
		return nil
	}
	own := filepath.Join(c.dir, name+"-vars.fd")
	lab.Run(c.t, "", "cp", vars, own)
	return []string{"-drive", "if=pflash,format=raw,readonly=on,file=" + code, "-drive", "if=pflash,format=raw,file=" + own}
}

// onCable is lab.Isolate for a test with a netboot server: in its namespaces there
// is no network to fetch loaders by.
func onCable(t testing.TB) bool {
	t.Helper()
	lab.RequireRoot(t)
	if !lab.Isolated(t) {
		lab.Run(t, "", filepath.Join(lab.Root(t), "bin", "tench"), "fetch", "qemu-amd64")
	}
	return lab.Isolate(t)
}

// TestPXESelftest runs the stand-ins for clients that no lab has.
func TestPXESelftest(t *testing.T) {
	lab.RequireRoot(t)
	out, err := exec.Command(filepath.Join(lab.Root(t), "bin", "tench"), "pxe", "selftest").CombinedOutput()
	if n := strings.Count(string(out), " ok "); err != nil || n < 29 {
		t.Errorf("%d clients are ok, %v:\n%s", n, err, out)
	}
}
