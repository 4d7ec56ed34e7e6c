package dhcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tench/supervisor/system"
)

// record is the lease file, dhcp-INTERFACE.json.
//
// Within one boot (same BootID) it puts the lease in force again after a
// restart of the loop, before any server is asked. In a later boot it only
// gives the address to ask for (INIT-REBOOT): the wall clock of a box without a
// battery cannot tell whether the lease has ended.
type record struct {
	BootID string        `json:"boot-id"`
	MAC    string        `json:"mac"`
	At     time.Duration `json:"at"`      // since boot: the lease counts from here
	Wall   time.Time     `json:"written"` // for a reader; the box's clock may be wrong
	Lease  grant         `json:"lease"`
}

// rewriteAfter is how old the file gets while a lease is only renewed and
// nothing else changes: flash wears out by writing.
const rewriteAfter = time.Hour

// store keeps the lease file.
type store struct {
	path    string
	written record // as in the file
}

func newStore(dir, iface string) *store {
	return &store{path: filepath.Join(dir, "dhcp-"+iface+".json")}
}

// load reads the file; ok is false when there is none. A file that makes no
// sense is an error, and as good as none.
func (s *store) load() (r record, ok bool, err error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil {
		err = r.Lease.check()
	}
	if err != nil {
		return record{}, false, fmt.Errorf("lease file %s: %w", s.path, err)
	}
	s.written = r
	return r, true, nil
}

// save writes the file, unless it says about the same already.
func (s *store) save(r record) error {
	w := s.written
	if w.BootID == r.BootID && w.MAC == r.MAC && w.Lease.same(r.Lease) && r.At < w.At+rewriteAfter {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		panic("dhcp: encode lease: " + err.Error())
	}
	if err := system.WriteFile(s.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("lease file %w", err)
	}
	s.written = r
	return nil
}

// forget removes the file: the address is no longer ours to ask for.
func (s *store) forget() error {
	s.written = record{}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lease file: %w", err)
	}
	return nil
}
