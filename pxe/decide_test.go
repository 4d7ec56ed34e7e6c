package pxe

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/boards"
	"tench/pxe/boxes"
	"tench/pxe/dhcp"
	"tench/pxe/event"
	"tench/pxe/track"
	"tench/release/audit"
	"tench/release/netboot"
)

var (
	macA = event.MAC{0x52, 0x54, 0, 0, 0, 0xa}
	macB = event.MAC{0x52, 0x54, 0, 0, 0, 0xb}
	macX = event.MAC{0x52, 0x54, 0, 0, 0, 0xff} // nobody's
)

// newTestServer is a server that has opened no socket, for this boxes.toml.
func newTestServer(t *testing.T, list string) *Server {
	t.Helper()
	known := boards.Names("../boards")
	dir := t.TempDir()
	o := Options{
		Address: netip.MustParsePrefix("192.0.2.1/24"), Mode: dhcp.Full, State: filepath.Join(dir, "state"),
		Boards: known, Hardware: map[string]boards.Hardware{}, Now: func() time.Time { return time.Unix(1_795_000_000, 0) }, Random: bytes.NewReader(make([]byte, 4096)),
		Check: func(boxes.Box) error { return nil },
		Loaders: map[string][]byte{"undionly.kpxe": []byte("iPXE"), "grub.pxe": []byte("packed GRUB"),
			"grubx64.efi": []byte("GRUB\n" + netboot.GRUBLine + "\n"), "grubia32.efi": []byte("GRUB\n" + netboot.GRUBLine + "\n")},
		Product: func(ctx context.Context, name string) (Product, error) {
			b, err := boards.Load("../boards", name)
			if err != nil {
				return Product{}, err
			}
			files, err := OpenProducts(ctx, writeBuild(t, name, "kernel of "+name, "initrd", nil), audit.Options{})
			return Product{Board: b, Args: []string{"quiet"}, Router: []byte("hostname = \"board\"\n"), Files: files}, err
		},
	}
	for _, name := range known {
		b, err := boards.Load("../boards", name)
		if err != nil {
			t.Fatal(err)
		}
		o.Hardware[name] = b.Hardware
	}
	if list != "" {
		o.Boxes = filepath.Join(dir, "boxes.toml")
		if err := os.WriteFile(o.Boxes, []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := newServer(o)
	t.Cleanup(s.Close)
	if err := s.openState(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func arm(t *testing.T, s *Server, r Request) track.Install {
	t.Helper()
	i, err := s.Arm(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if i.Token != "" {
		t.Error("Arm gives the token away")
	}
	return i
}

const twoBoxes = `[box.gw0]
mac = ["52:54:00:00:00:0a", "52:54:00:00:00:0b"]
board = "qemu-amd64"

[box.sw0]
mac = ["52:54:00:00:00:0c"]
board = "nanopi-neo"
`

func TestDecide(t *testing.T) {
	bios := dhcp.Client{MAC: macA, Boots: true, Firmware: dhcp.BIOS}
	with := func(change func(*dhcp.Client)) dhcp.Client { c := bios; change(&c); return c }
	for name, tc := range map[string]struct {
		mode         dhcp.Mode // full
		loader       Loader
		untold       bool // no GRUB has a line to write our address into
		client       dhcp.Client
		file, silent string
	}{
		"BIOS":                           {client: bios, file: "undionly.kpxe"},
		"BIOS, asked for GRUB":           {loader: LoaderGRUB, client: bios, file: "grub.pxe"},
		"BIOS, asked for Linux":          {loader: LoaderPXELINUX, client: bios, file: "pxelinux.0"},
		"its other port":                 {client: with(func(c *dhcp.Client) { c.MAC = macB }), file: "undionly.kpxe"},
		"iPXE":                           {client: with(func(c *dhcp.Client) { c.Loader = "iPXE" }), file: "boot.ipxe"},
		"iPXE, asked for GRUB":           {loader: LoaderGRUB, client: with(func(c *dhcp.Client) { c.Loader = "iPXE" }), file: "grub.pxe"},
		"no architecture":                {client: with(func(c *dhcp.Client) { c.Firmware = "" }), file: "undionly.kpxe"},
		"UEFI":                           {client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIX64 }), file: "snponly.efi"},
		"UEFI, asked for GRUB":           {loader: LoaderGRUB, client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIX64 }), file: "grubx64.efi"},
		"UEFI, no pxelinux":              {loader: LoaderPXELINUX, client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIX64 }), file: "snponly.efi"},
		"32-bit UEFI":                    {client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIIA32 }), file: "grubia32.efi"},
		"UEFI HTTP boot":                 {client: with(func(c *dhcp.Client) { c.Firmware, c.HTTP = dhcp.EFIX64, true }), file: "http://192.0.2.1:80/grubx64.efi"},
		"u-root":                         {client: with(func(c *dhcp.Client) { c.Firmware, c.Loader = "", "u-root" }), file: "extlinux.conf"},
		"an operating system":            {client: dhcp.Client{MAC: macA}},
		"another CPU":                    {client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIARM64 }), silent: "gw0 is a qemu-amd64 (amd64), and arm64 UEFI asks"},
		"U-Boot of another CPU":          {client: dhcp.Client{MAC: macA, Boots: true, Firmware: dhcp.UBoot, Loader: "U-Boot", CPU: "arm64"}, silent: "gw0 is a qemu-amd64 (amd64), and U-Boot arm64 asks"},
		"RISC-V":                         {client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIRISCV64 }), silent: "there is no loader for riscv64 UEFI"},
		"Raspberry Pi":                   {client: with(func(c *dhcp.Client) { c.Firmware = dhcp.RaspberryPi }), silent: "there is no loader for Raspberry Pi ROM"},
		"NetBSD":                         {client: with(func(c *dhcp.Client) { c.Loader = "NetBSD" }), silent: "there is no loader for NetBSD on x86 BIOS"},
		"a proxy, asked for GRUB":        {mode: dhcp.Proxy, loader: LoaderGRUB, client: bios, file: "undionly.kpxe"},
		"a proxy's iPXE, asked for GRUB": {mode: dhcp.Proxy, loader: LoaderGRUB, client: with(func(c *dhcp.Client) { c.Loader = "iPXE" }), file: "boot.ipxe"},
		"a proxy's PXELINUX":             {mode: dhcp.Proxy, loader: LoaderPXELINUX, client: bios, file: "pxelinux.0"},
		"a proxy's UEFI":                 {mode: dhcp.Proxy, client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIX64 }), file: "snponly.efi"},
		"a proxy's UEFI, asked for GRUB": {mode: dhcp.Proxy, loader: LoaderGRUB, client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIX64 }), file: "grubx64.efi"},
		"a proxy's UEFI, asked for GRUB that is not told": {mode: dhcp.Proxy, loader: LoaderGRUB, untold: true, client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIX64 }), file: "snponly.efi"},
		"a proxy's iPXE in UEFI, asked for GRUB":          {mode: dhcp.Proxy, loader: LoaderGRUB, client: with(func(c *dhcp.Client) { c.Firmware, c.Loader = dhcp.EFIX64, "iPXE" }), file: "grubx64.efi"},
		"a proxy's UEFI with GRUB alone":                  {mode: dhcp.Proxy, client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIIA32 }), file: "grubia32.efi"},
		"a proxy's UEFI with GRUB alone that is not told": {mode: dhcp.Proxy, untold: true, client: with(func(c *dhcp.Client) { c.Firmware = dhcp.EFIIA32 }), silent: "GRUB, the one loader for ia32 UEFI, asks the DHCP server for its files: use full mode, or let that server name us"},
		"a proxy's UEFI HTTP boot":                        {mode: dhcp.Proxy, client: with(func(c *dhcp.Client) { c.Firmware, c.HTTP = dhcp.EFIX64, true }), file: "http://192.0.2.1:80/grubx64.efi"},
		"a stranger":                                      {client: with(func(c *dhcp.Client) { c.MAC = macX }), silent: "it is not in boxes.toml"},
		"a stranger's system":                             {client: dhcp.Client{MAC: macX}, silent: "it is not in boxes.toml"},
		"U-Boot of another board":                         {client: dhcp.Client{MAC: macX, Boots: true, Firmware: dhcp.UBoot, Loader: "U-Boot"}, silent: "it is not in boxes.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, twoBoxes)
			s.o.Loader, s.o.Mode = cmp.Or(tc.loader, s.o.Loader), cmp.Or(tc.mode, s.o.Mode)
			if tc.untold {
				s.grubs = nil
			}
			arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
			got := s.decide(tc.client)
			if got.File != tc.file || got.Silent != tc.silent || got.Disk || got.Rule == "" {
				t.Errorf("decide = %+v, want file %q, silent %q, and a rule", got, tc.file, tc.silent)
			}
		})
	}
}

func TestDecideOfWhatIsNotArmed(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	c := dhcp.Client{MAC: macA, Boots: true, Firmware: dhcp.BIOS}
	if got := s.decide(c); !got.Disk || got.File != "" || got.Silent != "" {
		t.Errorf("decide of a box that is not armed = %+v, want its disk", got)
	}
	arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
	if got := s.decide(c); got.File == "" {
		t.Errorf("decide of an armed box = %+v", got)
	}
	if err := s.armory(t.Context()).Disarm("gw0"); err != nil {
		t.Fatal(err)
	}
	if got := s.decide(c); !got.Disk {
		t.Errorf("decide of a box that was disarmed = %+v, want its disk", got)
	}
	if err := s.armory(t.Context()).Disarm("gw0"); err == nil {
		t.Error("what is not armed is disarmed without an error")
	}
}

// A box that was installed boots its disk, and nothing but another arming makes
// it install again.
func TestInstalledOnce(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	arm(t, s, Request{Box: "gw0", Mode: netboot.Install})
	i, _ := s.table.Pending(macA)
	if _, err := s.table.Begin(i.Token); err != nil {
		t.Fatal(err)
	}
	if _, err := s.table.Done(i.Token, "receipt"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := s.decide(dhcp.Client{MAC: macA, Boots: true, Firmware: dhcp.BIOS}); !got.Disk {
			t.Errorf("decide of a box that is installed = %+v, want its disk", got)
		}
	}
	if _, err := s.opened(macA, "vmlinuz"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a kernel after the install = %v", err)
	}
}

func TestAnyBoard(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	c := dhcp.Client{MAC: macX, Boots: true, Firmware: dhcp.BIOS}
	arm(t, s, Request{Box: "qemu-amd64", Mode: netboot.Run, Router: []byte("hostname = \"x\"\n")})
	if got := s.decide(c); got.File != "undionly.kpxe" {
		t.Errorf("decide of any box = %+v", got)
	}
	if text := initrdOf(t, s, macX); !strings.Contains(text, "hostname = \"x\"") || !strings.Contains(text, `"box":"52-54-00-00-00-ff","mode":"run"`) {
		t.Errorf("its initramfs is %q", text)
	}
	if got := s.decide(dhcp.Client{MAC: macA, Boots: true, Firmware: dhcp.BIOS}); !got.Disk {
		t.Errorf("decide of a box that is listed and not armed = %+v, want its disk", got)
	}
	// Another word of the operator takes the place of the first, for boxes that have
	// booted, too.
	arm(t, s, Request{Box: "qemu-amd64", Mode: netboot.Run, Router: []byte("hostname = \"y\"\n")})
	if text := initrdOf(t, s, macX); !strings.Contains(text, "hostname = \"y\"") {
		t.Errorf("with another configuration its initramfs is %q", text)
	}
	arm(t, s, Request{Box: "apu2", Mode: netboot.Run})
	if text, err := s.opened(macX, "vmlinuz"); err != nil || text != "kernel of apu2" {
		t.Errorf("the kernel of any box is %q, %v", text, err)
	}
	if text := initrdOf(t, s, macX); !strings.Contains(text, "hostname = \"board\"") {
		t.Errorf("its initramfs is %q", text)
	}
}

// A box that nobody listed may be installed by its MAC; then it is no stranger.
func TestArmedByItsMAC(t *testing.T) {
	s := newTestServer(t, "")
	if _, err := s.Arm(t.Context(), Request{Box: macX.String(), Mode: netboot.Install}); err == nil || !strings.Contains(err.Error(), "--board BOARD") {
		t.Errorf("Arm of a stranger without a board = %v", err)
	}
	arm(t, s, Request{Box: macX.String(), Mode: netboot.Install, Board: "qemu-amd64"})
	c := dhcp.Client{MAC: macX, Boots: true, Firmware: dhcp.BIOS}
	if got := s.decide(c); got.File != "undionly.kpxe" {
		t.Errorf("decide = %+v", got)
	}
	arm(t, s, Request{Box: "qemu-amd64", Mode: netboot.Run})
	if text := initrdOf(t, s, macX); !strings.Contains(text, `"mode":"install"`) {
		t.Errorf("with any box running a board, its initramfs is %q", text)
	}
	i, _ := s.table.Pending(macX)
	if _, err := s.table.Begin(i.Token); err != nil {
		t.Fatal(err)
	}
	if _, err := s.table.Done(i.Token, ""); err != nil {
		t.Fatal(err)
	}
	if got := s.decide(c); !got.Disk {
		t.Errorf("decide after the install = %+v, want its disk", got)
	}
	named := event.MAC{2, 0, 0, 0, 0, 7} // nor is one that runs from RAM a stranger
	arm(t, s, Request{Box: named.String(), Mode: netboot.Run, Board: "apu2", Router: []byte("hostname = \"x\"\n")})
	if text, err := s.opened(named, "vmlinuz"); err != nil || text != "kernel of apu2" || !strings.Contains(initrdOf(t, s, named), "hostname = \"x\"") {
		t.Errorf("with any box running a board, the kernel of one that was named is %q, %v", text, err)
	}
}

func TestKnownByItsSerialNumber(t *testing.T) {
	const list = "[box.gw1]\nserial = \"AB-12\"\nboard = \"qemu-amd64\"\n[box.gw2]\nserial = \"33221100-5544-7766-8899-aabbccddeeff\"\nboard = \"qemu-amd64\"\n"
	s := newTestServer(t, list)
	c := dhcp.Client{MAC: macX, Boots: true, Firmware: dhcp.BIOS, Loader: "iPXE"}
	if _, err := s.Arm(t.Context(), Request{Box: "gw1", Mode: netboot.Run}); err == nil || !strings.Contains(err.Error(), "switch it on") {
		t.Errorf("Arm of a box that nobody has seen = %v", err)
	}
	if got := s.decide(c); got.File != "boot.ipxe" {
		t.Errorf("decide of a box that nobody knows = %+v", got)
	}
	if text, err := s.opened(macX, "boot.ipxe"); err != nil || !strings.Contains(text, "/serial/${serial:uristring}/boot.ipxe") {
		t.Errorf("boot.ipxe is %q, %v", text, err)
	}
	if _, err := s.opened(macX, "serial/XY-34/boot.ipxe"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the script of another serial number: %v", err)
	}
	if text, err := s.opened(macX, "serial/ab-12/boot.ipxe"); err != nil || !strings.Contains(text, "boots its disk") {
		t.Errorf("the script of its serial number is %q, %v", text, err)
	}
	arm(t, s, Request{Box: "gw1", Mode: netboot.Run})
	if text, err := s.opened(macX, "vmlinuz"); err != nil || text != "kernel of qemu-amd64" {
		t.Errorf("its kernel is %q, %v", text, err)
	}
	// The UUID comes with the first packet, in one order of bytes or the other.
	c.MAC, c.UUID = macB, "00112233-4455-6677-8899-aabbccddeeff"
	if got := s.decide(c); !got.Disk || !strings.Contains(got.Rule, "gw2") {
		t.Errorf("decide by UUID = %+v", got)
	}
	// A listed port cannot become another box by telling a number.
	s = newTestServer(t, list+"[box.gw0]\nmac = [\"52:54:00:00:00:0a\"]\nboard = \"apu2\"\n")
	if _, err := s.opened(macA, "serial/AB-12/boot.ipxe"); err != nil {
		t.Errorf("boot.ipxe of a listed box: %v", err)
	}
	if id := s.who(macA, ""); id.box.Name != "gw0" {
		t.Errorf("it became %s", id.box.Name)
	}
}

// Where another server names iPXE whoever asks, iPXE gets the script instead of
// itself.
func TestIPXEThatIsNamedToItself(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	s.o.Mode = dhcp.Foreign
	arm(t, s, Request{Box: "gw0", Mode: netboot.Run})
	open := func() string {
		t.Helper()
		text, err := s.opened(macA, "undionly.kpxe")
		if err != nil {
			t.Fatal(err)
		}
		return text[:min(len(text), 6)]
	}
	fetched := event.Event{Box: macA, Kind: event.Transfer, File: "undionly.kpxe", Done: 4, Total: 4}
	if got := open(); got != "iPXE" {
		t.Errorf("the firmware gets %q", got)
	}
	fetched.Done = 3
	s.sink(fetched) // a transfer that is on its way
	if got := open(); got != "iPXE" {
		t.Errorf("the firmware, again, gets %q", got)
	}
	fetched.Done = 4
	s.sink(fetched)
	if got := open(); got != "#!ipxe" {
		t.Errorf("iPXE gets %q", got)
	}
	if got := open(); got != "iPXE" {
		t.Errorf("the next boot gets %q", got)
	}
	s.o.Mode = dhcp.Full
	s.sink(fetched)
	if got := open(); got != "iPXE" {
		t.Errorf("where we name the file, iPXE gets %q", got)
	}
}

// A port that tells once more what is known of it makes nobody else forgotten.
func TestPortsThatAreRemembered(t *testing.T) {
	r := newRegister()
	port := func(n int) event.MAC { return event.MAC{2, 0, 0, 0, byte(n >> 8), byte(n)} }
	for n := range strangest {
		r.bind(port(n), "gw0")
		r.setUEFI(port(n), true)
		r.gotIPXE(port(n), time.Unix(1, 0))
	}
	r.bind(port(0), "gw0")
	r.setUEFI(port(0), true)
	r.gotIPXE(port(0), time.Unix(1, 0))
	if got := len(r.ports("gw0")); got != strangest {
		t.Errorf("%d ports of gw0 are known, want all %d", got, strangest)
	}
	if !r.isUEFI(port(1)) || !r.isIPXE(port(1), time.Unix(2, 0)) {
		t.Error("a port is forgotten")
	}
	r.bind(port(strangest), "gw0")
	if got := len(r.ports("gw0")); got > strangest {
		t.Errorf("%d ports are remembered, want %d at most", got, strangest)
	}
}

// boxes.toml is read again when it changed, and a mistake changes nothing.
func TestInventoryThatChanges(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	var said []string
	s.o.Sink = func(e event.Event) { said = append(said, e.Text) }
	write := func(text string) {
		t.Helper()
		if err := errors.Join(os.Remove(s.o.Boxes), os.WriteFile(s.o.Boxes, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("[box.gw0]\n")
	for range 2 {
		if id := s.who(macA, ""); !id.known {
			t.Error("a mistake in the file made gw0 a stranger")
		}
	}
	s.table.Event(event.Event{Box: macA, Kind: event.Discover}) // asks for its name with the table locked
	if len(said) != 1 || !strings.Contains(said[0], "boxes.toml is left as it was: "+s.o.Boxes+":1: box.gw0") {
		t.Errorf("said %q, want the mistake once", said)
	}
	write("[box.gw9]\nmac = [\"52:54:00:00:00:ff\"]\nboard = \"apu2\"\n")
	if s.who(macA, "").known || s.who(macX, "").box.Name != "gw9" {
		t.Error("the new list is not in force")
	}
}

// What to do about trouble stands in the same line.
func TestTroubleIsALine(t *testing.T) {
	s := newTestServer(t, twoBoxes)
	var said string
	s.o.Sink = func(e event.Event) { said = e.Text }
	s.sink(event.Event{Box: macA, Kind: event.Trouble, Text: "vmlinuz: it is another\nhint: arm the box again"})
	const want = "vmlinuz: it is another; hint: arm the box again"
	if said != want || !strings.Contains(s.table.Explain(macA), want+"\n") {
		t.Errorf("said %q, and the table explains\n%s\nwant %q", said, s.table.Explain(macA), want)
	}
}

// A folder of files may be another by the time that a box asks again.
func TestTreeThatIsReplaced(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	put := func(folder, text string) {
		t.Helper()
		if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(filepath.Join(folder, "bsd.rd"), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	put(tree, "old")
	s := newTestServer(t, fmt.Sprintf("[box.ob]\nmac = [%q]\nsystem = \"openbsd\"\ntree = %q\n", macA, tree))
	arm(t, s, Request{Box: "ob", Mode: netboot.Run})
	want := func(text string) {
		t.Helper()
		if got, err := s.opened(macA, "bsd.rd"); err != nil || got != text {
			t.Errorf("bsd.rd is %q, %v; want %q", got, err, text)
		}
	}
	want("old")
	if err := os.Rename(tree, filepath.Join(dir, "before")); err != nil {
		t.Fatal(err)
	}
	want("old") // in between
	put(tree, "new")
	want("new")
}

func initrdOf(t *testing.T, s *Server, mac event.MAC) string {
	t.Helper()
	text, err := s.opened(mac, "initrd")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// opened is Open by the port that asks, read.
func (s *Server) opened(mac event.MAC, name string) (string, error) {
	f, err := s.openFor(mac, name, s.view)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data := make([]byte, f.Size())
	_, err = f.ReadAt(data, 0)
	return string(data), err
}

// A serial number may have a slash, which HTTP hands over as one.
func TestSerialWithASlash(t *testing.T) {
	s := newTestServer(t, "[box.gw1]\nserial = \"AB/12\"\nboard = \"qemu-amd64\"\n")
	for name, want := range map[string]string{"serial/AB/12/boot.ipxe": "boot.ipxe", "serial/AB%2F12/grub/grub.cfg": "grub/grub.cfg", "serial/AB/12": "serial/AB/12"} {
		if got := s.serial(macX, name); got != want {
			t.Errorf("serial(%q) = %q, want %q", name, got, want)
		}
	}
	if got := s.who(macX, "").box.Name; got != "gw1" {
		t.Errorf("the port is of box %q, want gw1", got)
	}
}
