package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tench/boards"
)

// Words of board.toml's [qemu] that are no names of QEMU devices.
const (
	diskSD     = "sd"      // the machine's own card slot
	nicOnboard = "onboard" // the machine's own network port
)

// qemuArgs is the command line, without QEMU's name, that boots the disk; dir
// is a folder for what QEMU keeps.
func qemuArgs(b boards.Board, o runOptions, disk, dir string) ([]string, error) {
	args := machineArgs(b, o)
	args = append(args, diskArgs(o, disk)...)
	net, err := netArgs(b, o)
	if err != nil {
		return nil, err
	}
	args = append(args, net...)
	if o.firmware == "uefi" {
		fw, err := uefiArgs(b, dir)
		if err != nil {
			return nil, err
		}
		args = append(args, fw...)
	}
	return append(args, o.extra...), nil
}

func machineArgs(b boards.Board, o runOptions) []string {
	memory := b.RAMMiB
	if b.QEMU.RAMMiB > 0 {
		memory = b.QEMU.RAMMiB
	}
	if o.memory > 0 {
		memory = o.memory
	}
	args := []string{
		"-name", "tench " + b.Name, "-machine", b.QEMU.Machine,
		"-accel", o.accel, "-m", fmt.Sprint(memory),
		"-display", "none", "-serial", "mon:stdio", "-vga", "none",
	}
	if b.QEMU.CPU != "" {
		args = append(args, "-cpu", b.QEMU.CPU)
	}
	for _, d := range b.QEMU.Devices {
		args = append(args, "-device", d)
	}
	return args
}

// diskArgs attaches the file; all but the disks of PCs need a controller.
func diskArgs(o runOptions, file string) []string {
	escaped := strings.NewReplacer(",", ",,")
	if o.disk == diskSD {
		return []string{"-drive", "if=sd,format=raw,cache=unsafe,file=" + escaped.Replace(file)}
	}
	args := []string{"-drive", "if=none,id=stick,format=raw,cache=unsafe,file=" + escaped.Replace(file)}
	if o.writeLog != "" {
		// The host need not flush either file: QEMU may be killed, the host not.
		args = []string{"-blockdev", "driver=blklogwrites,node-name=stick,log-sector-size=512,log-super-update-interval=1," +
			"file.driver=file,file.cache.no-flush=on,file.filename=" + escaped.Replace(file) +
			",log.driver=file,log.cache.no-flush=on,log.filename=" + escaped.Replace(o.writeLog)}
	}
	device := o.disk
	switch device {
	case "usb-storage":
		args = append(args, "-device", "qemu-xhci,id=usb")
	case "pvscsi":
		args = append(args, "-device", "pvscsi,id=scsi")
		device = "scsi-hd"
	}
	return append(args, "-device", device+",drive=stick,bootindex=0")
}

// netArgs puts a card at the bus address of each port on the case. The option
// ROMs are left out: nothing is to be booted over the network here.
func netArgs(b boards.Board, o runOptions) ([]string, error) {
	if b.QEMU.NIC == nicOnboard {
		if o.nic != "" {
			return nil, fmt.Errorf("--nic %s: QEMU's %s has its network card on board", o.nic, b.QEMU.Machine)
		}
		return []string{"-nic", "user"}, nil
	}
	var args, cards []string
	buses := 0
	for i, p := range b.Ports {
		netdev := quietLAN
		switch i {
		case 0:
			netdev = "user"
		case 1: // not the others too: a port of this machine is forwarded once
			netdev = o.lan
		}
		id := fmt.Sprintf("port%d", i)
		card := fmt.Sprintf("%s,netdev=%s,romfile=", cmp.Or(o.nic, b.QEMU.NIC), id)
		if p.Path != "" {
			bus, slot, err := pciAddress(p.Path)
			if err != nil {
				return nil, fmt.Errorf("port %s: %w", p.Label, err)
			}
			buses = max(buses, bus)
			if bus > 0 {
				card += fmt.Sprintf(",bus=bus%d", bus)
			}
			card += ",addr=0x" + slot
		}
		cards = append(cards, "-netdev", netdev+",id="+id, "-device", card)
	}
	// Firmware numbers the buses behind root ports from 1 in their order.
	for n := 1; n <= buses; n++ {
		args = append(args, "-device", fmt.Sprintf("pcie-root-port,id=bus%d,bus=pcie.0,chassis=%d,addr=0x%x", n, n, 0x10+n))
	}
	return append(args, cards...), nil
}

// pciAddress takes bus and "slot.function" out of an ID_PATH.
func pciAddress(path string) (bus int, slot string, err error) {
	address, ok := strings.CutPrefix(path, "pci-0000:")
	hex, slot, ok2 := strings.Cut(address, ":")
	n, err := strconv.ParseUint(hex, 16, 8)
	if !ok || !ok2 || err != nil {
		return 0, "", fmt.Errorf("path %q is no PCI address, e.g. \"pci-0000:01:00.0\"", path)
	}
	return int(n), slot, nil
}

// uefi is a UEFI for QEMU, as Debian has it: its code, and an empty store of
// variables.
type uefi struct{ code, vars, pkg string }

var uefis = map[string]uefi{
	"amd64": {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf"},
	"arm64": {"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd", "qemu-efi-aarch64"},
}

func uefiArgs(b boards.Board, dir string) ([]string, error) {
	fw := uefis[b.Arch.Name]
	vars := filepath.Join(dir, "uefi-vars.fd")
	if _, err := os.Stat(fw.code); err != nil {
		return nil, fmt.Errorf("%w\nhint: tench doctor %s --for run", err, b.Name)
	}
	if err := copySparse(fw.vars, vars); err != nil {
		return nil, err
	}
	return []string{
		"-drive", "if=pflash,format=raw,readonly=on,file=" + fw.code,
		"-drive", "if=pflash,format=raw,file=" + strings.ReplaceAll(vars, ",", ",,"),
	}, nil
}
