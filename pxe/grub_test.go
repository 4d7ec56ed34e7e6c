package pxe

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/pxe/view"
	"tench/release/netboot"
)

func TestTellGRUBs(t *testing.T) {
	const line = netboot.GRUBLine
	for name, tc := range map[string]struct {
		loader, content, server string
		want                    string // "" for a loader that is sent as it is
	}{
		"in the middle":       {"grubx64.efi", "MZ\x00" + line + "\n\x00end", "192.0.2.1", "MZ\x00set prefix=(tftp,192.0.2.1)/grub      \n\x00end"},
		"at the beginning":    {"grubaa64.efi", line + "\n", "10.0.0.1", "set prefix=(tftp,10.0.0.1)/grub       \n"},
		"at the end":          {"grubarm.efi", "MZ" + line, "10.0.0.1", "MZset prefix=(tftp,10.0.0.1)/grub       "},
		"the longest address": {"grubia32.efi", line + "\n", "255.255.255.255", "set prefix=(tftp,255.255.255.255)/grub\n"},
		"an address too long": {"grubia32.efi", line + "\n", "2001:db8::1234:5678", ""},
		"no line":             {"grub.pxe", "packed", "192.0.2.1", ""},
		"half a line":         {"grubx64.efi", line[:20], "192.0.2.1", ""},
		"two lines":           {"grubx64.efi", line + "\n" + line + "\n", "192.0.2.1", ""},
		"no GRUB":             {"snponly.efi", line + "\n", "192.0.2.1", ""},
		"nothing":             {"grubx64.efi", "", "192.0.2.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			loaders := map[string][]byte{tc.loader: []byte(tc.content)}
			told := tellGRUBs(loaders, netip.MustParseAddr(tc.server))
			if diff := cmp.Diff(tc.want, string(told[tc.loader])); diff != "" {
				t.Errorf("tellGRUBs (-want +got):\n%s", diff)
			}
			if tc.want != "" && len(tc.want) != len(tc.content) {
				t.Errorf("the program has %d bytes, and had %d", len(tc.want), len(tc.content))
			}
			if got := string(loaders[tc.loader]); got != tc.content {
				t.Errorf("the loader itself became %q", got)
			}
		})
	}
}

// HTTP boot has the server in its URL, and goes on by HTTP.
func TestGRUBIsToldByTFTPAlone(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	arm(t, s, Request{Box: "gw0", Mode: netboot.Run})
	read := func(name string, v view.View) string {
		t.Helper()
		f, err := s.openFor(macA, name, v)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		data := make([]byte, f.Size())
		if _, err := f.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	const prefix = "set prefix=(tftp,192.0.2.1)/grub "
	for _, name := range []string{"grubx64.efi", "/grubx64.efi"} {
		if text := read(name, s.tftpView); !strings.Contains(text, prefix) || strings.Contains(text, netboot.GRUBLine) {
			t.Errorf("TFTP sends %s as %q", name, text)
		}
		if text := read(name, s.view); text != string(s.o.Loaders["grubx64.efi"]) {
			t.Errorf("HTTP sends %s as %q", name, text)
		}
	}
	if text := read("undionly.kpxe", s.tftpView); text != "iPXE" {
		t.Errorf("TFTP sends undionly.kpxe as %q", text)
	}
}
