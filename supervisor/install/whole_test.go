package install

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tench/boards"
	makedisk "tench/build/disk"
	"tench/build/flash"
	"tench/internal/slottest"
	"tench/release"
	"tench/release/netboot"
	"tench/release/writestream"
)

// image makes a small image without a boot loader, as tench image does.
func image(t *testing.T) *flash.Image {
	t.Helper()
	dir := t.TempDir()
	b := boards.Board{Name: "apu2", Console: boards.Console{Device: "ttyS0", Speed: 115200}, Layout: boards.Layout{BootMiB: 65, SlotMiB: 16, DataMiB: 16}}
	id := makedisk.Identity{Seed: "2026.11/apu2", Release: "2026.11", Epoch: time.Unix(2_000_000_000, 0)}
	parts := makedisk.Parts{Slot: filepath.Join(dir, "slot"), Data: filepath.Join(dir, "data")}
	path := filepath.Join(dir, release.ImageName(b.Name))
	for file, text := range map[string]string{"vmlinuz": "kernel ", "initrd": "initramfs "} {
		if err := os.WriteFile(filepath.Join(dir, file), bytes.Repeat([]byte(text), 200_000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := makedisk.Slot(b, filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd"), id, parts.Slot); err != nil {
		t.Fatal(err)
	}
	if err := makedisk.Data(t.Context(), b, makedisk.NewBox([]byte("hostname = \"gw0\"\n")), id, parts.Data, io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := makedisk.Assemble(b, parts, id, path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sums := []release.Product{{File: filepath.Base(path), SHA256: slottest.Sum(data)}}
	if err := release.WriteSums(filepath.Join(dir, release.SumsFile), sums); err != nil {
		t.Fatal(err)
	}
	img, err := flash.OpenImage(t.Context(), path, flash.Trust{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

// An image of tench image, sent by flash.Stream through Go's HTTP to the
// installer, is on the disk what tench flash writes, and is known again as ours.
func TestWholeImage(t *testing.T) {
	img := image(t)
	s := newServer(t)
	b := newBox(t, s.url)
	b.disk("sda", "S1234ABCD", make([]byte, img.Size))
	s.plan = func(int, netboot.Question) any { return netboot.Plan{Disk: "sda"} }
	want := ""
	s.image = func(_ int, r writestream.Request, w http.ResponseWriter) {
		var err error
		if want, err = flash.Stream(t.Context(), img, flash.StreamOptions{Request: r}, w); err != nil {
			t.Error(err)
		}
	}
	if err := b.i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.done) != 1 || s.done[0] != want {
		t.Errorf("done %q, want the receipt %s", s.done, want)
	}
	path := filepath.Join(t.TempDir(), "gw0.img")
	flashed, err := flash.NewImageFile(path, img.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer flashed.Close()
	if _, err := flash.Write(t.Context(), img, flashed, flash.Options{Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	if err := flashed.Commit(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, b.content("sda")) {
		t.Error("the disk is not what tench flash writes")
	}
	if d := b.i.describe("sda"); d.Board != "apu2" || d.Release != "2026.11" || d.Slot != "b" || d.Content != "tench for board apu2: slots a 2026.11, b 2026.11" {
		t.Errorf("the disk is known again as %+v", d.Disk)
	}
}
