package pxe

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tench/pxe/boxes"
	"tench/pxe/event"
)

// register is who is who beyond the MAC addresses of boxes.toml. It is safe for
// concurrent use.
type register struct {
	mu       sync.Mutex
	bySerial map[event.MAC]string    // box's name, by the port that told its serial number
	uefi     map[event.MAC]bool      // by what asked last
	loaded   map[event.MAC]time.Time // it has fetched all of an iPXE
}

func newRegister() *register {
	return &register{bySerial: map[event.MAC]string{}, uefi: map[event.MAC]bool{}, loaded: map[event.MAC]time.Time{}}
}

// strangest is how many ports are remembered. Before there is one more all are
// forgotten: each of them tells at its next boot what was known of it.
const strangest = 1024

// remember notes something of a port.
func remember[T any](of map[event.MAC]T, mac event.MAC, what T) {
	if _, known := of[mac]; !known && len(of) >= strangest {
		clear(of)
	}
	of[mac] = what
}

// bind notes that a port told a box's serial number.
func (r *register) bind(mac event.MAC, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	remember(r.bySerial, mac, name)
}

func (r *register) bound(mac event.MAC) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bySerial[mac]
}

// ports are those that have told the serial number of a box.
func (r *register) ports(name string) []event.MAC {
	r.mu.Lock()
	defer r.mu.Unlock()
	var macs []event.MAC
	for mac, n := range r.bySerial {
		if n == name {
			macs = append(macs, mac)
		}
	}
	slices.SortFunc(macs, func(a, b event.MAC) int { return bytes.Compare(a[:], b[:]) })
	return macs
}

// ports are those that told a box's serial number, and those by which it was armed,
// perhaps before this server started.
func (s *Server) ports(name string) []event.MAC {
	return append(s.register.ports(name), s.table.Ports(name)...)
}

func (r *register) setUEFI(mac event.MAC, uefi bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	remember(r.uefi, mac, uefi)
}

func (r *register) isUEFI(mac event.MAC) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.uefi[mac]
}

// A DHCP server that is not ours names iPXE whoever asks, iPXE too, which would
// load itself for ever. So what asks for iPXE soon after it got all of one is
// taken for it, and gets the script under that name: iPXE tells a script by its
// first line.
const soon = 2 * time.Minute

// gotIPXE notes that a box has fetched all of an iPXE.
func (r *register) gotIPXE(mac event.MAC, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	remember(r.loaded, mac, now)
}

// isIPXE reports whether a box that asks for iPXE is iPXE, once.
func (r *register) isIPXE(mac event.MAC, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.loaded[mac]
	delete(r.loaded, mac)
	return ok && now.Sub(at) < soon
}

// identity is a box as far as it is known who it is.
type identity struct {
	box      boxes.Box
	known    bool   // it may be served
	stranger bool   // because any box will do
	rule     string // how it was found, e.g. "gw0 in boxes.toml"
}

// who finds a box by its port, or by the UUID that its firmware tells (option 97).
func (s *Server) who(mac event.MAC, uuid string) identity {
	inv := s.inventory()
	if b, ok := inv.ByMAC(mac); ok {
		return identity{b, true, false, b.Name + " in boxes.toml"}
	}
	for _, text := range append([]string{uuid, swapped(uuid)}, piSerials(uuid)...) {
		if b, ok := inv.BySerial(text); ok {
			s.register.bind(mac, b.Name)
		}
	}
	if b, ok := inv.ByName(s.register.bound(mac)); ok {
		return identity{b, true, false, b.Name + " in boxes.toml, by its serial number"}
	}
	return s.unlisted(mac)
}

// unlisted is a box that is not in boxes.toml: one that was armed by its MAC, or
// any at all.
func (s *Server) unlisted(mac event.MAC) identity {
	b := boxes.Box{Name: mac.Dashed(), MACs: []event.MAC{mac}, System: boxes.Tench}
	order, armed := s.table.Ordered(mac)
	// Who was named by the MAC is no stranger.
	if any := s.anyBoard(); any != "" && (!armed || order.Any) {
		b.Board = any
		return identity{b, true, true, "any box is a " + any}
	}
	if b.Board = order.Board; armed {
		return identity{b, true, false, "armed by its MAC"}
	}
	return identity{}
}

// piSerials are what the serial number of a Raspberry Pi may be whose ROM tells
// this, from the Pi 4 on: "RPi4", the board's revision, four bytes of the MAC, four
// of the serial number. In which order these come is written nowhere.
func piSerials(uuid string) []string {
	b, err := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	if err != nil || len(b) != 16 || !bytes.HasPrefix(b, []byte("RPi")) {
		return nil
	}
	b = b[12:]
	return []string{hex.EncodeToString(b), fmt.Sprintf("%02x%02x%02x%02x", b[3], b[2], b[1], b[0])}
}

// swapped is a UUID in the other of the two orders of bytes that firmware sends
// its first three parts in (SMBIOS 3, section 7.2.1); "" for what is none.
func swapped(uuid string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	if err != nil || len(b) != 16 {
		return ""
	}
	return fmt.Sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%x-%x", b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8:10], b[10:])
}
