package pxe

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"tench/pxe/web"
	"tench/release/netboot"
)

func TestHardwareIn(t *testing.T) {
	for name, want := range map[string][2]string{
		"boot.ipxe":                    {"boot.ipxe", ""},
		"hardware/apu2/boot.ipxe":      {"boot.ipxe", "apu2"},
		"hardware/A/S 1/boot.ipxe":     {"boot.ipxe", "A/S 1"},
		"hardware/PC%20apu2/boot.ipxe": {"boot.ipxe", "PC apu2"},
		"hardware/100%/boot.ipxe":      {"boot.ipxe", "100%"},
		"hardware/../vmlinuz":          {"vmlinuz", ".."},
		"hardware/boot.ipxe":           {"hardware/boot.ipxe", ""},
		"hardware//boot.ipxe":          {"hardware//boot.ipxe", ""},
		"hardware/":                    {"hardware/", ""},
	} {
		if file, told := hardwareIn(name); file != want[0] || told != want[1] {
			t.Errorf("hardwareIn(%q) = %q, %q, want %q", name, file, told, want)
		}
	}
}

// iPXE tells what the machine is called before it loads a kernel, and the installer
// all that firmware tells. Only the name of another board of ours refuses.
func TestOtherBoard(t *testing.T) {
	const listed = "[box.gw0]\nmac = [\"52:54:00:00:00:0a\"]\nboard = \"h61m-usb3\"\n"
	for name, tc := range map[string]struct {
		keys, product string
		refused       bool
	}{
		"another board":            {"", "APU2", true},
		"a name of nobody's":       {"", "B75 Express", false},
		"no name":                  {"", "none", false},
		"boxes.toml knows better":  {"hardware = \"APU2\"\n", "APU2", false},
		"the installer looks, too": {"hardware = \"B75\"\n", "APU2", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, listed+tc.keys)
			arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
			first, err := s.opened(macA, "boot.ipxe")
			if err != nil || strings.Contains(first, "hardware/") == (tc.keys != "") {
				t.Errorf("the first script, %v:\n%s", err, first)
			}
			text, err := s.opened(macA, "/hardware/"+tc.product+"/boot.ipxe")
			if refused := errors.Is(err, fs.ErrPermission); refused != tc.refused || err == nil && !strings.Contains(text, "vmlinuz") {
				t.Errorf("the second script, %v:\n%s", err, text)
			} else if refused && !strings.HasSuffix(err.Error(), "(\"APU2\")\nhint: board = \"apu2\", or if that is wrong, hardware = \"APU2\" under [box.gw0] in boxes.toml") {
				t.Errorf("the operator reads %q, want what to do at its end", err)
			}
			i, _ := s.table.Pending(macA)
			c := &content{s: s}
			_, err = c.Plan(t.Context(), i, netboot.Question{Disks: []netboot.Disk{{Name: "sda", Content: netboot.Empty}}, Hardware: netboot.Hardware{Product: []string{tc.product}}})
			var no *web.Refusal
			if refused := errors.As(err, &no); refused != tc.refused || refused && (!no.Final || no.Text != "pxe: gw0 is listed as h61m-usb3, and its firmware says that it is apu2 (\"APU2\")") {
				t.Errorf("Plan = %v", err)
			}
			initrd := initrdOf(t, s, macA)
			if _, name, _ := strings.Cut(tc.keys, " = "); name != "" && !strings.Contains(initrd, `"hardware":`+strings.TrimSpace(name)) {
				t.Errorf("the installer is not told of %s", name)
			}
		})
	}
	// No other machine than a PC has SMBIOS's names.
	s := newTestServer(t, twoBoxes)
	arm(t, s, Request{Box: "sw0", Mode: netboot.Install})
	mac := macA
	mac[5] = 0xc
	if text, err := s.opened(mac, "boot.ipxe"); err != nil || !strings.Contains(text, "vmlinuz") {
		t.Errorf("a nanopi-neo gets %v:\n%s", err, text)
	}
}
