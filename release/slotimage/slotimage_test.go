package slotimage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/build/disk"
	"tench/internal/slottest"
	"tench/release/signify"
)

// What build/disk writes is what is read here; build/disk's own tests have it
// read by GRUB and mtools.
func TestReadHeadOfTheBuildsSlot(t *testing.T) {
	b, err := boards.Load("../../boards", "qemu-amd64")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	kernel, initrd, slot := filepath.Join(dir, "k"), filepath.Join(dir, "i"), filepath.Join(dir, "slot")
	for path, size := range map[string]int{kernel: 70_000, initrd: 5000} {
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	id := disk.Identity{Seed: "x", Epoch: time.Unix(1_763_683_200, 0), Release: "2026.11"}
	if err := disk.Slot(b, kernel, initrd, id, slot); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(slot)
	if err != nil {
		t.Fatal(err)
	}
	head, info, err := ReadHead(iotest.OneByteReader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	used := int64(len(bytes.TrimRight(data, "\x00")))
	if info.End < used || info.End >= used+512 {
		t.Errorf("End = %d; the last byte that is not 0 is at %d", info.End, used)
	}
	info.End = 0
	if diff := cmp.Diff(Info{Board: "qemu-amd64", Release: "2026.11", Epoch: 1_763_683_200}, info); diff != "" {
		t.Errorf("ReadHead (-want +got):\n%s", diff)
	}
	if !bytes.Equal(head, data[:len(head)]) || len(head) > 300<<10 {
		t.Errorf("the head has %d bytes, or others than the image", len(head))
	}
}

func TestReadHeadRefuses(t *testing.T) {
	good := slottest.New("alix2d3", "2026.11", 1_763_683_200, 9000, 9000).Bytes()
	if _, _, err := ReadHead(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	replaced := func(old, with string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("there is no %q", old)
		}
		return bytes.Replace(good, []byte(old), []byte(with), 1)
	}
	changed := func(places ...int) []byte { // to 255
		b := bytes.Clone(good)
		for _, at := range places {
			b[at] = 0xff
		}
		return b
	}
	folder := bytes.Index(good, []byte("SLOT    ENV"))
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":            {nil, "slot image: the image is cut short"},
		"an empty slot":      {make([]byte, 1<<20), "slot image: it does not begin with the boot sector of a FAT16"},
		"cut in the folder":  {good[:36000], "slot image: read root folder: the image is cut short"},
		"cut in slot.env":    {good[:bytes.Index(good, []byte("release="))], "slot image: read slot.env: the image is cut short"},
		"no slot.env":        {replaced("SLOT    ENV", "SLOT    BAK"), "slot image: it has no slot.env"},
		"no block":           {replaced("# GRUB", "# BURG"), "slot image: slot.env: it is no environment block"},
		"no board":           {replaced("board=", "bxard="), `slot image: slot.env: board="" is no name`},
		"escape in the name": {replaced("board=alix", "board=\x1b[2J"), `slot image: slot.env: board="\x1b[2J2d3" is no name`},
		"no epoch":           {replaced("epoch=", "epxch="), `slot image: slot.env: epoch="" is no number of seconds since 1970`},
		"negative epoch":     {replaced("epoch=1", "epoch=-"), `slot image: slot.env: epoch="-763683200" is no number of seconds since 1970`},
		"no place":           {replaced("ramfs=", "ramfs=x"), `slot image: slot.env: ramfs="x` + ramfsPlace(good) + `" is no block list such as 305+9000`},
		"huge table":         {changed(22, 23), "slot image: read root folder: it would end after 67126272 bytes, more than 1048576"},
		// These go round beyond 32 bits.
		"huge tables, many":     {changed(16, 22, 23), "slot image: read root folder: it would end after 8556268032 bytes, more than 1048576"},
		"huge clusters, a late": {changed(13, folder+26, folder+27), "slot image: read slot.env: it would end after 8556040704 bytes, more than 1048576"},
	} {
		_, _, err := ReadHead(bytes.NewReader(tc.data))
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: error %v\nwant %s", name, err, tc.want)
		}
	}
}

func ramfsPlace(image []byte) string {
	_, after, _ := strings.Cut(string(image), "ramfs=")
	place, _, _ := strings.Cut(after, "\n")
	return place
}

func TestReadHeadPassesErrorsOn(t *testing.T) {
	cause := errors.New("stick pulled out")
	if _, _, err := ReadHead(iotest.ErrReader(cause)); !errors.Is(err, cause) {
		t.Errorf("error %v; want %v in it", err, cause)
	}
}

func TestTicket(t *testing.T) {
	image := []byte("image")
	public, secret := slottest.Key(t, 1)
	other, otherSecret := slottest.Key(t, 2)
	ticket := Ticket(slottest.Ticket(t, secret, map[string][]byte{"apu2": image, "vm": []byte("x")}))
	changed := bytes.Replace(ticket, []byte(slottest.Sum(image)[:8]), []byte("00000000"), 1)
	const where = "\nhint: update-keys of the box's identity holds the public keys that may sign"
	for name, tc := range map[string]struct {
		ticket Ticket
		board  string
		keys   []signify.PublicKey
		want   string // error; "" for none
	}{
		"good":            {ticket, "apu2", []signify.PublicKey{other, public}, ""},
		"unsigned":        {nil, "apu2", []signify.PublicKey{public}, "ticket: the update is not signed\nhint: tench release signs with --key; tench update --key signs a build"},
		"the sums alone":  {Ticket("SHA256 (tench-apu2.slot) = " + slottest.Sum(image) + "\n"), "apu2", []signify.PublicKey{public}, `ticket: signature: line 1: "SHA256 (tench-apu2.slot) = 6105d6cc76af4" does not begin with "untrusted comment: "`},
		"a stranger's":    {slottest.Ticket(t, otherSecret, map[string][]byte{"apu2": image}), "apu2", []signify.PublicKey{public}, "ticket: signed by key " + other.Number.String() + ", which this box does not know; it knows " + public.Number.String() + where},
		"box has no keys": {ticket, "apu2", nil, "ticket: there is no key to verify it with" + where},
		"changed":         {changed, "apu2", []signify.PublicKey{public}, "ticket: key " + public.Number.String() + ": bad signature: the file is not what was signed"},
		"another board":   {ticket, "alix2d3", []signify.PublicKey{public}, "ticket: the update is for apu2, vm, and this is board alix2d3"},
		"no slot images":  {secret.SignInside([]byte("SHA256 (x) = " + slottest.Sum(image) + "\n")), "apu2", []signify.PublicKey{public}, "ticket: it has no tench-apu2.slot\nhint: is it of a release that tench update can send?"},
		"too long":        {make(Ticket, MaxTicket+1), "apu2", []signify.PublicKey{public}, "ticket: 262145 bytes are more than the 262144 allowed"},
	} {
		grant, err := tc.ticket.Verify(tc.board, tc.keys)
		switch {
		case tc.want == "" && (err != nil || grant.SHA256 != slottest.Sum(image) || grant.Signer.Number != public.Number):
			t.Errorf("%s: Verify = %+v, %v", name, grant, err)
		case tc.want != "" && (err == nil || err.Error() != tc.want):
			t.Errorf("%s: error %v\nwant %s", name, err, tc.want)
		}
	}
	if sum, err := ticket.Sum("vm"); err != nil || sum != slottest.Sum([]byte("x")) {
		t.Errorf("Sum = %s, %v", sum, err)
	}
}

func FuzzReadHead(f *testing.F) {
	good := slottest.New("alix2d3", "2026.11", 1_763_683_200, 3000, 3000).Bytes()
	f.Add(good)
	f.Add(good[:36000])
	f.Add(make([]byte, 4096))
	f.Fuzz(func(t *testing.T, data []byte) {
		head, info, err := ReadHead(bytes.NewReader(data))
		if err != nil {
			return
		}
		if !bytes.HasPrefix(data, head) || info.Board == "" || info.Epoch <= 0 || info.End < 0 {
			t.Errorf("ReadHead took %+v", info)
		}
	})
}
