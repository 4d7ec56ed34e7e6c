package pxe

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"tench/internal/nearest"
	"tench/pxe/boxes"
	"tench/pxe/event"
	"tench/pxe/track"
	"tench/release/netboot"
)

// Request arms one box, from a command line.
type Request struct {
	// Box is its name in boxes.toml, or its MAC. With Mode run it may be a board:
	// any box that is not in boxes.toml runs it then.
	Box  string       `json:"box"`
	Mode netboot.Mode `json:"mode"`
	// Disk is the serial number of the disk that may be wiped; "" for the one of
	// boxes.toml, or for asking on the console.
	Disk string `json:"disk,omitempty"`
	Wipe bool   `json:"wipe,omitempty"` // the whole disk, also where a slot would do
	// Router is the router.toml of Mode run; nil for the box's.
	Router []byte `json:"router,omitempty"`
	// Board is what a box is that is named by its MAC and not in boxes.toml.
	Board string `json:"board,omitempty"`
}

// armory arms boxes.
type armory struct {
	state   string
	table   *track.Table
	list    boxes.Inventory
	boards  []string                      // that any box may run
	ports   func(name string) []event.MAC // that have told a box's serial number
	product func(board string) (Product, error)
	check   func(boxes.Box) error // its configuration and its identity
}

// Arm arms one box. The error is for the operator.
func (a armory) Arm(r Request) (track.Install, error) {
	box, mac, err := a.find(r)
	if err != nil {
		return track.Install{}, err
	}
	o := track.Order{Box: mac, Name: box.Name, Mode: r.Mode, Board: box.Board, Disk: r.Disk, Wipe: r.Wipe}
	if o.Disk == "" && o.Mode == netboot.Install {
		o.Disk = box.Disk
	}
	o.Once = (box.System == boxes.FreeBSD || box.System == boxes.RaspberryPi) && o.Mode == netboot.Install
	switch {
	case box.System != boxes.Tench && (o.Disk != "" || o.Wipe || r.Router != nil):
		return track.Install{}, fmt.Errorf("pxe: %s: its folder says what is installed where: name neither disk nor configuration", box.Name)
	case box.System == boxes.Tench:
		// boxes.toml and what it names may be others than at the start.
		if err := a.check(configured(box, r.Router)); err != nil {
			return track.Install{}, err
		}
		p, err := a.product(box.Board)
		if err != nil {
			return track.Install{}, err
		}
		o.Release = p.Files.Release
		if o.Mode == netboot.Install {
			if _, o.Image, err = p.Files.Image(box.Board); err != nil {
				return track.Install{}, err
			}
		}
	}
	i, err := a.table.Arm(o)
	if err != nil {
		return i, err
	}
	if err := a.keepRouter(mac, r.Router); err != nil {
		return track.Install{}, errors.Join(err, a.table.Disarm(mac))
	}
	return i, nil
}

// configured is a box without the router.toml of its own where the order has one.
func configured(box boxes.Box, router []byte) boxes.Box {
	if router != nil {
		box.Config = ""
	}
	return box
}

// names reports whether a word is a box, and not perhaps a board.
func (a armory) names(word string) bool {
	_, err := event.ParseMAC(word)
	_, listed := a.list.ByName(word)
	return err == nil || listed
}

// find finds the box and the port that it is armed by.
func (a armory) find(r Request) (boxes.Box, event.MAC, error) {
	mac, err := event.ParseMAC(r.Box)
	if err == nil {
		if box, ok := a.list.ByMAC(mac); ok {
			return box, mac, nil
		}
		if r.Board == "" {
			return boxes.Box{}, mac, fmt.Errorf("pxe: %s is not in boxes.toml\nhint: write it there, or say what it is: --board BOARD", mac)
		}
		return boxes.Box{MACs: []event.MAC{mac}, System: boxes.Tench, Board: r.Board}, mac, nil
	}
	box, ok := a.list.ByName(r.Box)
	if !ok {
		return boxes.Box{}, mac, fmt.Errorf("pxe: there is no box %q in boxes.toml\nhint: %s", r.Box, a.meant(r))
	}
	ports := append(slices.Clone(box.MACs), a.ports(box.Name)...)
	if len(ports) == 0 {
		return boxes.Box{}, mac, fmt.Errorf("pxe: %s is listed by its serial number, and no box has told that one yet\nhint: switch it on while tench pxe serve runs, then say this again", box.Name)
	}
	for _, p := range ports {
		if _, armed := a.table.Pending(p); armed {
			return box, p, nil // to arm it again is to arm it anew
		}
	}
	return box, ports[0], nil
}

// meant says what somebody may have meant who named a box that there is not.
func (a armory) meant(r Request) string {
	run := r.Mode == netboot.Run
	board := nearest.Of(r.Box, a.boards)
	switch near := a.list.Nearest(r.Box); {
	case r.Mode == "" && slices.Contains(a.boards, r.Box): // nothing is to be armed
		return fmt.Sprintf("%s is a board: name a box, or its MAC; what any box runs it runs as long as the server does", r.Box)
	case slices.Contains(a.boards, r.Box):
		return fmt.Sprintf("%s is a board; which box is one? name it, or its MAC with --board %[1]s", r.Box)
	case near != "" && run && board != "":
		return fmt.Sprintf("did you mean the box %q, or the board %q?", near, board)
	case near != "":
		return fmt.Sprintf("did you mean %q?", near)
	case run && board != "":
		return fmt.Sprintf("did you mean the board %q?", board)
	case len(a.list.Boxes) == 0:
		return "write it there; tench pxe --help shows how"
	}
	return "boxes: " + strings.Join(a.list.Names(), ", ")
}

// keepRouter keeps a router.toml beside the arming, or removes the last one's.
func (a armory) keepRouter(mac event.MAC, data []byte) error {
	path := routerPath(a.state, mac)
	var err error
	if data == nil {
		if err = os.Remove(path); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	} else {
		err = renameio.WriteFile(path, data, 0o600)
	}
	if err == nil {
		err = track.SyncDir(a.state) // the arming is on disk, and a power cut must not part the two
	}
	if err != nil {
		return fmt.Errorf("pxe: keep router.toml: %w", err)
	}
	return nil
}

// Disarm takes back what a box was armed for.
func (a armory) Disarm(name string) error {
	box, mac, err := a.find(Request{Box: name, Board: "any"})
	if err != nil {
		return err
	}
	disarmed := false
	for _, m := range append(append([]event.MAC{mac}, box.MACs...), a.ports(box.Name)...) {
		switch derr := a.table.Disarm(m); {
		case derr == nil:
			disarmed = true
			err = errors.Join(err, a.keepRouter(m, nil))
		case !errors.Is(derr, track.ErrNotArmed):
			err = errors.Join(err, derr)
		}
	}
	if !disarmed && err == nil {
		return fmt.Errorf("disarm: %s: %w", mac, track.ErrNotArmed)
	}
	return err
}
