package system

import (
	"os"
	"path/filepath"
	"strings"
)

// busPath tells where the device behind a network link sits, in the words of
// udev's ID_PATH (systemd's path_id builtin), e.g. "pci-0000:00:10.0",
// "pci-0000:00:14.0-usb-0:1.2:1.0" or "platform-3f980000.usb-usb-0:1.1:1.0".
// sysfs is "/sys". It is "" for links without hardware.
//
// The walk goes from the device up to the root and keeps the parts that tell
// one slot from another: the last PCI function, the USB port chain, the
// platform device. Buses that only sit in between, such as virtio, add nothing.
// Nor does what carries a PCI bus: its number is in the function's, and udev names
// it where a device tree describes the board, but not where ACPI does the same.
func busPath(sysfs, link string) string {
	dir, err := filepath.EvalSymlinks(filepath.Join(sysfs, "class/net", link, "device"))
	if err != nil {
		return ""
	}
	root, err := filepath.EvalSymlinks(filepath.Join(sysfs, "devices"))
	if err != nil {
		return ""
	}
	var parts []string
	seen := map[string]bool{} // buses already named: of nested ones the innermost counts
	for ; len(dir) > len(root) && !seen["pci"]; dir = filepath.Dir(dir) {
		bus := subsystem(dir)
		if bus == "" || seen[bus] {
			continue
		}
		name := filepath.Base(dir)
		switch bus {
		case "pci", "platform", "acpi", "amba":
			seen[bus] = true
			parts = append([]string{bus + "-" + name}, parts...)
		case "usb":
			seen[bus] = true
			// "1-1.2:1.0" is bus 1, ports 1 and 2, configuration 1, interface 0.
			// The bus number depends on the order of probing, so it is left out.
			if _, ports, ok := strings.Cut(name, "-"); ok {
				parts = append([]string{"usb-0:" + ports}, parts...)
			}
		}
	}
	return strings.Join(parts, "-")
}

// subsystem is the bus or class of a device folder, e.g. "pci".
func subsystem(dir string) string {
	target, err := os.Readlink(filepath.Join(dir, "subsystem"))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}
