package boxes

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tench/internal/nearest"
	"tench/internal/tomlfile"
	"tench/pxe/event"
)

// checker collects what is wrong with a decoded list.
type checker struct {
	f        *tomlfile.File
	o        options
	macs     map[event.MAC]string // who has it
	serials  map[string]string    // who has it, by the serial number in lower case
	problems tomlfile.Problems
}

// require notes a problem at the last key of the path, unless ok.
func (c *checker) require(ok bool, p tomlfile.Problem, path ...string) {
	if !ok {
		p.File, p.Line = c.f.Name, c.f.Line(path...)
		c.problems = append(c.problems, p)
	}
}

// nameRE is a label of a host name (RFC 1123, section 2.1), in lower case: the
// name goes into files and is the host name's proposal.
var nameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// most are bounds of what a person writes; longer ones would not fit a line.
const (
	mostPorts  = 64
	mostSerial = 64
	mostName   = 128
)

func (c *checker) box(name string, r rawBox) Box {
	at := func(key string) []string { return []string{"box", name, key} }
	say := func(format string, args ...any) tomlfile.Problem {
		return tomlfile.Problem{Text: "box." + name + fmt.Sprintf(format, args...)}
	}
	b := Box{Name: name, Serial: r.Serial, System: System(r.System), Board: r.Board, Disk: r.Disk, Hardware: r.Hardware, Speed: r.Speed,
		Config: c.below(r.Config), Identity: c.below(r.Identity), Tree: c.below(r.Tree), Answers: c.below(r.Answers)}
	c.require(nameRE.MatchString(name), say(": a box has a name of up to 63 of a-z, 0-9 and -, with no - at its ends"), "box", name)
	b.MACs = c.ports(name, r.MAC)
	c.serial(name, r.Serial)
	c.require(len(r.MAC) > 0 || r.Serial != "", say(": nothing says which box it is: give mac or serial"), "box", name)
	if r.System == "" {
		b.System = Tench
	}
	switch b.System {
	case Tench:
		c.tench(b, at, say)
	case OpenBSD, FreeBSD, RaspberryPi:
		c.other(b, at, say)
	default:
		p := say(".system: %q is not one of \"tench\", \"openbsd\", \"freebsd\", \"raspberrypi\"", r.System)
		c.require(false, p, at("system")...)
	}
	return b
}

// ports reads the MAC addresses of a box.
func (c *checker) ports(name string, list []string) []event.MAC {
	var macs []event.MAC
	c.require(len(list) <= mostPorts, tomlfile.Problem{Text: fmt.Sprintf("box.%s.mac: %d addresses are more than %d", name, len(list), mostPorts)}, "box", name, "mac")
	for i, text := range list {
		at := []string{"box", name, "mac", fmt.Sprint(i)}
		m, err := event.ParseMAC(text)
		if err != nil {
			c.require(false, tomlfile.Problem{Text: fmt.Sprintf("box.%s.mac: %v", name, err)}, at...)
			continue
		}
		owner, taken := c.macs[m]
		c.require(!taken, tomlfile.Problem{Text: fmt.Sprintf("box.%s.mac: %s belongs to box %s already", name, m, owner)}, at...)
		c.macs[m] = name
		macs = append(macs, m)
	}
	return macs
}

// placeholders are what makers leave in place of a serial number. A box that is
// found by one of them could be any other.
var placeholders = []string{"none", "n/a", "not specified", "not available", "default string", "to be filled by o.e.m.", "system serial number",
	"0", "00000000", "0123456789", "123456789", "1234567890", "empty", "oem", "unknown", "xxxxxxxx",
	"00000000-0000-0000-0000-000000000000", "03000200-0400-0500-0006-000700080009", "ffffffff-ffff-ffff-ffff-ffffffffffff"}

func (c *checker) serial(name, serial string) {
	at := []string{"box", name, "serial"}
	if !c.f.Has(at...) {
		return
	}
	say := func(format string, args ...any) tomlfile.Problem {
		return tomlfile.Problem{Text: "box." + name + ".serial: " + fmt.Sprintf(format, args...)}
	}
	key := strings.ToLower(serial)
	c.require(serial != "" && len(serial) <= mostSerial && printable(serial) && strings.TrimSpace(serial) == serial,
		say("%q is no serial number: 1 to %d printable characters, none of them a space at its ends", serial, mostSerial), at...)
	c.require(!slices.Contains(placeholders, key), say("%q is what makers write who give none: other boxes have it too", serial), at...)
	owner, taken := c.serials[key]
	c.require(!taken, say("%s belongs to box %s already", serial, owner), at...)
	c.serials[key] = name
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// tench checks a box that boots our image.
func (c *checker) tench(b Box, at func(string) []string, say func(string, ...any) tomlfile.Problem) {
	known := slices.Contains(c.o.known, b.Board)
	p := say(".board: there is no board %q", b.Board)
	if p.Hint = "boards: " + strings.Join(c.o.known, ", "); !known {
		if near := nearest.Of(b.Board, c.o.known); near != "" {
			p.Hint = fmt.Sprintf("did you mean %q?", near)
		}
	}
	if b.Board == "" {
		p = say(".board: a box needs one, e.g. \"apu2\"")
	}
	c.require(known, p, at("board")...)
	c.exists(b.Config, false, say, "config", at)
	c.exists(b.Identity, true, say, "identity", at)
	if c.f.Has(at("disk")...) {
		ok := b.Disk != "" && len(b.Disk) <= mostSerial && printable(b.Disk) && strings.TrimSpace(b.Disk) == b.Disk
		c.require(ok, say(".disk: %q is no serial number of a disk", b.Disk), at("disk")...)
	}
	if c.f.Has(at("hardware")...) {
		ok := b.Hardware != "" && len(b.Hardware) <= mostName && printable(b.Hardware) && strings.TrimSpace(b.Hardware) == b.Hardware
		c.require(ok, say(".hardware: %q is no name of hardware: write what the installer or /sys/class/dmi/id/product_name shows", b.Hardware), at("hardware")...)
	}
	c.alone(b, []string{"tree", "speed", "answers"}, at, say)
}

// other checks a box that boots a folder of files.
func (c *checker) other(b Box, at func(string) []string, say func(string, ...any) tomlfile.Problem) {
	c.require(b.Tree != "", say(".tree: a box with system = %q needs the folder with its files", b.System), at("tree")...)
	c.exists(b.Tree, true, say, "tree", at)
	c.exists(b.Answers, false, say, "answers", at)
	speeds := []int{0, 9600, 19200, 38400, 57600, 115200}
	c.require(slices.Contains(speeds, b.Speed), say(".speed: %d is not one of 9600, 19200, 38400, 57600, 115200", b.Speed), at("speed")...)
	foreign := []string{"board", "config", "identity", "disk", "hardware"}
	switch b.System {
	case FreeBSD:
		foreign = append(foreign, "answers")
	case RaspberryPi: // its config.txt and cmdline.txt say how fast its console is
		foreign = append(foreign, "answers", "speed")
	}
	c.alone(b, foreign, at, say)
}

// alone refuses keys that mean nothing to the box's system.
func (c *checker) alone(b Box, keys []string, at func(string) []string, say func(string, ...any) tomlfile.Problem) {
	for _, key := range keys {
		c.require(!c.f.Has(at(key)...), say(".%s: it means nothing to a box with system = %q", key, b.System), at(key)...)
	}
}

// exists checks that a path leads to a file, or to a folder.
func (c *checker) exists(path string, folder bool, say func(string, ...any) tomlfile.Problem, key string, at func(string) []string) {
	if path == "" || c.o.stat == nil {
		return
	}
	info, err := c.o.stat(path)
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	switch {
	case err != nil:
		c.require(false, say(".%s: %s: %v", key, filepath.Clean(path), err), at(key)...)
	case folder && !info.IsDir():
		c.require(false, say(".%s: %s is no folder", key, filepath.Clean(path)), at(key)...)
	case !folder && !info.Mode().IsRegular():
		c.require(false, say(".%s: %s is no plain file", key, filepath.Clean(path)), at(key)...)
	}
}
