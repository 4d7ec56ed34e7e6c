package boards

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"tench/internal/nearest"
	"tench/internal/tomlfile"
)

// raw is board.toml as written; see boards/qemu-amd64/board.toml for each key.
type raw struct {
	Title    string   `toml:"title"`
	Arch     string   `toml:"arch"`
	RAM      int      `toml:"ram-mib"`
	Firmware []string `toml:"firmware"`
	Notes    string   `toml:"notes"`
	Console  struct {
		Device string `toml:"device"`
		Speed  int    `toml:"speed"`
		Menu   bool   `toml:"menu"`
	} `toml:"console"`
	Kernel struct {
		Fragments []string `toml:"fragments"`
		Args      []string `toml:"args"`
		Require   []string `toml:"require"`
		Forbid    []string `toml:"forbid"`
	} `toml:"kernel"`
	Layout struct {
		Boot     int `toml:"boot-mib"`
		Slot     int `toml:"slot-mib"`
		Data     int `toml:"data-mib"`
		BootWait int `toml:"boot-wait"`
	} `toml:"layout"`
	Port []struct {
		Label string `toml:"label"`
		Path  string `toml:"path"`
	} `toml:"port"`
	Watchdog struct {
		Driver  string `toml:"driver"`
		Timeout int    `toml:"timeout"`
	} `toml:"watchdog"`
	QEMU struct {
		System   string   `toml:"system"`
		Machine  string   `toml:"machine"`
		CPU      string   `toml:"cpu"`
		NIC      string   `toml:"nic"`
		Disk     string   `toml:"disk"`
		Devices  []string `toml:"devices"`
		Expected string   `toml:"expected"`
	} `toml:"qemu"`
}

// arches are the CPUs that tench can build for.
var arches = map[string]Arch{
	"amd64": {
		Name: "amd64", Linux: "x86_64", Image: "arch/x86/boot/bzImage", ELF: "EM_X86_64", Bits: 64,
		Debian: "amd64", EFIBoot: "BOOTX64.EFI", GRUBEFI: "x86_64-efi",
	},
}

// FileName is the board file below a board's folder.
const FileName = "board.toml"

var nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// Load reads the board called name from dir, the boards folder. An unknown
// name is an error that gives the nearest one and lists all.
func Load(dir, name string) (Board, error) {
	path := filepath.Join(dir, name, FileName)
	data, err := os.ReadFile(path)
	if err != nil || !nameRE.MatchString(name) {
		names := Names(dir)
		hint := "boards: " + strings.Join(names, ", ")
		if near := nearest.Of(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %q? %s", near, hint)
		}
		return Board{}, fmt.Errorf("board %q: there is no such board\nhint: %s", name, hint)
	}
	b, err := Parse(path, name, data)
	b.Dir = filepath.Dir(path)
	return b, err
}

// Names lists the boards in dir, sorted.
func Names(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*", FileName))
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	sort.Strings(names)
	return names
}

// List loads every board in dir, sorted by name.
func List(dir string) ([]Board, error) {
	var list []Board
	for _, name := range Names(dir) {
		b, err := Load(dir, name)
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, nil
}

// Parse decodes the board file of board name; file is its name in errors.
func Parse(file, name string, data []byte) (Board, error) {
	var r raw
	f, err := tomlfile.Decode(file, data, &r)
	if err != nil {
		return Board{}, err
	}
	c := checker{f: f}
	b := Board{
		Name: name, Title: r.Title, RAMMiB: r.RAM, Firmware: r.Firmware, Notes: r.Notes,
		Console:  Console{r.Console.Device, r.Console.Speed, r.Console.Menu},
		Kernel:   Kernel{r.Kernel.Fragments, r.Kernel.Args, r.Kernel.Require, r.Kernel.Forbid},
		Layout:   Layout{r.Layout.Boot, r.Layout.Slot, r.Layout.Data, r.Layout.BootWait},
		Watchdog: Watchdog{r.Watchdog.Driver, r.Watchdog.Timeout},
		QEMU: QEMU{r.QEMU.System, r.QEMU.Machine, r.QEMU.CPU, r.QEMU.NIC, r.QEMU.Disk,
			r.QEMU.Devices, r.QEMU.Expected},
	}
	b.Arch = c.arch(r.Arch)
	for i, p := range r.Port {
		at := []string{"port", fmt.Sprint(i)}
		c.require(p.Label != "" && p.Path != "", "a port needs label and path", at...)
		c.require(!slices.ContainsFunc(b.Ports, func(q Port) bool { return q.Label == p.Label }),
			fmt.Sprintf("port label %q is used twice", p.Label), at...)
		b.Ports = append(b.Ports, Port{p.Label, p.Path})
	}
	c.check(b)
	return b, c.problems.OrNil()
}

// checker collects what is wrong with a decoded board file.
type checker struct {
	f        *tomlfile.File
	problems tomlfile.Problems
}

func (c *checker) require(ok bool, text string, path ...string) {
	if !ok {
		c.problems = append(c.problems, tomlfile.Problem{File: c.f.Name, Line: c.f.Line(path...), Text: text})
	}
}

func (c *checker) between(v, low, high int, path ...string) {
	c.require(v >= low && v <= high,
		fmt.Sprintf("%s: %d is not between %d and %d", strings.Join(path, "."), v, low, high), path...)
}

func (c *checker) oneOf(v string, allowed []string, path ...string) {
	c.require(slices.Contains(allowed, v),
		fmt.Sprintf("%s: %q is not one of %s", strings.Join(path, "."), v, strings.Join(allowed, ", ")), path...)
}

func (c *checker) arch(name string) Arch {
	var known []string
	for n := range arches {
		known = append(known, n)
	}
	sort.Strings(known)
	c.oneOf(name, known, "arch")
	return arches[name]
}

// speeds are the serial speeds that GRUB, Linux and go.bug.st/serial share.
var speeds = []string{"9600", "19200", "38400", "57600", "115200"}

func (c *checker) check(b Board) {
	c.require(b.Title != "", "title: a board needs one", "title")
	c.between(b.RAMMiB, 64, 1<<20, "ram-mib")
	c.require(b.Console.Device != "", "console.device: a board needs a serial console, e.g. \"ttyS0\"", "console")
	c.oneOf(fmt.Sprint(b.Console.Speed), speeds, "console", "speed")
	c.require(len(b.Firmware) > 0, "firmware: name at least one of bios, uefi", "firmware")
	for i, fw := range b.Firmware {
		c.oneOf(fw, []string{"bios", "uefi"}, "firmware", fmt.Sprint(i))
	}
	c.require(len(b.Kernel.Fragments) > 0, "kernel.fragments: name at least one", "kernel")
	// Below 65 MiB FAT32 has fewer clusters than its type demands, and at 129
	// go-diskfs counts one too few (see build/disk).
	c.between(b.Layout.BootMiB, 65, 128, "layout", "boot-mib")
	c.between(b.Layout.SlotMiB, 16, 512, "layout", "slot-mib")
	c.between(b.Layout.DataMiB, 16, 4096, "layout", "data-mib")
	c.between(b.Layout.BootWait, 0, 30, "layout", "boot-wait")
	c.between(b.Watchdog.Timeout, 5, 240, "watchdog", "timeout")
}
