package install

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/release/netboot"
	"tench/release/writestream"
)

func TestAskOnTheConsole(t *testing.T) {
	for name, tc := range map[string]struct {
		plan   netboot.Plan
		typed  []string
		locked bool
		disk   string // that is written
		want   string // on the console
	}{
		"the last four":           {netboot.Plan{Disk: "sda", Ask: "sda has NTFS \x1b[31mon it"}, []string{"abcd"}, false, "sda", "sda has NTFS [31mon it\n"},
		"the whole serial number": {netboot.Plan{Disk: "sda", Ask: "sure?"}, []string{"S1234ABCD"}, false, "sda", ""},
		"others first":            {netboot.Plan{Disk: "sda", Ask: "sure?"}, []string{"y", "sda", "WXYZ", "ABCD"}, false, "sda", `no disk that may be written answers to "WXYZ"`},
		"any disk":                {netboot.Plan{Ask: "which?"}, []string{"WXYZ"}, false, "sdb", ""},
		"one without a number":    {netboot.Plan{Ask: "which?"}, []string{"vda"}, false, "vda", ""},
		"two answer":              {netboot.Plan{Ask: "which?"}, []string{"2222", "B2222"}, false, "sdd", "2 disks answer to"},
		"look again":              {netboot.Plan{Ask: "which?"}, []string{"", "WXYZ"}, false, "sdb", ""},
		"nobody is there":         {netboot.Plan{Ask: "which?"}, nil, false, "", "ask on the console: EOF"},
		"the console is locked":   {netboot.Plan{Ask: "which?"}, []string{"WXYZ"}, true, "", "the server asks on the console, which is locked on this board: which?\nhint: name the disk's serial number"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			b := newBox(t, s.url)
			b.typed = tc.typed
			if tc.locked {
				b.i.Console.Ask = nil
			}
			for disk, serial := range map[string]string{"sda": "S1234ABCD", "sdb": "S1234WXYZ", "sdc": "A2222", "sdd": "B2222", "vda": ""} {
				b.disk(disk, serial, make([]byte, 8*mib))
			}
			s.plan = func(int, netboot.Question) any { return tc.plan }
			written := ""
			s.image = func(_ int, r writestream.Request, w http.ResponseWriter) {
				written = r.Disk
				stream(newDisk(), r.Size, w)
			}
			if err := b.i.Run(t.Context()); (err == nil) != (tc.disk != "") {
				t.Errorf("Run = %v", err)
			}
			if written != tc.disk {
				t.Errorf("disk %q was written, want %q", written, tc.disk)
			}
			if out := b.out.String(); !strings.Contains(out, tc.want) {
				t.Errorf("the console shows\n%s\nwant %q", out, tc.want)
			}
			if tc.disk != "" && !strings.HasPrefix(s.stages(), "confirm") {
				t.Errorf("stages %s, want confirm first", s.stages())
			}
		})
	}
}

// A disk that takes its time is waited for, and one that was exchanged while a
// person thought is not written.
func TestDisksComeAndGo(t *testing.T) {
	s := newServer(t)
	b := newBox(t, s.url)
	s.plan = func(n int, q netboot.Question) any {
		switch {
		case n == 3:
			b.disk("sda", "S1111", make([]byte, 8*mib))
		case len(q.Disks) > 0 && q.Disks[0].Serial == "S1111":
			b.disk("sda", "S2222", make([]byte, 8*mib)) // pulled, and another one plugged in
			return netboot.Plan{Disk: "sda", Ask: "sure?"}
		case len(q.Disks) > 0:
			return netboot.Plan{Disk: "sda"}
		}
		return "the box has no disk"
	}
	b.typed = []string{"1111"}
	s.image = func(_ int, r writestream.Request, w http.ResponseWriter) { stream(newDisk(), r.Size, w) }
	if err := b.i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := b.out.String()
	for _, want := range []string{"there is no disk yet\n", "disk sda is not any more what it was\n", "S2222: empty\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the console lacks %q:\n%s", want, out)
		}
	}
}

// A person took a minute to unplug a disk, and the next one takes its time.
func TestDiskAfterAPerson(t *testing.T) {
	s := newServer(t)
	b := newBox(t, s.url)
	b.disk("sda", "S1111", make([]byte, 8*mib))
	s.plan = func(n int, q netboot.Question) any {
		switch n {
		case 1:
			return netboot.Plan{Disk: "sda", Ask: "sure?"}
		case 2:
			b.disk("sda", "S2222", make([]byte, 8*mib))
			return "the box has no disk"
		}
		return netboot.Plan{Disk: "sda"}
	}
	b.i.Console.Ask = func(ctx context.Context) (string, error) {
		return "", errors.Join(b.i.Wait(ctx, time.Minute), os.RemoveAll(filepath.Join(b.root, "sys/block/sda")))
	}
	s.image = func(_ int, r writestream.Request, w http.ResponseWriter) { stream(newDisk(), r.Size, w) }
	if err := b.i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestContent(t *testing.T) {
	put := func(pairs ...any) []byte {
		b := make([]byte, 4*mib)
		for i := 0; i < len(pairs); i += 2 {
			copy(b[pairs[i].(int):], pairs[i+1].(string))
		}
		return b
	}
	two := "\x00\x00\x00\x00\x07\x00\x00\x00\x00\x08\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x83\x00\x00\x00\x00\x10\x00\x00\x00\x08\x00\x00"
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":              {put(), netboot.Empty},
		"only the middle":      {put(2*mib, "x"), "something unknown, without partitions"},
		"only the end":         {put(4*mib-300, "x"), "something unknown, without partitions"},
		"cut in an install":    {put(mib+82, "FAT32   ", mib+71, "TENCH_BOOT "), netboot.Unfinished},
		"a table that is gone": {put(mib+1080, "\x53\xef", mib+1144, "home\x00"), `ext "home", whose partition table is gone`},
		"a file system":        {put(1080, "\x53\xef", 1144, "home\x00"), `ext "home"`},
		"LVM":                  {put(512, "LABELONE"), "LVM"},
		"a bare GPT":           {put(510, "\x55\xaa", 512, "EFI PART"), "a GPT without partitions"},
		"Windows and another":  {put(446, two, 510, "\x55\xaa", mib+3, "NTFS    "), "sda1 1049 kB NTFS, sda2 1049 kB something unknown"},
		"a nasty label":        {put(1080, "\x53\xef", 1144, "\x1b[2Jx"), `ext "[2Jx"`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "http://192.0.2.1")
			b.disk("sda", "", tc.data)
			if got := b.i.describe("sda"); got.Content != tc.want || got.Board != "" {
				t.Errorf("content %q; want %q", got.Content, tc.want)
			}
		})
	}
}

func TestWhatIsNoDisk(t *testing.T) {
	b := newBox(t, "http://192.0.2.1")
	for _, name := range []string{"loop0", "ram0", "sr0", "md0", "dm-0", "mmcblk0boot0", "mmcblk0rpmb", "zram0", "fd0", "nvme0n1", "mmcblk0"} {
		b.disk(name, "", make([]byte, 8*mib))
	}
	b.disk("sdq", "", nil) // a card reader without a card
	list, err := b.i.list()
	if err != nil || len(list) != 2 || list[0].Name != "mmcblk0" || list[1].Name != "nvme0n1" {
		t.Errorf("list = %v, %v; want mmcblk0 and nvme0n1", list, err)
	}
}

// peek must survive whatever is on a disk.
func FuzzPeek(f *testing.F) {
	f.Add(ours("apu2")[:3*mib])
	f.Add([]byte("EFI PART"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := &testBox{t: t, good: "a"}
		i := &Installer{Slots: func(disk, running string) Slots { return testSlots{b, disk, running} }}
		d := disk{parts: []part{{"sda1", mib, mib}}}
		d.Name, d.Size = "sda", int64(len(data))/sector*sector
		i.peek(strings.NewReader(string(data)), &d)
		if d.Content == "" || strings.ContainsAny(d.Content, "\x1b\n\r") {
			t.Errorf("content %q", d.Content)
		}
	})
}
