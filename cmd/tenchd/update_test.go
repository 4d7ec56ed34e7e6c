package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tench/internal/slottest"
	"tench/supervisor/update"
)

// twoSlots are files in a folder.
type twoSlots string

func (s twoSlots) Running() string                    { return "a" }
func (s twoSlots) OnTrial() (bool, error)             { return false, nil }
func (s twoSlots) Vacate() error                      { return nil }
func (s twoSlots) Device(slot string) (string, error) { return filepath.Join(string(s), slot), nil }
func (s twoSlots) Arm(string, int) error              { return nil }

// hangUp is a slot at whose first write the line of the session breaks.
type hangUp struct {
	update.Device
	once *sync.Once
}

func (h hangUp) WriteAt(p []byte, at int64) (int, error) {
	var err error
	h.once.Do(func() { err = unix.Kill(os.Getpid(), unix.SIGHUP) })
	n, werr := h.Device.WriteAt(p, at)
	return n, errors.Join(err, werr)
}

// A session that is lost does not kill an update that has a stick mounted: it ends
// in order, or is done already.
func TestLostSession(t *testing.T) {
	dir, stick := t.TempDir(), t.TempDir()
	image := slottest.New("apu2", "2026.12", 2_100_000_000, 70_000, 40_000)
	public, secret := slottest.Key(t, 1)
	slottest.Release(t, stick, secret, image)
	if err := os.MkdirAll(filepath.Join(dir, "identity/update-keys"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"a": image.Bytes(), "b": make([]byte, len(image.Bytes())), "identity/update-keys/test.pub": public.Marshal()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var once sync.Once
	u := &update.Updater{Board: "apu2", Release: "2026.11", Epoch: 2_000_000_000, Slots: twoSlots(dir),
		Open: func(path string, write bool) (update.Device, error) {
			d, err := update.OpenDevice(path, write)
			return hangUp{d, &once}, err
		},
		Identity: filepath.Join(dir, "identity"), State: dir, Run: dir, Log: func(string, ...any) {}}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetOut(io.Discard)
	if err := updateFrom(cmd, u, stick); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
