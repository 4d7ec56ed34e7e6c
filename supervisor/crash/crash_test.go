package crash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func fill(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCollect(t *testing.T) {
	const panicked = "Panic#2 Part1\n<0>[   12.345678] Kernel panic - not syncing: Fatal exception\n<0>[   12.4] ---[ end ]---\n"
	const oopsed = "Oops#1 Part1\n<1>[   12.3] BUG: kernel NULL pointer dereference, address: 0\n<4>[   12.3] Oops: 0002 [#1]\n"
	for _, tc := range []struct {
		name   string
		pstore map[string]string
		want   string   // the reason; "" keeps nothing
		order  []string // what the file holds, in this order
	}{
		{name: "nothing"},
		{name: "an oops that became a panic", pstore: map[string]string{"dmesg-ramoops-0": oopsed, "dmesg-ramoops-1": panicked, "console-ramoops-0": "[ 12.4] old\n"},
			want: "Kernel panic - not syncing: Fatal exception", order: []string{"== dmesg-ramoops-0", "NULL pointer", "== dmesg-ramoops-1", "== console-ramoops-0"}},
		{name: "parts of UEFI variables", pstore: map[string]string{
			"dmesg-efi_pstore-1": "Panic#1 Part1\nthird\n<0>[1.2] Kernel panic - not syncing: VFS\n", "dmesg-efi_pstore-2": "Panic#1 Part2\nsecond\n", "dmesg-efi_pstore-3": "Panic#1 Part3\nfirst\n"},
			want: "Kernel panic - not syncing: VFS", order: []string{"first", "second", "third"}},
		{name: "PID 1 panicked", pstore: map[string]string{"console-ramoops-0": "[ 9.1] tench: init: panic: index out of range; rebooting in 10 s\r\n[19.1] reboot: Restarting system\r\n"},
			want: "tench: init: panic: index out of range; rebooting in 10 s", order: []string{"Restarting system"}},
		{name: "an orderly reboot", pstore: map[string]string{"console-ramoops-0": "[ 60.1] reboot: Restarting system\n", "pmsg-ramoops-0": "x"}},
		{name: "a lockup that it got over", pstore: map[string]string{"console-ramoops-0": "[ 9.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s!\n[60.1] reboot: Restarting system\n"}},
		{name: "a lockup that it did not get over", pstore: map[string]string{"console-ramoops-0": "[ 9.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s!\n"},
			want: "BUG: soft lockup - CPU#0 stuck for 26s!", order: []string{"stuck"}},
		{name: "the watchdog", pstore: map[string]string{"console-ramoops-0": "[ 60.1] eth0: link up\n"},
			want: "reset without a shutdown, by its watchdog or by hand", order: []string{"link up"}},
		{name: "a record without a reason", pstore: map[string]string{"dmesg-ramoops-0": "\x00\xff\x1b[2J\n"}, want: "the kernel crashed", order: []string{"?"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pstore, dir := fill(t, tc.pstore), filepath.Join(t.TempDir(), "crash")
			r, err := Collect(pstore, dir)
			if err != nil || r.Reason != tc.want {
				t.Errorf("Collect = %+v, %v; want the reason %q", r, err, tc.want)
			}
			if left, _ := os.ReadDir(pstore); len(left) > 0 {
				t.Errorf("pstore still holds %v", left)
			}
			last, text, err := Last(dir)
			if err != nil || last != r {
				t.Errorf("Last = %+v, %v; want %+v", last, err, r)
			}
			at := 0
			for _, want := range tc.order {
				i := strings.Index(text[at:], want)
				if i < 0 {
					t.Fatalf("%q does not come next in\n%s", want, text)
				}
				at += i
			}
			if strings.ContainsAny(text, "\x00\x1b\r") {
				t.Errorf("the file has control characters: %q", text)
			}
		})
	}
}

func TestNewestAreKept(t *testing.T) {
	dir := t.TempDir()
	for range keep + 3 {
		pstore := fill(t, map[string]string{"dmesg-ramoops-0": strings.Repeat("line\n", maxSize/5) + "Kernel panic - not syncing: last"})
		if _, err := Collect(pstore, dir); err != nil {
			t.Fatal(err)
		}
	}
	r, text, err := Last(dir)
	if err != nil || r.Number != keep+3 || !strings.HasSuffix(text, "syncing: last\n") || len(text) > maxSize+100 {
		t.Errorf("Last = %+v, %d bytes, %v", r, len(text), err)
	}
	if files, _ := os.ReadDir(dir); len(files) != keep {
		t.Errorf("%d files are kept; want %d", len(files), keep)
	}
}

// What cannot be kept stays where it is, for the next boot.
func TestNoRoom(t *testing.T) {
	pstore := fill(t, map[string]string{"dmesg-ramoops-0": "Kernel panic - not syncing: x"})
	if _, err := Collect(pstore, filepath.Join(pstore, "dmesg-ramoops-0", "crash")); err == nil {
		t.Fatal("Collect into a file has no error")
	}
	if _, err := os.Stat(filepath.Join(pstore, "dmesg-ramoops-0")); err != nil {
		t.Error(err)
	}
}

func FuzzReason(f *testing.F) {
	f.Add("dmesg-ramoops-0", "Panic#1 Part1\nKernel panic - not syncing: x\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		p := newPart(name, text)
		if r := reason("== " + name + "\n" + printable(p.text)); strings.ContainsAny(r, "\n\x1b") {
			t.Errorf("reason = %q", r)
		}
	})
}
