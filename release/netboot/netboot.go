// Package netboot is what the desk's netboot server and a box that it booted say
// to each other.
//
//	netboot.go  this map; File: /etc/tench/netboot.json
//	message.go  the messages of an install
//	grub.go     the line of GRUB that gives way to one which names the server
//
// The server puts File into the initramfs of one box. With its token the box
// asks, below http://SERVER/b/TOKEN/:
//
//	POST progress  Progress            204
//	POST plan      Question            a Plan, or 4xx with why not in words
//	GET  image     ?writestream.Query  a write stream (release/writestream)
//	POST done      Done                204: the box is to boot its disk from now on
//
// An installer posts plan once a disk or an answer changed, gets the image, posts
// done. After the reboot the box posts the stages ready and healthy, once each. A
// box in mode run posts ready and healthy as well.
package netboot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Mode is what a box is to do.
type Mode string

// The modes.
const (
	Install Mode = "install" // write an image to a disk
	Run     Mode = "run"     // be a router without a disk
)

// MaxFile is the most bytes of a netboot.json.
const MaxFile = 4096

// File is netboot.json. It has a secret, the token.
type File struct {
	Server string `json:"server"` // e.g. "http://192.0.2.1:80"
	Token  string `json:"token"`  // what one arming of the server gave away
	Box    string `json:"box"`    // a host name (RFC 1123, section 2.1), e.g. "gw0"
	Mode   Mode   `json:"mode"`
	// Hardware is the name that the box's firmware gives it, where the operator says
	// that this one is the board for all that; "" where the board's own names hold.
	Hardware string `json:"hardware,omitempty"`
}

var (
	tokenRE = regexp.MustCompile(`^[A-Za-z0-9_-]{8,128}$`)
	nameRE  = regexp.MustCompile(`^[ -~]{0,128}$`)
	boxRE   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
)

// Parse reads a netboot.json. What it says goes to the console and into requests,
// so that nothing but plain words is taken. The error does not show the token.
func Parse(data []byte) (File, error) {
	var f File
	if len(data) > MaxFile {
		return File{}, fmt.Errorf("netboot.json: it has more than %d bytes", MaxFile)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return File{}, fmt.Errorf("netboot.json: %w", err)
	}
	if len(bytes.TrimSpace(data[d.InputOffset():])) > 0 {
		return File{}, errors.New("netboot.json: there is more behind its end")
	}
	if _, err := f.Address(); err != nil {
		return File{}, err
	}
	switch {
	case !tokenRE.MatchString(f.Token):
		return File{}, fmt.Errorf("netboot.json: token: it is not made of 8 to 128 letters, digits, - and _")
	case !boxRE.MatchString(f.Box):
		return File{}, fmt.Errorf("netboot.json: box=%q is no name of a box", f.Box)
	case !nameRE.MatchString(f.Hardware):
		return File{}, fmt.Errorf("netboot.json: hardware=%.130q is no name of hardware", f.Hardware)
	case f.Mode != Install && f.Mode != Run:
		return File{}, fmt.Errorf("netboot.json: mode=%q is not %s or %s", f.Mode, Install, Run)
	}
	return f, nil
}

// Address is where the server listens. It is a number: a box that installs has
// no name server to believe.
func (f File) Address() (netip.AddrPort, error) {
	text, ok := strings.CutPrefix(f.Server, "http://")
	text = strings.TrimSuffix(text, "/")
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); ok && err == nil {
		return netip.AddrPortFrom(addr, 80), nil
	}
	ap, err := netip.ParseAddrPort(text)
	if !ok || err != nil || ap.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("netboot.json: server=%q is not http://ADDRESS:PORT, e.g. http://192.0.2.1:80", f.Server)
	}
	return ap, nil
}

// Path is where a request of this box goes, e.g. Path("plan").
func (f File) Path(what string) string { return "/b/" + f.Token + "/" + what }
