package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tench/boards"
	"tench/supervisor/crash"
	"tench/supervisor/health"
	"tench/supervisor/netstate"
	"tench/supervisor/slots"
	"tench/supervisor/status"
	"tench/supervisor/system"
)

// bundle is what a report of this box is made of.
type bundle struct {
	root   string // where /etc, /proc and /sys are: "/" on a box
	runDir string
	found  []foundPort // network devices there are
	klog   string      // the kernel's log
}

// foundPort is a network device of the box.
type foundPort struct {
	name, path, driver string
	mac                string // as router.toml means it: the permanent one, where there is one
}

// WriteReport writes the report on this box: one text with all that somebody
// far away needs to see what the box is and how it does. It has no secrets:
// those are neither in the log nor in what the kernel tells.
func WriteReport(ctx context.Context, w io.Writer, runDir string) error {
	b := bundle{root: "/", runDir: runDir}
	sys, err := system.New()
	if err == nil {
		b.found, err = foundPorts(sys)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if b.klog, err = kernelLog(); err != nil {
		b.klog = err.Error()
	}
	if err := b.write(ctx, w, time.Now()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// foundPorts lists the network devices that are hardware.
func foundPorts(sys system.System) ([]foundPort, error) {
	state, err := netstate.Observe(sys)
	if err != nil {
		return nil, err
	}
	var list []foundPort
	for _, l := range state.Links {
		if l.Path == "" && l.Kind != "dsa" { // the ports of a switch have a name alone
			continue
		}
		driver, _ := os.Readlink(filepath.Join("/sys/class/net", l.Name, "device/driver")) // none where the kernel tells none
		list = append(list, foundPort{l.Name, l.Path, filepath.Base(driver), cmp.Or(l.PermMAC, l.MAC)})
	}
	return list, nil
}

func (b bundle) write(ctx context.Context, w io.Writer, now time.Time) error {
	board, info, err := b.boardAndBuild()
	out := &sections{w: w}
	out.section("tench report", fmt.Sprintf("board %s (%s), release %s, written %s\n%s\n",
		info.Board, board.Title, info.Release, now.UTC().Format(time.RFC3339), b.read("/proc/version")))
	if err != nil {
		out.section("board", err.Error())
	}
	out.section("what the firmware says", b.firmware())
	out.section("image", b.image())
	out.section("status", b.status(ctx))
	out.section("slots", b.read(filepath.Join(b.runDir, health.NoteName))+"\n"+b.read(filepath.Join(stateDir(), slots.HistoryName)))
	out.section("last crash", b.crash())
	out.section("ports of the board", b.ports(board))
	out.section("LEDs, buttons and watchdog of the board", b.signals(board))
	out.section("quirks of the board", quirkText(quirkNodes(board, b.root)))
	out.section("clock source", b.read("/sys/devices/system/clocksource/clocksource0/current_clocksource")+
		" of "+b.read("/sys/devices/system/clocksource/clocksource0/available_clocksource"))
	out.section("kernel command line", b.read("/proc/cmdline"))
	out.section("processor and memory", firstLines(b.read("/proc/cpuinfo"), 12)+"\n"+firstLines(b.read("/proc/meminfo"), 3))
	out.section("PCI devices", b.devices("/sys/bus/pci/devices", "vendor", "device", "class"))
	out.section("USB devices", b.devices("/sys/bus/usb/devices", "idVendor", "idProduct", "manufacturer", "product"))
	out.section("disks", b.disks())
	out.section("kernel log", b.klog)
	out.section("log", strings.TrimPrefix(b.read(filepath.Join(b.runDir, LogName+".1"))+"\n"+b.read(filepath.Join(b.runDir, LogName)), "\n"))
	return out.err
}

// firmware is what SMBIOS or the device tree calls this machine, with which
// [hardware] of board.toml is compared.
func (b bundle) firmware() string {
	var text strings.Builder
	for _, f := range []string{
		"/sys/class/dmi/id/sys_vendor", "/sys/class/dmi/id/product_name", "/sys/class/dmi/id/board_vendor", "/sys/class/dmi/id/board_name",
		"/sys/class/dmi/id/bios_vendor", "/sys/class/dmi/id/bios_version", "/sys/class/dmi/id/bios_date",
		"/proc/device-tree/model", "/proc/device-tree/compatible",
	} {
		if v := b.read(f); v != "" {
			fmt.Fprintf(&text, "%s %s\n", filepath.Base(f), strings.ReplaceAll(v, "\x00", ", "))
		}
	}
	return text.String()
}

// image is what status tells of the image, with the whole hash of the SBOM.
func (b bundle) image() string {
	var text strings.Builder
	for _, n := range imageNodes(b.root) {
		for _, name := range slices.Sorted(maps.Keys(n.Facts)) {
			fmt.Fprintf(&text, "%s %s\n", name, n.Facts[name])
		}
		fmt.Fprintln(&text, n.Cause)
	}
	return text.String()
}

// crash is what the kernel said when it crashed last.
func (b bundle) crash() string {
	_, text, err := crash.Last(filepath.Join(b.root, stateDir(), crashDir))
	if err != nil {
		return err.Error()
	}
	return text
}

func (b bundle) boardAndBuild() (boards.Board, buildInfo, error) {
	text, err := os.ReadFile(filepath.Join(b.root, buildFile))
	info, err2 := parseBuildInfo(text)
	data, err3 := os.ReadFile(filepath.Join(b.root, BoardFile))
	if err := errors.Join(cmp.Or(err, err2), err3); err != nil {
		return boards.Board{}, info, err
	}
	board, err := boards.Parse(BoardFile, info.Board, data)
	return board, info, err
}

// read returns a small file's text, or why it cannot be read.
func (b bundle) read(path string) string {
	data, err := os.ReadFile(filepath.Join(b.root, path))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		return err.Error()
	}
	return strings.TrimRight(string(data), "\n\x00")
}

func (b bundle) status(ctx context.Context) string {
	root, err := status.Client{Path: filepath.Join(b.root, b.runDir, status.SocketName)}.Status(ctx)
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	_ = status.Print(&text, root)
	return text.String()
}

// devices lists a bus: the address, the driver, and the given properties.
func (b bundle) devices(bus string, properties ...string) string {
	entries, err := os.ReadDir(filepath.Join(b.root, bus))
	if err != nil {
		return "" // the box has no such bus
	}
	var text strings.Builder
	for _, e := range entries {
		dir := filepath.Join(bus, e.Name())
		words := []string{e.Name()}
		for _, p := range properties {
			if v := b.read(filepath.Join(dir, p)); v != "" {
				words = append(words, strings.TrimPrefix(v, "0x"))
			}
		}
		if len(words) == 1 {
			continue // an interface of a USB device
		}
		if driver, err := os.Readlink(filepath.Join(b.root, dir, "driver")); err == nil {
			words = append(words, "driver "+filepath.Base(driver))
		}
		fmt.Fprintln(&text, strings.Join(words, " "))
	}
	return text.String()
}

func (b bundle) disks() string {
	entries, _ := os.ReadDir(filepath.Join(b.root, "/sys/block"))
	var text strings.Builder
	for _, e := range entries {
		dir := filepath.Join("/sys/block", e.Name())
		fmt.Fprintf(&text, "%s %s sectors %s\n", e.Name(), b.read(filepath.Join(dir, "size")), b.read(filepath.Join(dir, "device/model")))
	}
	return text.String()
}

func quirkText(nodes []status.Node) string {
	var text strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&text, "%s: %s %s%s\n", n.Name, n.State, strings.Join(n.Detail, ", "), n.Cause)
	}
	return text.String()
}

func firstLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[:min(n, len(lines))], "\n")
}

// sections writes titled pieces of text; the first error stays.
type sections struct {
	w   io.Writer
	err error
}

func (s *sections) section(title, text string) {
	if s.err != nil {
		return
	}
	text = strings.TrimRight(text, "\n")
	if text == "" {
		text = "(nothing)"
	}
	_, s.err = fmt.Fprintf(s.w, "== %s\n%s\n\n", title, text)
}

// kernelLog reads the kernel's ring buffer (syslog(2)).
func kernelLog() (string, error) {
	const readAll, sizeOf = 3, 10
	size, err := unix.Klogctl(sizeOf, nil)
	if err != nil {
		return "", fmt.Errorf("kernel log: %w", err)
	}
	buf := make([]byte, size)
	n, err := unix.Klogctl(readAll, buf)
	if err != nil {
		return "", fmt.Errorf("kernel log: %w", err)
	}
	return string(buf[:n]), nil
}
