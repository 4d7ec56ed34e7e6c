package view

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
)

// piBootFile is what a Raspberry Pi's ROM is told to load. It does not listen: up
// to the Pi 3 it asks for this, and from the Pi 4 on for start4.elf or config.txt.
const piBootFile = "bootcode.bin"

// piSerialRE is a serial number as the ROM puts it before its paths: the last four
// bytes of it.
var piSerialRE = regexp.MustCompile(`^[0-9A-Fa-f]{8}$`)

// openPi opens a file for a Raspberry Pi's ROM, which asks for all of them in a
// folder called by its serial number first, or by its MAC (TFTP_PREFIX of its boot
// loader's configuration), and then without. A tree may have that folder; else it
// is the tree itself, which is one box's.
func (b Box) openPi(path string) (File, error) {
	if b.Job == Disk { // a ROM that finds nothing tries its next way to boot
		return nil, fs.ErrNotExist
	}
	file, err := b.openPiFile(path)
	dir, rest, inDir := strings.Cut(path, "/")
	if errors.Is(err, fs.ErrNotExist) && inDir && (piSerialRE.MatchString(dir) || strings.EqualFold(dir, b.MAC.Dashed())) {
		return b.openPiFile(rest)
	}
	return file, err
}

// mostCmdline is the largest cmdline.txt that we add to, in bytes.
const mostCmdline = 64 << 10

// openPiFile is a file of the folder. In an install cmdline.txt, the arguments of
// the kernel in one line, says as well where to say that it is done.
func (b Box) openPiFile(path string) (File, error) {
	file, err := b.Tree.Open(path)
	if err != nil || b.Job != Install || path != "cmdline.txt" && !strings.HasSuffix(path, "/cmdline.txt") {
		return file, err
	}
	defer file.Close()
	if file.Size() > mostCmdline {
		return nil, fmt.Errorf("view: %s has %d bytes, more than %d", path, file.Size(), mostCmdline)
	}
	own, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
	if err != nil {
		return nil, fmt.Errorf("view: read %s: %w", path, err)
	}
	line, _, _ := bytes.Cut(own, []byte("\n")) // the firmware reads one
	return Bytes(fmt.Appendf(bytes.TrimRight(line, "\r "), " tench_installed=%s\n", b.Installed)), nil
}
