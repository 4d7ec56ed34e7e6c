package pxe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tench/pxe/boxes"
	"tench/pxe/dhcp"
	"tench/pxe/event"
	"tench/pxe/track"
	"tench/pxe/view"
	"tench/release/netboot"
)

// decide is the one place that says what a box gets that asks by DHCP. Its rules,
// the first that fits:
//
//	who it is       nobody knows: its serial number is asked for, or it gets no answer
//	no boot client  an operating system wants an address, and no more; but OpenBSD's
//	                installer asks once more what the boot file was called
//	not armed       it boots its disk
//	no board        the board was not built, or another kind of box asks: no answer
//	its system      OpenBSD's and FreeBSD's first files, a Raspberry Pi's ROM's own
//	what asks       the loader for its firmware, or the script for the loader
func (s *Server) decide(c dhcp.Client) dhcp.Boot {
	b := s.rule(c)
	if b.Silent != "" && b.Rule == "" {
		b.Rule = b.Silent
	}
	return b
}

func (s *Server) rule(c dhcp.Client) dhcp.Boot {
	if c.Firmware != "" {
		s.register.setUEFI(c.MAC, c.Firmware.EFI())
	}
	id := s.who(c.MAC, c.UUID)
	switch {
	case !id.known && c.Boots && s.inventory().WantsSerial():
		return s.loader(c, "its serial number is asked for: a box in boxes.toml is known by that alone")
	case !id.known:
		return dhcp.Boot{Silent: "it is not in boxes.toml"}
	case !c.Boots && id.box.System != boxes.OpenBSD:
		return dhcp.Boot{Rule: id.rule + ": an operating system, which gets an address alone"}
	}
	job, err := s.job(c.MAC, id)
	switch {
	case err != nil:
		return dhcp.Boot{Silent: oneLine(err)}
	case !c.Boots && job.FirstFile() != view.AutoInstall:
		return dhcp.Boot{Rule: id.rule + ": an operating system, which gets an address alone"}
	case job.Job == view.Disk:
		return dhcp.Boot{Disk: true, Rule: id.rule + ": not armed, so that it boots its disk"}
	case id.box.System == boxes.RaspberryPi && c.Firmware != dhcp.RaspberryPi:
		return dhcp.Boot{Silent: fmt.Sprintf("%s is a Raspberry Pi, whose ROM loads its folder, and %s asks", id.box.Name, c)}
	case id.box.System != boxes.Tench:
		return s.loaderBSD(c, job, id)
	case !canRun(c, job.Board):
		return dhcp.Boot{Silent: fmt.Sprintf("%s is a %s (%s), and %s asks", id.box.Name, job.Board.Name, job.Board.Arch.Name, strings.TrimSpace(string(c.Firmware)+" "+c.CPU))}
	}
	return s.loader(c, fmt.Sprintf("%s: %s %s %s", id.rule, job.Job, job.Board.Name, job.Release))
}

// loader names the file for what asks. A GRUB that would be lost gives way to iPXE,
// where there is one for the firmware.
func (s *Server) loader(c dhcp.Client, rule string) dhcp.Boot {
	name := first(c, s.o.Loader)
	if s.lost(c, name) {
		name = first(c, LoaderAuto)
	}
	switch {
	case s.lost(c, name):
		return dhcp.Boot{Silent: fmt.Sprintf("GRUB, the one loader for %s, asks the DHCP server for its files: use full mode, or let that server name us", c.Firmware)}
	case name == "":
		return dhcp.Boot{Silent: fmt.Sprintf("there is no loader for %s", c)}
	case c.HTTP:
		return dhcp.Boot{File: s.view.Base() + "/" + name, Rule: fmt.Sprintf("%s; %s loads %s", rule, c, name)}
	}
	return dhcp.Boot{File: name, Rule: fmt.Sprintf("%s; %s loads %s", rule, c, name)}
}

// first is the file that what asks loads next; "" where there is none for it.
func first(c dhcp.Client, want Loader) string {
	switch c.Loader {
	case "iPXE":
		// In a ROM it is the firmware, of which the operator may want to see no more.
		if want == LoaderGRUB || want == LoaderPXELINUX {
			return program(c.Firmware, c.HTTP, want)
		}
		return ipxeScript
	case "U-Boot", "u-root":
		return configReader
	case "":
		return program(cmp.Or(c.Firmware, dhcp.BIOS), c.HTTP, want)
	}
	return ""
}

// lost reports whether a program would not find its files. GRUB takes the DHCP
// server for the one that it came from, which beside another DHCP server is wrong
// unless it was told of us, by its URL or by its first line.
func (s *Server) lost(c dhcp.Client, name string) bool {
	return s.dhcpMode() == dhcp.Proxy && !c.HTTP && isGRUB(name) && s.grubs[name] == nil
}

// loaderBSD is loader for a box that boots a folder of files. iPXE starts pxeboot as
// the firmware would.
func (s *Server) loaderBSD(c dhcp.Client, b view.Box, id identity) dhcp.Boot {
	boot := dhcp.Boot{File: b.FirstFile(), Rule: fmt.Sprintf("%s: %s from its folder, %s", id.rule, b.System, b.FirstFile())}
	if b.System == boxes.FreeBSD {
		boot.RootPath = fmt.Sprintf("tftp://%s%s", s.view.Server.Addr(), view.FreeBSDRoot)
	}
	if c.HTTP {
		boot.File = s.view.Base() + "/" + boot.File
	}
	return boot
}

// job is what a box is to do, and what it gets for it.
func (s *Server) job(mac event.MAC, id identity) (view.Box, error) {
	order, armed := s.armed(mac, id)
	b := view.Box{Name: id.box.Name, MAC: mac, Job: view.Disk, System: id.box.System}
	if id.box.System != boxes.Tench {
		if armed {
			b.Job = view.Job(order.Mode)
			b.Installed = s.view.Base() + netboot.File{Token: order.Token}.Path("installed")
		}
		return s.bsd(b, id.box)
	}
	if !armed {
		return b, nil
	}
	product, err := s.product(order.Order)
	if err != nil {
		return view.Box{}, err
	}
	b.Job, b.Board, b.Release, b.Args = view.Job(order.Mode), product.Board, product.Files.Release, product.Args
	// SMBIOS is a PC's.
	b.Recognize = len(s.o.Hardware) > 0 && id.box.Hardware == "" && slices.Contains(runs[dhcp.BIOS], product.Board.Arch.Name)
	b.Kernel = func() (view.File, error) { return product.Files.Kernel(product.Board.Name) }
	b.BareKernel = func() (view.File, error) { return product.Files.BareKernel(product.Board.Name) }
	b.Initrd = func() (view.File, error) { return product.Files.Initrd(product.Board.Name) }
	if b.Netboot, err = s.netboot(order, b, id.box); err == nil && b.Job == view.Run {
		b.Router, err = s.router(order, id.box, product)
	}
	return b, err
}

// armed is the arming of a box, whichever of its ports asks.
func (s *Server) armed(mac event.MAC, id identity) (track.Install, bool) {
	ports := append([]event.MAC{mac}, id.box.MACs...)
	for _, m := range append(ports, s.ports(id.box.Name)...) {
		if i, ok := s.table.Pending(m); ok && i.Board == id.box.Board {
			return i, true
		}
	}
	if id.stranger {
		return s.runStranger(mac, id.box.Board)
	}
	return track.Install{}, false
}

// runStranger arms a box that nobody named to run what any box runs.
func (s *Server) runStranger(mac event.MAC, board string) (track.Install, bool) {
	i, err := s.table.Arm(track.Order{Box: mac, Mode: netboot.Run, Board: board, Any: true})
	if err != nil {
		s.say(event.Event{Box: mac, Kind: event.Trouble, Text: oneLine(err)})
		return track.Install{}, false
	}
	return i, true
}
