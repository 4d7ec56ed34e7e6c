package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/boards"
	"tench/build/disk"
	"tench/release"
)

// testBoard is a small board without a boot loader: nobody boots it here.
func testBoard() boards.Board {
	return boards.Board{
		Name: "apu2", Console: boards.Console{Device: "ttyS0", Speed: 115200},
		Layout: boards.Layout{BootMiB: 65, SlotMiB: 16, DataMiB: 16},
	}
}

const testRouter = "hostname = \"gw0\"\n"

// madeOnce is the folder of the image that makeImage copies.
var madeOnce string

func TestMain(m *testing.M) {
	var err error
	if madeOnce, err = os.MkdirTemp("", "tench-flash-test-*"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(madeOnce)
	os.Exit(code)
}

// makeImage puts an image into dir with its SHA256 beside it.
func makeImage(t testing.TB, dir string) string {
	t.Helper()
	name := release.ImageName(testBoard().Name)
	if _, err := os.Stat(filepath.Join(madeOnce, release.SumsFile)); err != nil {
		makeImageOf(t, testBoard(), madeOnce)
	}
	for _, file := range []string{name, release.SumsFile} {
		tool(t, "cp", "--sparse=always", filepath.Join(madeOnce, file), dir)
	}
	return filepath.Join(dir, name)
}

func makeImageOf(t testing.TB, b boards.Board, dir string) string {
	t.Helper()
	id := disk.Identity{Seed: "2026.11/apu2", Release: "2026.11", Epoch: time.Date(2026, 11, 21, 9, 30, 10, 0, time.UTC)}
	work := t.TempDir()
	kernel, ramfs := filepath.Join(work, "vmlinuz"), filepath.Join(work, "initrd")
	write(t, kernel, bytes.Repeat([]byte("kernel "), 300_000))
	write(t, ramfs, bytes.Repeat([]byte("initramfs "), 200_000))
	parts := disk.Parts{Slot: filepath.Join(work, "slot"), Data: filepath.Join(work, "data")}
	if err := disk.Slot(b, kernel, ramfs, id, parts.Slot); err != nil {
		t.Fatal(err)
	}
	if err := disk.Data(context.Background(), b, disk.NewBox([]byte(testRouter)), id, parts.Data, io.Discard); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, release.ImageName(b.Name))
	if _, err := disk.Assemble(b, parts, id, path); err != nil {
		t.Fatal(err)
	}
	writeSums(t, path)
	return path
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// writeSums lists the file in SHA256 beside it.
func writeSums(t testing.TB, path string) {
	t.Helper()
	list := []release.Product{{File: filepath.Base(path), SHA256: sum(read(t, path))}}
	if err := release.WriteSums(filepath.Join(filepath.Dir(path), release.SumsFile), list); err != nil {
		t.Fatal(err)
	}
}

func openImage(t testing.TB, path string) *Image {
	t.Helper()
	img, err := OpenImage(context.Background(), path, Trust{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

// tool runs a program that a test cannot do without.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	path := name
	for _, p := range []string{"/usr/sbin/" + name, "/sbin/" + name} {
		if _, err := os.Stat(p); err == nil {
			path = p
			break
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%s is needed: apt-get install dosfstools e2fsprogs mtools fdisk", name)
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// memory is a target with faults. What is written is volatile until Sync.
type memory struct {
	medium   []byte
	volatile []piece // writes since the last Sync
	bytes    [][]byte
	size     int64 // what it says to have; 0 for what it has
	wraps    bool  // one that is smaller than it says begins again from 0, else it drops

	writes int
	cutAt  int             // power is cut in this write, counted from 1; 0 for never
	spoil  func(m *memory) // called by DropCaches
}

var errCut = errors.New("input/output error")

// newMemory is a target full of what is not ours.
func newMemory(size int64) *memory {
	m := &memory{medium: bytes.Repeat([]byte{0xA5, 0xFF, 0x5A, 0x77}, int(size/4))}
	copy(m.medium[sector-2:], "\x55\xaa")
	return m
}

func (m *memory) Name() string { return "/dev/test" }

func (m *memory) Size() int64 {
	if m.size > 0 {
		return m.size
	}
	return int64(len(m.medium))
}

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if at%sector != 0 || len(p)%sector != 0 {
		return 0, fmt.Errorf("write of %d bytes at %d is not of whole sectors", len(p), at)
	}
	if m.writes++; m.cutAt > 0 && m.writes >= m.cutAt {
		return 0, errCut
	}
	m.volatile = append(m.volatile, piece{at: at, size: len(p)})
	m.bytes = append(m.bytes, bytes.Clone(p))
	return len(p), nil
}

func (m *memory) Sync() error {
	if m.cutAt > 0 && m.writes >= m.cutAt {
		return errCut
	}
	m.settle()
	return nil
}

// settle writes what is volatile to the medium.
func (m *memory) settle() {
	for i, v := range m.volatile {
		at := v.at
		if m.wraps {
			at %= int64(len(m.medium))
		}
		if at < int64(len(m.medium)) {
			copy(m.medium[at:], m.bytes[i])
		}
	}
	m.volatile, m.bytes = nil, nil
}

func (m *memory) DropCaches() error {
	if m.spoil != nil {
		m.spoil(m)
	}
	return nil
}

func (m *memory) ReadAt(p []byte, at int64) (int, error) {
	if m.wraps {
		at %= int64(len(m.medium))
	}
	clear(p)
	if at < int64(len(m.medium)) {
		copy(p, m.medium[at:])
	}
	return len(p), nil
}

// boots reports whether firmware may find something to start.
func (m *memory) boots() bool {
	return binary.LittleEndian.Uint16(m.medium[sector-2:]) == bootSignature
}

func options() Options {
	now := time.Unix(0, 0)
	return Options{Probe: true, Now: func() time.Time { now = now.Add(time.Second); return now }}
}

// saved puts the medium into a file, for programs to look at.
func (m *memory) saved(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stick")
	write(t, path, m.medium)
	return path
}

// cut copies partition n of a disk into a file of its own.
func cut(t testing.TB, img *Image, stick string, n int) string {
	t.Helper()
	p := img.parts[n-1]
	path := filepath.Join(t.TempDir(), fmt.Sprintf("p%d", n))
	write(t, path, read(t, stick)[p.at:p.end()])
	return path
}

// noName checks that a file and its folder are gone, though it is open.
func noName(t *testing.T, f *os.File) {
	t.Helper()
	for _, name := range []string{f.Name(), filepath.Dir(f.Name())} {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there while its secrets are written: %v", name, err)
		}
	}
}

// line is the line of text that begins with prefix.
func line(text, prefix string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, prefix) {
			return l
		}
	}
	return ""
}

func flip(t testing.TB, path string, at int64) {
	t.Helper()
	data := read(t, path)
	data[at] ^= 1
	write(t, path, data)
}

func clearAt(t testing.TB, path string, at, n int64) {
	t.Helper()
	data := read(t, path)
	clear(data[at : at+n])
	write(t, path, data)
}

func truncate(t testing.TB, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}
