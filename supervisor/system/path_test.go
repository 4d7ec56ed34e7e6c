package system

import (
	"os"
	"path/filepath"
	"testing"
)

// sysfs builds a /sys in which link's device is at path below devices, and each
// folder of subsystems, given by its path, is on that bus.
func sysfs(t *testing.T, link, path string, subsystems map[string]string) string {
	t.Helper()
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(root, "devices", path), 0o755))
	for dir, bus := range subsystems {
		must(os.MkdirAll(filepath.Join(root, "bus", bus), 0o755))
		must(os.Symlink(filepath.Join(root, "bus", bus), filepath.Join(root, "devices", dir, "subsystem")))
	}
	must(os.MkdirAll(filepath.Join(root, "class/net", link), 0o755))
	must(os.Symlink(filepath.Join(root, "devices", path), filepath.Join(root, "class/net", link, "device")))
	return root
}

func TestBusPath(t *testing.T) {
	for _, tc := range []struct {
		name, path, want string
		subsystems       map[string]string
	}{
		{"PCI", "pci0000:00/0000:00:10.0", "pci-0000:00:10.0",
			map[string]string{"pci0000:00/0000:00:10.0": "pci"}},
		{"PCI behind a bridge", "pci0000:00/0000:00:02.2/0000:01:00.0", "pci-0000:01:00.0",
			map[string]string{"pci0000:00/0000:00:02.2": "pci", "pci0000:00/0000:00:02.2/0000:01:00.0": "pci"}},
		{"virtio below PCI", "pci0000:00/0000:00:03.0/virtio0", "pci-0000:00:03.0",
			map[string]string{"pci0000:00/0000:00:03.0": "pci", "pci0000:00/0000:00:03.0/virtio0": "virtio"}},
		{"PCI of a device tree", "platform/4010000000.pcie/pci0000:00/0000:00:10.0/virtio0", "pci-0000:00:10.0",
			map[string]string{"platform/4010000000.pcie": "platform", "platform/4010000000.pcie/pci0000:00/0000:00:10.0": "pci"}},
		{"virtio-mmio", "platform/a003e00.virtio_mmio/virtio2", "platform-a003e00.virtio_mmio",
			map[string]string{"platform/a003e00.virtio_mmio": "platform", "platform/a003e00.virtio_mmio/virtio2": "virtio"}},
		{"platform", "platform/ethernet/f1070000.ethernet", "platform-f1070000.ethernet",
			map[string]string{"platform/ethernet/f1070000.ethernet": "platform"}},
		{"USB behind a hub", "pci0000:00/0000:00:14.0/usb1/1-1/1-1.2/1-1.2:1.0", "pci-0000:00:14.0-usb-0:1.2:1.0",
			map[string]string{
				"pci0000:00/0000:00:14.0": "pci", "pci0000:00/0000:00:14.0/usb1": "usb",
				"pci0000:00/0000:00:14.0/usb1/1-1": "usb", "pci0000:00/0000:00:14.0/usb1/1-1/1-1.2": "usb",
				"pci0000:00/0000:00:14.0/usb1/1-1/1-1.2/1-1.2:1.0": "usb",
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := sysfs(t, "eth0", tc.path, tc.subsystems)
			if got := busPath(root, "eth0"); got != tc.want {
				t.Errorf("busPath = %q, want %q", got, tc.want)
			}
			if got := busPath(root, "br0"); got != "" {
				t.Errorf("busPath of a link without hardware = %q, want none", got)
			}
		})
	}
}
