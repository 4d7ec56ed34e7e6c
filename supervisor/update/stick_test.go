package update

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tench/internal/slottest"
)

// A stick without an update is nobody's business; one whose update is not taken
// says why.
func TestLookAt(t *testing.T) {
	_, known := slottest.Key(t, 1)
	_, stranger := slottest.Key(t, 2)
	older := newImage
	older.Epoch = oldImage.Epoch - 1
	b := newBox(t)
	for name, tc := range map[string]struct {
		prepare func(dir string)
		want    string // how the error begins; "" for none
		none    bool   // it is ErrNoUpdate
	}{
		"nothing":                {func(string) {}, "there is no update for this board on it: ", true},
		"for this box":           {func(dir string) { slottest.Release(t, dir, known, newImage) }, "", false},
		"for others":             {func(dir string) { i := newImage; i.Board = "alix2d3"; slottest.Release(t, dir, known, i) }, "there is no update for this board on it: ", true},
		"a stranger's":           {func(dir string) { slottest.Release(t, dir, stranger, newImage) }, "ticket: signed by key ", false},
		"older":                  {func(dir string) { slottest.Release(t, dir, known, older) }, "update: release 2026.12 (2033-05-18) is older than the newest that was confirmed on this box", false},
		"a FIFO for a signature": {func(dir string) { fifo(t, dir+"/SHA256.sig") }, "there is no update for this board on it: ", true},
		"a FIFO for an image": {func(dir string) {
			slottest.Release(t, dir, known, newImage)
			fifo(t, dir+"/tench-apu2.slot")
		}, "there is no update for this board on it: ", true},
		"no image in it": {func(dir string) { slottest.Release(t, dir, known, newImage); write(t, dir+"/tench-apu2.slot", "x") }, "slot image: ", false},
		"another's inside": {func(dir string) {
			i := newImage
			i.Board = "net5501"
			slottest.Release(t, dir, known, newImage)
			write(t, dir+"/tench-apu2.slot", string(i.Bytes()))
		}, "update: the image is for board net5501, and this is apu2", false},
	} {
		dir := t.TempDir()
		tc.prepare(dir)
		info, err := b.u.LookAt(t.Context(), dir)
		if tc.want == "" && (err != nil || info.Release != "2026.12") {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want) || errors.Is(err, ErrNoUpdate) != tc.none) {
			t.Errorf("%s: error %v\nwant %s", name, err, tc.want)
		}
	}
}

// fifo puts a FIFO in the place of a file.
func fifo(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(path), unix.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestAddedDevice(t *testing.T) {
	event := func(action, subsystem, name string) string {
		return action + "@/devices/x\x00ACTION=" + action + "\x00SUBSYSTEM=" + subsystem + "\x00DEVNAME=" + name + "\x00SEQNUM=7\x00"
	}
	for text, want := range map[string]string{
		event("add", "block", "sdb1"):       "sdb1",
		event("add", "block", "mmcblk1p1"):  "mmcblk1p1",
		event("remove", "block", "sdb1"):    "",
		event("add", "net", "sdb1"):         "",
		event("add", "block", "loop0"):      "",
		event("add", "block", "sda/../x"):   "",
		event("add", "block", "sd"):         "",
		"libudev\x00\xfe\xed\xca\xfe\x00":   "",
		"":                                  "",
		"add@/x\x00ACTION=add\x00DEVNAME==": "",
	} {
		if got, ok := addedDevice([]byte(text)); got != want || ok != (want != "") {
			t.Errorf("addedDevice(%q) = %q, %v; want %q", text, got, ok, want)
		}
	}
}

// A disk is looked at by its partitions where it has some.
func TestPartitioned(t *testing.T) {
	sys := t.TempDir()
	for _, dir := range []string{"sda/sda1", "sda/queue", "sdb/queue", "nvme0n1/nvme0n1p2", "sda1"} {
		if err := os.MkdirAll(filepath.Join(sys, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"sda/sda1/partition", "nvme0n1/nvme0n1p2/partition", "sda1/partition"} {
		write(t, filepath.Join(sys, file), "1\n")
	}
	for name, want := range map[string]bool{"sda": true, "sda1": false, "sdb": false, "nvme0n1": true, "sdc": false} {
		if got := partitioned(sys, name); got != want {
			t.Errorf("partitioned(%q) = %v; want %v", name, got, want)
		}
	}
}

func FuzzAddedDevice(f *testing.F) {
	f.Add([]byte("add@/x\x00ACTION=add\x00SUBSYSTEM=block\x00DEVNAME=sdb1\x00"))
	f.Fuzz(func(t *testing.T, event []byte) {
		if name, ok := addedDevice(event); ok && !isDisk(name) {
			t.Errorf("addedDevice(%q) = %q", event, name)
		}
	})
}
