package track

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"tench/pxe/event"
)

// suffix of an arming's file: Dir/52-54-00-12-34-56.json, readable by its owner
// alone, for the token in it.
const suffix = ".json"

// ours is what the directory holds: armings, and beside them the router.toml of a
// box, halves of both that a power cut left, the lock, the server's socket.
var ours = regexp.MustCompile(`^(lock|control|\.?([0-9a-f]{2}-){5}[0-9a-f]{2}\.(json|toml)[0-9]*)$`)

// Ours reports whether a file in Options.Dir is by its name one of these. There may
// be others: the operator names the directory, and may name his home.
func Ours(name string) bool { return ours.MatchString(name) }

func (t *Table) path(mac event.MAC) string { return filepath.Join(t.o.Dir, mac.Dashed()+suffix) }

// open takes the directory and reads what is in it.
func (t *Table) open() error {
	if err := os.MkdirAll(t.o.Dir, 0o700); err != nil {
		return fmt.Errorf("armed installs: %w", err)
	}
	t.lock = flock.New(filepath.Join(t.o.Dir, "lock"), flock.SetPermissions(0o600))
	switch got, err := t.lock.TryLock(); {
	case err != nil:
		return fmt.Errorf("armed installs: lock %s: %w", t.o.Dir, err)
	case !got:
		return fmt.Errorf("armed installs: %s: another tench pxe uses it\nhint: stop that one, or give this one a directory of its own", t.o.Dir)
	}
	if err := t.load(); err != nil {
		_ = t.lock.Close()
		return err
	}
	return nil
}

// Close gives the directory back.
func (t *Table) Close() error {
	t.flush()
	return t.lock.Close()
}

func (t *Table) load() error {
	entries, err := os.ReadDir(t.o.Dir)
	if err != nil {
		return fmt.Errorf("armed installs: %w", err)
	}
	for _, entry := range entries {
		name, isArming := strings.CutSuffix(entry.Name(), suffix)
		if !Ours(entry.Name()) {
			continue
		}
		if strings.HasPrefix(name, ".") { // renameio's, of a write that a power cut ended
			_ = os.Remove(filepath.Join(t.o.Dir, entry.Name()))
			continue
		}
		if !isArming {
			continue
		}
		i, err := read(filepath.Join(t.o.Dir, entry.Name()))
		if err != nil {
			return err
		}
		if i.Box.Dashed() != name {
			return fmt.Errorf("armed installs: %s: it is of box %s: the name is another's", filepath.Join(t.o.Dir, entry.Name()), i.Box)
		}
		t.keep(i)
	}
	return nil
}

// read reads an arming back.
func read(path string) (Install, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Install{}, fmt.Errorf("armed installs: %w", err)
	}
	var i Install
	err = json.Unmarshal(data, &i)
	if err == nil && (len(i.Token) != 32 || i.Box.IsZero()) {
		err = errors.New("no box, or no token")
	}
	if err != nil {
		return Install{}, fmt.Errorf("armed installs: %s: %w\nhint: remove it and arm the box again; without it the box boots its disk", path, err)
	}
	return i, nil
}

// write writes an arming. The caller holds saving.
func (t *Table) write(i Install) error {
	data, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return err
	}
	path := t.path(i.Box)
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(t.o.Dir), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(append(data, '\n')); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return SyncDir(t.o.Dir)
}

// SyncDir makes what was renamed or removed in a directory last.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// save has an arming written soon. The caller holds mu.
func (t *Table) save(mac event.MAC) {
	t.dirty[mac] = true
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// flush writes the armings that events have changed. What could not be written
// is tried again with the next change.
func (t *Table) flush() {
	t.saving.Lock()
	defer t.saving.Unlock()
	for _, i := range t.unsaved() {
		err := t.write(i)
		if err == nil {
			continue
		}
		t.mu.Lock()
		t.dirty[i.Box] = true
		t.mu.Unlock()
		t.o.Sink.Send(event.Event{Time: t.o.Now(), Box: i.Box, Kind: event.Trouble, Text: "keep how far the install is: " + err.Error()})
	}
}

// unsaved takes the armings that are to be written.
func (t *Table) unsaved() []Install {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Install
	for mac := range t.dirty {
		if b := t.boxes[mac]; b != nil && b.install != nil {
			list = append(list, *b.install)
		}
	}
	clear(t.dirty)
	return list
}
