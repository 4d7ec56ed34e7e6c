package boards

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"tench/internal/nearest"
	"tench/internal/tomlfile"
)

// raw is board.toml as written; CONTRIBUTING.md explains each key.
type raw struct {
	Title    string   `toml:"title"`
	Arch     string   `toml:"arch"`
	RAM      int      `toml:"ram-mib"`
	Firmware []string `toml:"firmware"`
	Media    []string `toml:"media"`
	Flashing string   `toml:"flashing"`
	Notes    string   `toml:"notes"`
	Daemons  []string `toml:"daemons"`
	CPU      struct {
		Model  string   `toml:"model"`
		Go     []string `toml:"go"`
		CFlags []string `toml:"cflags"`
		Lacks  []string `toml:"lacks"`
	} `toml:"cpu"`
	Hardware struct {
		Vendor     []string `toml:"vendor"`
		Product    []string `toml:"product"`
		Compatible []string `toml:"compatible"`
	} `toml:"hardware"`
	Console struct {
		Device string `toml:"device"`
		Speed  int    `toml:"speed"`
		Menu   bool   `toml:"menu"`
	} `toml:"console"`
	UBoot struct {
		Recipe string `toml:"recipe"`
		File   string `toml:"file"`
		At     int    `toml:"at-kib"`
	} `toml:"u-boot"`
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
		Label  string `toml:"label"`
		Path   string `toml:"path"`
		Name   string `toml:"name"`
		Driver string `toml:"driver"`
	} `toml:"port"`
	LED      []rawSignal `toml:"led"`
	Button   []rawSignal `toml:"button"`
	Watchdog struct {
		Driver  string `toml:"driver"`
		Timeout int    `toml:"timeout"`
	} `toml:"watchdog"`
	Quirk []struct {
		Name   string            `toml:"name"`
		Why    string            `toml:"why"`
		Args   []string          `toml:"args"`
		Sysctl map[string]string `toml:"sysctl"`
		Check  []struct {
			File string   `toml:"file"`
			Want []string `toml:"want"`
		} `toml:"check"`
	} `toml:"quirk"`
	QEMU struct {
		System   string   `toml:"system"`
		Machine  string   `toml:"machine"`
		CPU      string   `toml:"cpu"`
		RAM      int      `toml:"ram-mib"`
		NIC      string   `toml:"nic"`
		Disk     string   `toml:"disk"`
		UEFIDisk string   `toml:"uefi-disk"`
		Devices  []string `toml:"devices"`
		Expected string   `toml:"expected"`
	} `toml:"qemu"`
}

type rawSignal struct {
	Label  string `toml:"label"`
	Device string `toml:"device"`
}

// FileName is the board file below a board's folder.
const FileName = "board.toml"

var nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// Load reads the board called name from dir, the boards folder. An unknown
// name is an error that gives the nearest one and lists all.
func Load(dir, name string) (Board, error) {
	path := filepath.Join(dir, name, FileName)
	data, err := os.ReadFile(path)
	if !nameRE.MatchString(name) || errors.Is(err, fs.ErrNotExist) {
		names := Names(dir)
		if slices.Contains(names, name) {
			return Board{}, fmt.Errorf("board %q: a board's name is up to 31 lower-case letters, digits and dashes\nhint: rename the folder %s", name, filepath.Join(dir, name))
		}
		hint := "boards: " + strings.Join(names, ", ")
		if near := nearest.Of(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %q? %s", near, hint)
		}
		return Board{}, fmt.Errorf("board %q: there is no such board\nhint: %s", name, hint)
	}
	if err != nil {
		return Board{}, fmt.Errorf("board %q: %w", name, err)
	}
	b, err := Parse(path, name, data)
	b.Dir = filepath.Dir(path)
	return b, err
}

// Names lists the boards in dir, sorted.
func Names(dir string) []string {
	// The path of dir may have characters that Glob takes for a pattern.
	files, _ := fs.Glob(os.DirFS(dir), "*/"+FileName)
	var names []string
	for _, f := range files {
		names = append(names, filepath.Dir(f))
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
	b := r.board()
	b.Name = name
	c := checker{f: f}
	b.Arch = c.arch(r.Arch)
	c.check(b)
	return b, c.problems.OrNil()
}

// board copies what was written, all but the architecture.
func (r raw) board() Board {
	b := Board{
		Title: r.Title, RAMMiB: r.RAM, Firmware: r.Firmware, Media: r.Media, Flashing: r.Flashing, Notes: r.Notes, Daemons: r.Daemons,
		CPU:      CPU{r.CPU.Model, r.CPU.Go, r.CPU.CFlags, r.CPU.Lacks},
		Hardware: Hardware{r.Hardware.Vendor, r.Hardware.Product, r.Hardware.Compatible},
		Console:  Console{r.Console.Device, r.Console.Speed, r.Console.Menu},
		UBoot:    UBoot{r.UBoot.Recipe, r.UBoot.File, r.UBoot.At},
		Kernel:   Kernel{r.Kernel.Fragments, r.Kernel.Args, r.Kernel.Require, r.Kernel.Forbid},
		Layout:   Layout{r.Layout.Boot, r.Layout.Slot, r.Layout.Data, r.Layout.BootWait},
		Watchdog: Watchdog{r.Watchdog.Driver, r.Watchdog.Timeout},
		QEMU: QEMU{r.QEMU.System, r.QEMU.Machine, r.QEMU.CPU, r.QEMU.RAM, r.QEMU.NIC, r.QEMU.Disk,
			r.QEMU.UEFIDisk, r.QEMU.Devices, r.QEMU.Expected},
	}
	for _, p := range r.Port {
		b.Ports = append(b.Ports, Port{p.Label, p.Path, p.Name, p.Driver})
	}
	for _, s := range r.LED {
		b.LEDs = append(b.LEDs, Signal(s))
	}
	for _, s := range r.Button {
		b.Buttons = append(b.Buttons, Signal(s))
	}
	for _, q := range r.Quirk {
		quirk := Quirk{Name: q.Name, Why: q.Why, Args: q.Args, Sysctl: q.Sysctl}
		for _, c := range q.Check {
			quirk.Check = append(quirk.Check, Check{c.File, c.Want})
		}
		b.Quirks = append(b.Quirks, quirk)
	}
	return b
}
