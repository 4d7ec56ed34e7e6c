package pxe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tench/boards"
	"tench/pxe/boxes"
	"tench/pxe/dhcp"
	"tench/pxe/event"
	"tench/pxe/tftp"
	"tench/pxe/track"
	"tench/pxe/view"
	"tench/release/netboot"
)

// openTFTP is Open for the TFTP server.
func (s *Server) openTFTP(client netip.AddrPort, name string) (tftp.File, error) {
	return s.Open(client.Addr(), name, s.tftpView)
}

// Open gives a box the file that it asks for, of the view by TFTP or by HTTP.
// fs.ErrNotExist is normal; fs.ErrPermission is a stranger; any other error is the
// desk's.
func (s *Server) Open(client netip.Addr, name string, v view.View) (view.File, error) {
	mac, ok := s.dhcp.MAC(client)
	if !ok {
		return nil, forbidden{fmt.Errorf("pxe: whose address %s is, nobody knows", client)}
	}
	return s.openFor(mac, name, v)
}

// openFor is Open for a box that is known by its port.
func (s *Server) openFor(mac event.MAC, name string, v view.View) (view.File, error) {
	name, told := hardwareIn(s.serial(mac, strings.TrimLeft(name, "/")))
	id := s.who(mac, "")
	if !id.known && !s.inventory().WantsSerial() {
		return nil, forbidden{fmt.Errorf("pxe: %s is not in boxes.toml", mac)}
	}
	b := view.Box{Name: mac.String(), MAC: mac, Job: view.Identify, System: boxes.Tench}
	if id.known {
		var err error
		if b, err = s.job(mac, id); err != nil {
			return nil, lacking{err}
		}
	}
	if told != "" {
		if err := s.otherBoard(id.box, boards.Hardware{Product: []string{told}}); err != nil {
			return nil, forbidden{err}
		}
		b.Recognize = false
	}
	if s.dhcpMode() == dhcp.Foreign && slices.Contains(ipxePrograms, name) && s.register.isIPXE(mac, s.o.Now()) {
		name = ipxeScript
	}
	f, err := v.Open(b, name)
	if err == nil && b.AnsweredBy(name) {
		err = s.answered(mac, id)
	}
	if err != nil && err != fs.ErrNotExist { // which is the view's own word
		err = lacking{err}
	}
	return f, err
}

// lacking is trouble of the desk, whatever its cause: what is not there of ours is
// no fs.ErrNotExist, nor what we may not read an fs.ErrPermission.
type lacking struct{ error }

// forbidden is why a box may not have a file, for the operator. It is
// fs.ErrPermission, whose own words say no more.
type forbidden struct{ error }

func (forbidden) Is(target error) bool { return target == fs.ErrPermission }

// serialFolder is where a box asks that tells its serial number:
// serial/NUMBER/boot.ipxe.
const serialFolder = "serial/"

// serial takes the serial number off a name, and learns whose port it is.
func (s *Server) serial(mac event.MAC, name string) string {
	if s.tellsPi(mac, name) {
		return name
	}
	rest, ok := strings.CutPrefix(name, serialFolder)
	var number, path string
	found := false
	for _, path = range []string{"boot.ipxe", "grub/grub.cfg"} { // what our scripts ask for; the number may have slashes
		if number, found = strings.CutSuffix(rest, "/"+path); found {
			break
		}
	}
	if !ok || !found {
		return name
	}
	if text, err := url.PathUnescape(number); err == nil { // by TFTP, which knows no URLs
		number = text
	}
	if _, listed := s.inventory().ByMAC(mac); listed {
		return path
	}
	b, known := s.inventory().BySerial(number)
	if !known {
		s.say(event.Event{Box: mac, Kind: event.Silent, Text: fmt.Sprintf("its serial number is %q, which is not in boxes.toml", number)})
		return name
	}
	s.register.bind(mac, b.Name)
	return path
}

// tellsPi learns whose port it is that asks for NUMBER/start4.elf, as a Raspberry
// Pi's ROM does, whose DHCP another server may have answered.
func (s *Server) tellsPi(mac event.MAC, name string) bool {
	number, _, inDir := strings.Cut(name, "/")
	b, known := s.inventory().BySerial(number)
	if !inDir || !known || b.System != boxes.RaspberryPi {
		return false
	}
	if _, listed := s.inventory().ByMAC(mac); !listed {
		s.register.bind(mac, b.Name)
	}
	return true
}

// answered is called when OpenBSD's installer fetched its answers: that is the
// last that is heard of it, so from here on the box boots its disk.
func (s *Server) answered(mac event.MAC, id identity) error {
	i, armed := s.armed(mac, id)
	if !armed || i.Mode != netboot.Install {
		return nil
	}
	if _, err := s.table.Begin(i.Token); err != nil {
		return err
	}
	_, err := s.table.Done(i.Token, "")
	return err
}

// bsd completes a box that boots a folder of files.
func (s *Server) bsd(b view.Box, box boxes.Box) (view.Box, error) {
	b.UEFI, b.Speed = s.register.isUEFI(b.MAC), box.Speed
	var err error
	if box.Answers != "" {
		if b.Answers, err = os.ReadFile(box.Answers); err != nil {
			return view.Box{}, fmt.Errorf("pxe: %s: %w", box.Name, err)
		}
	}
	b.Tree, err = s.folder(box.Tree)
	return b, err
}

// folder opens a folder, once as long as the path leads to it. Of one that another
// took the place of, somebody may be about to open a file: Go closes it when nobody
// has it any more.
func (s *Server) folder(path string) (view.Folder, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.folders[path]; ok && !f.ReplacedAt(path) {
		return f, nil
	}
	f, err := view.OpenFolder(path)
	if err != nil {
		return view.Folder{}, fmt.Errorf("pxe: %w", err)
	}
	s.folders[path] = f
	return f, nil
}

// netboot is netboot.json of a box.
func (s *Server) netboot(i track.Install, b view.Box, box boxes.Box) ([]byte, error) {
	data, err := json.Marshal(netboot.File{Server: s.view.Base(), Token: i.Token, Box: b.Name, Mode: i.Mode, Hardware: box.Hardware})
	return append(data, '\n'), err
}

// router is the router.toml of a box that runs from RAM: that of its arming, or
// of boxes.toml, or the board's; of a stranger that of any box.
func (s *Server) router(i track.Install, box boxes.Box, p Product) ([]byte, error) {
	if i.Any { // as the operator said last
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.anyRouter == nil {
			return p.Router, nil
		}
		return s.anyRouter, nil
	}
	data, err := os.ReadFile(routerPath(s.o.State, i.Box))
	if errors.Is(err, fs.ErrNotExist) && box.Config != "" {
		data, err = os.ReadFile(box.Config)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && box.Config == "":
		return p.Router, nil
	case err != nil:
		return nil, fmt.Errorf("pxe: %s: %w", box.Name, err)
	}
	return data, nil
}

// routerPath is where the router.toml of an arming lies beside it.
func routerPath(state string, mac event.MAC) string {
	return filepath.Join(state, mac.Dashed()+".toml")
}

// dhcpMode is the mode that was chosen; before that, the one that was asked for.
func (s *Server) dhcpMode() dhcp.Mode {
	if s.dhcp == nil {
		return s.o.Mode
	}
	return s.dhcp.Mode()
}
