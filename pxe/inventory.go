package pxe

import (
	"os"
	"sync"

	"tench/pxe/boxes"
	"tench/pxe/event"
)

// inventory is boxes.toml as it was last read without a mistake. It is read again
// when the file is another, so that a box may be added while the server runs; a
// mistake in it is told once and changes nothing.
type inventory struct {
	path  string   // "" for no boxes
	known []string // boards
	tell  func(error)

	mu   sync.Mutex
	id   fileID
	last boxes.Inventory
}

// openInventory reads the file for the first time, when a mistake is an error.
func openInventory(path string, known []string, tell func(error)) (*inventory, error) {
	inv := &inventory{path: path, known: known, tell: tell}
	if path == "" {
		return inv, nil
	}
	inv.id = inv.look()
	var err error
	inv.last, err = boxes.Load(path, known)
	return inv, err
}

// look identifies the file; the zero value is one that is not there.
func (inv *inventory) look() fileID {
	f, err := os.Open(inv.path)
	if err != nil {
		return fileID{}
	}
	defer f.Close()
	id, err := identify(f)
	if err != nil {
		return fileID{}
	}
	return id
}

// get is the list as it is now.
func (inv *inventory) get() boxes.Inventory {
	if inv.path == "" {
		return boxes.Inventory{}
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	id := inv.look()
	if id == inv.id {
		return inv.last
	}
	inv.id = id
	list, err := boxes.Load(inv.path, inv.known)
	if err != nil {
		inv.tell(err)
		return inv.last
	}
	inv.last = list
	return list
}

// inventory is the list of boxes.
func (s *Server) inventory() boxes.Inventory { return s.boxes.get() }

// tellInventory reports a mistake in the list.
func (s *Server) tellInventory(err error) {
	s.say(event.Event{Kind: event.Trouble, Text: "boxes.toml is left as it was: " + oneLine(err)})
}
