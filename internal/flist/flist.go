// Package flist reads, compares and rewrites lists of files: what a root file
// system is declared to hold, and what it holds.
//
//	flist.go    Entry and its line
//	list.go     List, a list in a file: reading it and rewriting it
//	compare.go  Compare: what is missing, extra or different
//
// A line is mode, owner and path as `ls -ln` writes them, then the target of a
// link or the numbers of a device:
//
//	drwxr-xr-x 0:0 bin
//	-rwxr-xr-x 0:0 bin/bird
//	lrwxrwxrwx 0:0 bin/sh -> gosh
//	crw------- 0:0 dev/console 5,1
//
// Lines that begin with # are comments. Owners are numbers, as in the archive:
// names would be those of whichever machine reads it.
package flist

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// Entry is one file, folder, link or device.
type Entry struct {
	Mode     fs.FileMode // type, permissions, setuid, setgid and sticky
	UID, GID uint32
	Path     string // without a leading slash, e.g. "bin/bird"
	Target   string // of a symbolic link
	Device   string // of a device, e.g. "5,1"
}

// String is the entry's line.
func (e Entry) String() string {
	line := fmt.Sprintf("%s %d:%d %s", modeText(e.Mode), e.UID, e.GID, e.Path)
	switch {
	case e.Mode.Type() == fs.ModeSymlink:
		line += arrow + e.Target
	case e.Mode&fs.ModeDevice != 0:
		line += " " + e.Device
	}
	return line
}

// arrow stands between a link and its target.
const arrow = " -> "

// Check refuses an entry that a line cannot hold.
func (e Entry) Check() error {
	for _, text := range []string{e.Path, e.Target} {
		if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) || strings.Contains(text, arrow) {
			return fmt.Errorf("%q: no path holds control characters or %q", text, arrow)
		}
	}
	switch {
	case !fs.ValidPath(e.Path) || e.Path == ".":
		return fmt.Errorf("%q: a path has no leading slash, no \"..\" and no empty parts", e.Path)
	case strings.TrimSpace(e.Path) != e.Path:
		return fmt.Errorf("%q: no path begins or ends with a space", e.Path)
	case (e.Mode.Type() == fs.ModeSymlink) != (e.Target != ""):
		return fmt.Errorf("%s: a link has a target, and nothing else has", e.Path)
	case (e.Mode&fs.ModeDevice != 0) != deviceRE.MatchString(e.Device):
		return fmt.Errorf("%s: a device has its two numbers, e.g. \"5,1\", and nothing else has", e.Path)
	}
	return nil
}

var deviceRE = regexp.MustCompile(`^[0-9]+,[0-9]+$`)

// parseEntry reads a line.
func parseEntry(line string) (Entry, error) {
	const shape = `a line is MODE OWNER:GROUP PATH, e.g. "-rwxr-xr-x 0:0 bin/tenchd"`
	fields := strings.SplitN(line, " ", 3)
	if len(fields) != 3 {
		return Entry{}, errors.New(shape)
	}
	e := Entry{Path: fields[2]}
	var ok bool
	if e.Mode, ok = parseMode(fields[0]); !ok {
		return Entry{}, fmt.Errorf("mode %q: it is ten letters as ls -l writes them, e.g. \"-rw-r--r--\"", fields[0])
	}
	owner, group, _ := strings.Cut(fields[1], ":")
	uid, err := strconv.ParseUint(owner, 10, 32)
	gid, err2 := strconv.ParseUint(group, 10, 32)
	if err != nil || err2 != nil {
		return Entry{}, fmt.Errorf("owner %q: it is two numbers, e.g. \"0:0\"", fields[1])
	}
	e.UID, e.GID = uint32(uid), uint32(gid)
	switch {
	case e.Mode.Type() == fs.ModeSymlink:
		e.Path, e.Target, _ = strings.Cut(e.Path, arrow)
	case e.Mode&fs.ModeDevice != 0:
		at := strings.LastIndex(e.Path, " ")
		if at < 0 {
			return Entry{}, fmt.Errorf("%s: a device has its two numbers behind its path, e.g. \"dev/null 1,3\"", e.Path)
		}
		e.Path, e.Device = e.Path[:at], e.Path[at+1:]
	}
	return e, e.Check()
}

// typeLetters are the first letters of a mode, by type.
var typeLetters = map[fs.FileMode]byte{
	0: '-', fs.ModeDir: 'd', fs.ModeSymlink: 'l', fs.ModeDevice: 'b',
	fs.ModeDevice | fs.ModeCharDevice: 'c', fs.ModeNamedPipe: 'p', fs.ModeSocket: 's',
}

// specials are the bits that share a letter with a permission to execute, by
// the letter's place.
var specials = map[int]struct {
	bit    fs.FileMode
	letter byte
}{3: {fs.ModeSetuid, 's'}, 6: {fs.ModeSetgid, 's'}, 9: {fs.ModeSticky, 't'}}

// modeText writes a mode as ls -l does (POSIX.1, ls).
func modeText(m fs.FileMode) string {
	text := []byte("?rwxrwxrwx")
	if letter, ok := typeLetters[m.Type()]; ok {
		text[0] = letter
	}
	for i := 1; i < len(text); i++ {
		if m&(1<<(9-i)) == 0 {
			text[i] = '-'
		}
	}
	for at, s := range specials {
		if m&s.bit == 0 {
			continue
		}
		text[at], s.letter = s.letter, text[at]
		if s.letter == '-' { // nobody may execute it
			text[at] -= 'a' - 'A'
		}
	}
	return string(text)
}

// parseMode reads what modeText writes.
func parseMode(text string) (fs.FileMode, bool) {
	if len(text) != 10 {
		return 0, false
	}
	var m fs.FileMode
	for kind, letter := range typeLetters {
		if letter == text[0] {
			m = kind
		}
	}
	for i := 1; i < len(text); i++ {
		letter := text[i]
		if letter >= 'a' && letter <= 'z' {
			m |= 1 << (9 - i)
		}
		if s, ok := specials[i]; ok && letter|0x20 == s.letter {
			m |= s.bit
		}
	}
	return m, modeText(m) == text
}
