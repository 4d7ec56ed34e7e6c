package view

import (
	"bytes"
	"embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"tench/boards"
)

//go:embed boot.ipxe grub.cfg pxelinux.cfg
var scriptFiles embed.FS

var scripts = template.Must(template.New("").ParseFS(scriptFiles, "*"))

// words are what a script is made of.
type words struct {
	Box, What      string // "gw0", "installs apu2 2026.11"
	Job            Job
	Host           string // our address, with a port where it is not HTTP's
	Addr           string // our address
	Args           string // the kernel's, quoted for the loader
	Kernel, Initrd string
	Board          string      // that the machine must be; "" where it is not asked what it is
	Serial         *serialLine // nil to leave the loader's console alone
}

// serialLine is a serial port in the words of GRUB and PXELINUX.
type serialLine struct {
	Unit  string // "0" is ttyS0
	Speed int    // bit/s
}

var pcSerialRE = regexp.MustCompile(`^ttyS([0-3])$`)

// serial is the board's console where a loader can drive it itself: one of the
// PC's four ports.
func serial(b boards.Board) *serialLine {
	port := pcSerialRE.FindStringSubmatch(b.Console.Device)
	if pc := b.Arch.Name == "amd64" || b.Arch.Name == "386"; port == nil || !pc {
		return nil
	}
	return &serialLine{Unit: port[1], Speed: b.Console.Speed}
}

// pxelinuxCfg is our file for those who read PXELINUX's syntax.
const pxelinuxCfg = "pxelinux.cfg"

// ipxe writes boot.ipxe. iPXE expands ${…} alone.
func (v View) ipxe(b Box) ([]byte, error) {
	return v.write("boot.ipxe", b, func(word string) string { return word })
}

// grub writes grub.cfg. GRUB's shell takes what is between single quotes as it
// is.
func (v View) grub(b Box) ([]byte, error) {
	return v.write("grub.cfg", b, func(word string) string { return "'" + word + "'" })
}

// pxelinux writes what PXELINUX, U-Boot and u-root read.
func (v View) pxelinux(b Box) ([]byte, error) {
	return v.write(pxelinuxCfg, b, func(word string) string { return word })
}

// wordRE admits words of the kernel's command line that mean themselves to
// every loader, behind a quote or not.
var wordRE = regexp.MustCompile(`^[A-Za-z0-9._,:;=/@%+~^$-]+$`)

func (v View) write(name string, b Box, quote func(string) string) ([]byte, error) {
	w := words{Box: b.Name, Job: b.Job, Host: v.host(), Addr: v.Server.Addr().String(), Kernel: kernelName, Initrd: initrdName, Serial: serial(b.Board)}
	if name == pxelinuxCfg && b.Board.Arch.Name == "arm64" {
		w.Kernel = bareName
	}
	switch b.Job {
	case Install:
		w.What = fmt.Sprintf("installs %s %s", b.Board.Name, b.Release)
	case Run:
		w.What = fmt.Sprintf("runs %s %s from RAM", b.Board.Name, b.Release)
	case Identify:
		w.What = "tells its serial number"
	case Disk:
		w.What = "boots its disk"
	}
	if b.Recognize {
		w.Board = b.Board.Name
	}
	var args []string
	for _, word := range b.Args {
		if !wordRE.MatchString(word) || strings.Contains(word, "${") {
			return nil, fmt.Errorf("view: kernel argument %q: a loader would take it for something else", word)
		}
		args = append(args, quote(word))
	}
	w.Args = strings.Join(args, " ")
	var out bytes.Buffer
	err := scripts.ExecuteTemplate(&out, name, w)
	return out.Bytes(), err
}
