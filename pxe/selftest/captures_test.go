package selftest

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/pxe/event"
)

// TestCaptures reads each with a library for DHCP: it is what its name says, and a
// stand-in changes nothing in it but who it is.
func TestCaptures(t *testing.T) {
	classes := map[string]string{
		"ipxe-rom": "PXEClient:Arch:00000:UNDI:002001", "ipxe-undionly": "PXEClient:Arch:00000:UNDI:002001", "ipxe-snponly": "PXEClient:Arch:00007:UNDI:003010",
		"uefi-x64": "PXEClient:Arch:00007:UNDI:003000", "uefi-http": "HTTPClient:Arch:00016:UNDI:003000",
		"uefi-ia32": "PXEClient:Arch:00006:UNDI:003000", "uefi-arm64": "PXEClient:Arch:00011:UNDI:003000",
	}
	files, err := fs.Glob(captures, "captures/*.bin")
	if err != nil {
		t.Fatal(err)
	}
	other := event.MAC{2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee}
	seen := map[string]bool{}
	for _, file := range files {
		client, kind, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".bin"), "-")
		if i := strings.LastIndex(kind, "-"); i > 0 {
			client, kind = client+"-"+kind[:i], kind[i+1:]
		}
		want := map[string]dhcpv4.MessageType{"discover": dhcpv4.MessageTypeDiscover, "request": dhcpv4.MessageTypeRequest}[kind]
		raw, err := fs.ReadFile(captures, file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := dhcpv4.FromBytes(raw)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		seen[client] = true
		isIPXE := string(m.Options.Get(dhcpv4.OptionUserClassInformation)) == "iPXE"
		if m.MessageType() != want || m.ClassIdentifier() != classes[client] || isIPXE != strings.HasPrefix(client, "ipxe-") || m.ClientHWAddr.String() != "52:54:00:12:34:56" {
			t.Errorf("%s is %s", file, m.Summary())
		}
		as, err := captured(client, want, other)
		if err != nil {
			t.Fatal(err)
		}
		// With the MAC of the capture again, it is the capture but for the UUID.
		back, err := dhcpv4.FromBytes(as)
		if err != nil || !bytes.Equal(back.ClientHWAddr, other[:]) {
			t.Errorf("%s as another box: %v, %v", file, back.ClientHWAddr, err)
		}
		again := slices.Clone(as)
		for _, place := range [][]byte{again[atCHAddr:], again.option(dhcpv4.OptionClientIdentifier, 7)[1:], again.option(dhcpv4.OptionClientMachineIdentifier, 17)[11:]} {
			copy(place, m.ClientHWAddr)
		}
		copy(again.option(dhcpv4.OptionClientMachineIdentifier, 17)[11:], m.Options.Get(dhcpv4.OptionClientMachineIdentifier)[11:])
		if !bytes.Equal(again, raw) {
			t.Errorf("%s: more than who it is was changed", file)
		}
		if kind == "request" {
			continue
		}
		made, err := dhcpv4.FromBytes(as.asRequest())
		if err != nil || made.MessageType() != dhcpv4.MessageTypeRequest || made.ServerIdentifier() == nil || made.RequestedIPAddress() == nil || made.ClassIdentifier() != classes[client] {
			t.Errorf("%s as a REQUEST: %v, %v", file, made, err)
		}
	}
	for client := range classes {
		if !seen[client] {
			t.Errorf("there is no capture of %s", client)
		}
	}
}
